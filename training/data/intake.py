"""Takes in the user's files one after another: decoded, shaped, or left out with a reason."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from training.data.decode import WHITE, DecodeError, Pixels, decode
from training.data.shaping import MIN_ABS_GRADIENT, centre_square, mean_gradient, tile_boxes
from training.data.sources import Source
from training.data.store import Progress, no_progress

_AHEAD = 16  # files that are decoded before the one that is written
_THREADS = 4  # each may hold a picture of many megapixels

Views = tuple[Pixels, ...]
"""One picture, or A and B of a pair."""

T = TypeVar("T")
R = TypeVar("R")


class File(NamedTuple):
    """A file of a source, and what it is called in a report."""

    source: Source
    name: str
    shown: str


class Item(NamedTuple):
    """What becomes one image or several tiles: a picture, or a pair in two files or side by side in one.

    Attributes:
        name: Relative name without its ending.
        files: One file, or those of A and B.
        halves: Whether the one file shows A on the left and B on the right.
    """

    name: str
    files: tuple[File, ...]
    halves: bool = False


@dataclass(frozen=True)
class Shaping:
    """How pictures are brought to size.

    Attributes:
        resolution: Side of the images to make.
        tiles: Whether to cut tiles of that side at full detail, instead of resizing the centre square.
        min_gradient: Least mean gradient of a tile, in grey levels a pixel.
        enlarge: Whether pictures smaller than that may be enlarged.
        background: RGB behind transparent pixels.
    """

    resolution: int
    tiles: bool = False
    min_gradient: float = MIN_ABS_GRADIENT
    enlarge: bool = False
    background: tuple[int, int, int] = WHITE

    def __call__(self, views: Views) -> list[Views]:
        """Images made of a picture, or of A and B alike.

        Raises:
            DecodeError: If nothing can be made of it.
        """
        short = min(side for view in views for side in view.shape[:2])
        if short < self.resolution and (self.tiles or not self.enlarge):
            raise DecodeError(f"is {_size(views[0])}, smaller than {self.resolution}×{self.resolution}")
        first = views[0].shape
        if self.tiles:
            if any(view.shape != first for view in views):
                raise DecodeError(f"differs in size from its partner: {' and '.join(map(_size, views))}")
            boxes = tile_boxes(first[0], first[1], self.resolution)
            cut = [tuple(view[box] for view in views) for box in boxes]
            kept = [tile for tile in cut if max(map(mean_gradient, tile)) >= self.min_gradient]
            if not kept:
                raise DecodeError("has no tile with enough detail")
            return kept
        # A and B may differ in scale; in shape only by what rounding does.
        if any(abs(v.shape[1] * first[0] - v.shape[0] * first[1]) > max(v.shape[:2]) for v in views):
            raise DecodeError(f"differs in shape from its partner: {' and '.join(map(_size, views))}")
        return [tuple(centre_square(view, self.resolution) for view in views)]


class Intake:
    """Decodes and shapes items in order, and keeps account of them.

    Args:
        shaping: How pictures are brought to size.
        total: How many items there will be in all.
        unique: Whether a file with the very bytes of an earlier one is left out.
        progress: Told how many items are done.

    Attributes:
        left_out: A sentence for each file that was not used, beginning with its name.
        animated: Names of files with several frames, of which the first was used.
        digests: SHA-256 of each file that was used, by name.
        used: The items that were used.
    """

    def __init__(
        self, shaping: Shaping, total: int, *, unique: bool, progress: Progress = no_progress
    ) -> None:
        self.left_out: list[str] = []
        self.animated: list[str] = []
        self.digests: dict[str, str] = {}
        self.used: list[Item] = []
        self._shaping = shaping
        self._total = total
        self._done = 0
        self._progress = progress
        self._unique = unique
        self._first_with: dict[str, str] = {}

    def take(self, items: Sequence[Item]) -> Iterator[tuple[Item, list[Views]]]:
        """Each item that can be used, with the images made of it."""
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
            for item, taken in zip(items, _in_order(threads, self._take, items), strict=True):
                self._done += 1
                self._progress("reading images", self._done, self._total)
                if isinstance(taken, str):
                    self.left_out.append(taken)
                elif self._is_new(item, taken):
                    self.digests.update(taken.digests)
                    self.animated += taken.animated
                    self.used.append(item)
                    yield item, taken.images

    def _is_new(self, item: Item, taken: _Taken) -> bool:
        for name, digest in taken.digests.items():
            earlier = self._first_with.setdefault(digest, name)
            if self._unique and earlier != name:
                self.left_out.append(f"{name} is the same file as {earlier}")
                return False
        return True

    def _take(self, item: Item) -> _Taken | str:
        views: list[Pixels] = []
        digests: dict[str, str] = {}
        animated: list[str] = []
        for file in item.files:
            try:
                data = _read(file)
                decoded = decode(data, self._shaping.background)
            except DecodeError as error:
                return f"{file.shown} {error}"
            views.append(decoded.pixels)
            digests[file.shown] = hashlib.sha256(data).hexdigest()
            animated += [file.shown] if decoded.frames > 1 else []
        try:
            shape = views[0].shape
            if item.halves:
                if shape[1] % 2:
                    raise DecodeError(f"is {_size(views[0])}; with A and B side by side its width is even")
                views = [views[0][:, : shape[1] // 2], views[0][:, shape[1] // 2 :]]
            return _Taken(self._shaping(tuple(views)), digests, animated)
        except DecodeError as error:
            return f"{item.files[0].shown} {error}"


class _Taken(NamedTuple):
    images: list[Views]
    digests: dict[str, str]
    animated: list[str]


def _read(file: File) -> bytes:
    try:
        return file.source.read(file.name)
    except Exception as error:  # a damaged archive or disk fails in many ways
        raise DecodeError(f"cannot be read: {error}") from error


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _in_order(threads: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results in the order of the items, computed a few ahead of the one that is asked for."""
    ahead: deque[Future[R]] = deque()
    for item in items:
        ahead.append(threads.submit(work, item))
        if len(ahead) > _AHEAD:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()
