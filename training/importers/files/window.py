"""A stretch of an open file."""

from __future__ import annotations

from typing import BinaryIO

from training.importers.base import UnreadableWeightsError


class Window:
    """Bytes of a file, read by position; nothing outside the stretch can be reached.

    Attributes:
        size: In bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        """Args: a file that can be sought in, where the stretch begins, how long it is."""
        self._file, self._start, self.size = file, start, size

    def part(self, at: int, size: int) -> Window:
        """A stretch of this one.

        Raises:
            UnreadableWeightsError: If it does not lie inside.
        """
        self._check(at, size)
        return Window(self._file, self._start + at, size)

    def read(self, at: int, size: int) -> bytes:
        """Bytes from a position on.

        Raises:
            UnreadableWeightsError: If there are fewer.
        """
        self._check(at, size)
        self._file.seek(self._start + at)
        pieces = []
        while size:
            piece = self._file.read(size)
            if not piece:
                raise UnreadableWeightsError("is shorter than it was a moment ago")
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def all(self) -> bytearray:
        """Every byte, in memory that the caller owns."""
        content = bytearray(self.size)
        view, at = memoryview(content), 0
        self._file.seek(self._start)
        while at < self.size:
            got = self._file.readinto(view[at:])  # type: ignore[attr-defined]  # of every binary file
            if not got:
                raise UnreadableWeightsError("is shorter than it was a moment ago")
            at += got
        return content

    def _check(self, at: int, size: int) -> None:
        if at < 0 or size < 0 or at + size > self.size:
            raise UnreadableWeightsError(
                "is cut off, or damaged: it refers to bytes that it does not have; fetch it again"
            )
