"""The decoded images of a dataset: in memory where they fit, else decoded when asked for.

Either way every file is decoded once when a dataset is opened, so that a broken one is reported then, with all
others that are, and not in the third epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from training.data.decode import Decoded, DecodeError, Pixels, decode, header_size, large_images_allowed
from training.data.sources import DatasetError, Source
from training.files import atomic_write

RAM_LIMIT = 4 << 30
"""Bytes of decoded pixels that a process keeps in memory; a larger dataset is decoded as it is used."""

_STAMP_VERSION = 1
_NAMED = 10

Progress = Callable[[str, int, int], None]
"""Told what is done now, how many files are done, and of how many."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


class Check(Protocol):
    """What an image's size must be."""

    key: str

    def __call__(self, height: int, width: int) -> str | None:
        """What is wrong with a size, as the end of a sentence that begins with a name; None if nothing is."""
        ...


class _Opened(NamedTuple):
    problem: str | None
    frames: int
    shape: tuple[int, int]


class ImageStore:
    """Images of a source by index, [H, W, 3] UINT8, read-only.

    Args:
        source: Where the files lie.
        check: What their sizes must be.
        ram_limit: Bytes of pixels that may be kept in memory.
        progress: Told how many files are checked.

    Attributes:
        source: Where the files lie.
        names: Their relative names, in the order of the indices.
        held_bytes: Bytes of pixels in memory; 0 if images are decoded as they are used.
        notes: What is worth telling about files that are usable.

    Raises:
        DatasetError: If any file cannot be used; the message names the first ten.
    """

    def __init__(
        self, source: Source, check: Check, *, ram_limit: int = RAM_LIMIT, progress: Progress = no_progress
    ) -> None:
        self.source = source
        self.names = source.names
        self.held_bytes = 0
        self.notes: list[str] = []
        self._check = check
        self._pixels: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None
        self._offsets: list[int] = []
        self._shapes: list[tuple[int, int]] = []
        stamp = _Stamp(source, check.key)
        if stamp.bytes > ram_limit:  # checked by an earlier run, and known not to fit
            self.notes = stamp.notes
            return
        with large_images_allowed(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            sizes = list(threads.map(self._size, self.names))
            lengths = [h * w * 3 for h, w in sizes]
            total = sum(lengths)
            if total <= ram_limit:
                self._pixels = np.empty(total, np.uint8)
                self._offsets = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
                self.held_bytes = total
            results = []
            for result in threads.map(self._open, range(len(self.names)), sizes):
                results.append(result)
                if len(results) % 64 == 0 or len(results) == len(self.names):
                    progress(f"checking {source.path}", len(results), len(self.names))
        report_problems(
            source.path, [f"{n} {r.problem}" for n, r in zip(self.names, results) if r.problem], len(results)
        )
        animated = [n for n, r in zip(self.names, results) if r.frames > 1]
        if animated:
            self.notes.append(
                f"{source.path}: of files with several frames the first is used: {listed(animated)}"
            )
        if self._pixels is None:
            stamp.write(total, self.notes)
        else:
            self._shapes = [r.shape for r in results]
            self._pixels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pixels:
        if self._pixels is not None:
            height, width = self._shapes[index]
            return self._pixels[self._offsets[index] : self._offsets[index + 1]].reshape(height, width, 3)
        try:
            pixels = self._decode(index).pixels
            problem = self._check(*pixels.shape[:2])
        except DecodeError as error:
            problem = str(error)
        if problem:
            raise DatasetError(
                f"{self.source.path}:{self.names[index]} {problem}; it changed since it was checked"
            )
        pixels.flags.writeable = False
        return pixels

    def _size(self, name: str) -> tuple[int, int]:
        """Height and width by the header; 0 × 0 if it is broken."""
        try:
            with self.source.open(name) as file:
                size = header_size(file)
            return size or header_size(io.BytesIO(self.source.read(name))) or (0, 0)
        except Exception:  # `_open` meets the same error and reports it
            return 0, 0

    def _open(self, index: int, size: tuple[int, int]) -> _Opened:
        """Decodes one file, into memory if it is to be held there."""
        height, width = size
        # An image may be turned by its EXIF orientation; one that fits neither way need not be decoded.
        wrong = self._check(height, width)
        if wrong and size != (0, 0) and self._check(width, height):
            return _Opened(wrong, 1, size)
        try:
            decoded = self._decode(index)
        except DecodeError as error:
            return _Opened(str(error), 1, size)
        shape = decoded.pixels.shape[:2]
        problem = self._check(*shape)
        if problem is None and self._pixels is not None:
            slot = self._pixels[self._offsets[index] : self._offsets[index + 1]]
            slot[:] = decoded.pixels.reshape(-1)
        return _Opened(problem, decoded.frames, (shape[0], shape[1]))

    def _decode(self, index: int) -> Decoded:
        try:
            data = self.source.read(self.names[index])
        except Exception as error:  # a damaged archive fails in as many ways as a damaged image
            raise DecodeError(f"cannot be read: {error}") from error
        return decode(data)


def report_problems(path: Path, problems: Sequence[str], total: int) -> None:
    """Raises an error that tells all problems of a dataset at once, if there are any."""
    if problems:
        more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        lines = "".join(f"\n  {p}" for p in problems[:_NAMED])
        raise DatasetError(
            f"{path}: {len(problems)} of {total} images cannot be used; mend them or take them out:{lines}{more}"
        )


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class _Stamp:
    """A small file beside a dataset that says: these very files were all decoded and fit."""

    def __init__(self, source: Source, key: str) -> None:
        self.path = source.path.parent / f".{source.path.name}.checked.json"
        self.bytes = 0
        self.notes: list[str] = []
        self._source = source
        self._key = key
        try:
            stamp = json.loads(self.path.read_bytes())
            if stamp["digest"] == self._digest():
                self.bytes, self.notes = int(stamp["bytes"]), list(stamp["notes"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none, or not ours: the dataset is checked again

    def write(self, pixel_bytes: int, notes: list[str]) -> None:
        stamp = {"digest": self._digest(), "bytes": pixel_bytes, "notes": notes}
        try:
            with atomic_write(self.path) as file:
                file.write(json.dumps(stamp).encode())
        except OSError:
            pass  # a dataset on a read-only disk is checked at every start

    def _digest(self) -> str:
        rows = [self._source.fingerprint(name) for name in self._source.names]
        return hashlib.sha256(json.dumps([_STAMP_VERSION, self._key, rows]).encode()).hexdigest()
