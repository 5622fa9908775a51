"""The decoded images of a dataset: in memory where they fit, else decoded when asked for.

Either way every file is decoded once when a dataset is opened, so that a broken one is reported then,
together with all others that are, and not in the third epoch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.data.decode import (
    WHITE,
    Decoded,
    DecodeError,
    Pixels,
    decode,
    header_size,
    quiet_pillow,
)
from training.data.sources import DatasetError, Source, listed, refuse
from training.files import atomic_write

RAM_LIMIT = 4 << 30
"""Bytes of decoded pixels that a process keeps in memory; a larger dataset is decoded as it is used."""
MIN_SIDE = 8
"""Least height and width of an image where no resolution is asked for."""

_STAMP_VERSION = 1

Progress = Callable[[str, int, int], None]
"""Told what is done now, for how many files it is done, and for how many it will be."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class SizeCheck:
    """What an image's size must be.

    Attributes:
        resolution: Height and width, or None for any.
        min_side: Least height and width if any are taken.
        halves: Whether an image shows A and B side by side, which are then meant by the others.
    """

    resolution: int | None
    min_side: int = MIN_SIDE
    halves: bool = False

    def __call__(self, height: int, width: int) -> str | None:
        """What is wrong with a size, as a sentence that begins with a name goes on; None if nothing is."""
        found = f"is {width}×{height}"
        if self.halves and width % 2:
            return f"{found}; with A and B side by side its width is even"
        side = width // 2 if self.halves else width
        if self.resolution is not None:
            expected = f"{self.resolution * (2 if self.halves else 1)}×{self.resolution}"
            fits = height == side == self.resolution
            return None if fits else f"{found}; expected {expected}"
        return (
            None
            if min(height, side) >= self.min_side
            else f"{found}; sides under {self.min_side} are refused"
        )


class ImageStore:
    """Images of a source by index: UINT8, [H, W, 3], read-only.

    Args:
        source: Where the files lie.
        check: What their sizes must be.
        background: RGB behind transparent pixels.
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
        self,
        source: Source,
        check: SizeCheck,
        *,
        background: tuple[int, int, int] = WHITE,
        ram_limit: int = RAM_LIMIT,
        progress: Progress = no_progress,
    ) -> None:
        self.source = source
        self.names = source.names
        self.held_bytes = 0
        self.notes: list[str] = []
        self._check = check
        self._background = background
        self._pixels: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None
        self._offsets: list[int] = []
        self._shapes: list[tuple[int, int]] = []
        stamp = _Stamp(source, check)
        if stamp.pixel_bytes > ram_limit:  # checked by an earlier run, and known not to fit
            self.notes = stamp.notes
            return
        with quiet_pillow(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            sizes = list(threads.map(self._header, self.names))
            lengths = [height * width * 3 for height, width in sizes]
            total = sum(lengths)
            if total <= ram_limit:
                self._pixels = np.empty(total, np.uint8)
                self._offsets = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
                self.held_bytes = total
            files = []
            for file in threads.map(self._open, range(len(self)), sizes):
                files.append(file)
                if len(files) % 64 == 0 or len(files) == len(self):
                    progress(f"checking {source.path}", len(files), len(self))
        by_name = list(zip(self.names, files, strict=True))
        refuse(source.path, [f"{name} {file.problem}" for name, file in by_name if file.problem], len(self))
        if animated := [name for name, file in by_name if file.frames > 1]:
            self.notes.append(f"{source.path}: only the first frame is used of {listed(animated)}")
        if self._pixels is None:
            stamp.write(total, self.notes)
        else:
            self._shapes = [file.shape for file in files]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pixels:
        if self._pixels is not None:
            height, width = self._shapes[index]
            slot = self._pixels[self._offsets[index] : self._offsets[index + 1]]
            pixels = slot.reshape(height, width, 3)
        else:
            pixels = self._decode_again(index)
        pixels.flags.writeable = False  # a transform that worked in place would change the dataset
        return pixels

    def stack(self) -> Pixels:
        """All images in one array, [N, H, W, 3], which is the store's own memory.

        Raises:
            DatasetError: If they differ in size or are not in memory.
        """
        if self._pixels is None or len(set(self._shapes)) != 1:
            raise DatasetError(f"the images of {self.source.path} differ in size or do not fit in memory")
        return self._pixels.reshape(len(self), *self._shapes[0], 3)

    def _header(self, name: str) -> tuple[int, int]:
        """Height and width by the header; 0 × 0 if it is broken."""
        try:
            with self.source.open(name) as file:
                size = header_size(file)
            return size or header_size(io.BytesIO(self.source.read(name))) or (0, 0)
        except Exception:  # `_open` meets the same failure and reports it
            return 0, 0

    def _open(self, index: int, size: tuple[int, int]) -> _File:
        """Decodes one file, into memory if it is to be held there."""
        height, width = size
        # Its EXIF orientation may turn an image; one that fits neither way need not be decoded.
        if size != (0, 0) and (problem := self._check(height, width)) and self._check(width, height):
            return _File(problem, 1, size)
        try:
            pixels, frames = self._decode(index)
        except DecodeError as error:
            return _File(str(error), 1, size)
        shape = (pixels.shape[0], pixels.shape[1])
        problem = self._check(*shape)
        if problem is None and pixels.size != height * width * 3:
            problem = f"is {shape[1]}×{shape[0]}, and its header says {width}×{height}"
        if problem is None and self._pixels is not None:
            self._pixels[self._offsets[index] : self._offsets[index + 1]] = pixels.reshape(-1)
        return _File(problem, frames, shape)

    def _decode(self, index: int) -> Decoded:
        try:
            data = self.source.read(self.names[index])
        except Exception as error:  # a damaged archive fails in as many ways as a damaged image
            raise DecodeError(f"cannot be read: {error}") from error
        return decode(data, self._background)

    def _decode_again(self, index: int) -> Pixels:
        try:
            with quiet_pillow():
                pixels = self._decode(index).pixels
            problem = self._check(*pixels.shape[:2])
        except DecodeError as error:
            problem = str(error)
        if problem:
            where = f"{self.source.path}:{self.names[index]}"
            raise DatasetError(f"{where} {problem}; it changed after it had been checked")
        return pixels


class _File(NamedTuple):
    """What was found out about a file: its problem if it has one, its frames, its height and width."""

    problem: str | None
    frames: int
    shape: tuple[int, int]


class _Stamp:
    """A small file beside a dataset that says: these very files were all decoded and fit.

    Attributes:
        pixel_bytes: What they come to when decoded; 0 if they must be checked.
        notes: What was worth telling about them.
    """

    def __init__(self, source: Source, check: SizeCheck) -> None:
        self.path = source.path.parent / f".{source.path.name}.checked.json"
        self.pixel_bytes = 0
        self.notes: list[str] = []
        self._source = source
        self._check = check
        # None, or not ours: then the dataset is checked again.
        with suppress(OSError, ValueError, KeyError, TypeError):
            stamp = json.loads(self.path.read_bytes())
            if stamp["digest"] == self._digest():
                self.pixel_bytes, self.notes = int(stamp["pixel_bytes"]), list(stamp["notes"])

    def write(self, pixel_bytes: int, notes: list[str]) -> None:
        """Says so from now on; on a disk that cannot be written, every start checks anew."""
        stamp = {"digest": self._digest(), "pixel_bytes": pixel_bytes, "notes": notes}
        with suppress(OSError), atomic_write(self.path) as file:
            file.write(json.dumps(stamp).encode())

    def _digest(self) -> str:
        rows = [self._source.fingerprint(name) for name in self._source.names]
        content = json.dumps([_STAMP_VERSION, repr(self._check), rows])
        return hashlib.sha256(content.encode()).hexdigest()
