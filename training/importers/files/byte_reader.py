"""Bytes of a stretch of a file, one after another."""

from __future__ import annotations

from training.importers.files.window import Window

MAX_LINE = 1_000
INLINE_BYTES = 65_536
"""Longer byte strings stay in the file until they are needed."""

_CHUNK = 65_536


class ByteReader:
    """Reads on from the beginning of a stretch; a part of it is in memory.

    Each method raises UnreadableWeightsError if there are fewer bytes than it is to take.
    """

    def __init__(self, window: Window) -> None:
        """Args: the stretch."""
        self._window = window
        self._chunk, self._base, self._next = b"", 0, 0

    @property
    def at(self) -> int:
        """Position of the next byte."""
        return self._base + self._next

    @property
    def left(self) -> int:
        """Bytes up to the end."""
        return self._window.size - self.at

    def byte(self) -> int:
        """The next byte."""
        if self._next >= len(self._chunk):
            self._fill(1)
        self._next += 1
        return self._chunk[self._next - 1]

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if self._next + size > len(self._chunk):
            self._fill(size)
        self._next += size
        return self._chunk[self._next - size : self._next]

    def number(self, size: int) -> int:
        """A number of so many bytes, without a sign, the lowest first."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        """A line, without its end.

        Raises:
            ValueError: If it does not end soon.
        """
        end = self._chunk.find(b"\n", self._next)
        if end < 0:
            self._fill(min(MAX_LINE, self.left))
            end = self._chunk.find(b"\n", self._next)
        if not 0 <= end - self._next < MAX_LINE:
            raise ValueError("a line without an end")
        line = self.take(end - self._next)
        self._next += 1
        return line

    def stretch(self, size: int) -> Window:
        """So many bytes, left in the file."""
        stretch = self._window.part(self.at, size)
        self._chunk, self._base, self._next = b"", self.at + size, 0
        return stretch

    def binary(self, size: int) -> bytes | Window:
        """So many bytes, left in the file if they are many."""
        return self.take(size) if size <= INLINE_BYTES else self.stretch(size)

    def _fill(self, size: int) -> None:
        """Has at least so many bytes at hand."""
        at = self.at
        self._chunk = self._window.read(at, max(size, min(_CHUNK, self.left)))
        self._base, self._next = at, 0
