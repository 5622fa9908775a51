"""Images in tiles that give exactly what the whole image gives: pure numpy, no I/O.

A model with a receptive radius r computes an output pixel from the input pixels at most r away. So the output
of a tile is what the whole image would give there, except within r of those of its borders that are not the
image's own. Tiles therefore overlap by 2r, and of each only its exact inside is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Tiles shrink in steps of this many pixels when fewer would do, so that images of many sizes still have
# tiles of few shapes: Triton batches equal shapes only, and runtimes prepare for each.
_GRAIN: Final = 32


@dataclass(frozen=True)
class Span:
    """Where a tile lies along one axis, in input pixels.

    Attributes:
        start: First pixel of the tile.
        stop: One past its last pixel.
        keep_start: First pixel whose output is taken from this tile.
        keep_stop: One past the last of those.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Grid:
    """The tiles of one image, all of one shape.

    Attributes:
        rows: Along the height, from top to bottom.
        columns: Along the width, from left to right.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return len(self.rows) * len(self.columns)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Height and width of every tile."""
        return self.rows[0].stop - self.rows[0].start, self.columns[0].stop - self.columns[0].start


def plan_grid(height: int, width: int, tile: int, radius: int, multiple: int = 1) -> Grid:
    """Plans the tiles of an image.

    Args:
        height: Of the image, at least 1.
        width: Of the image, at least 1.
        tile: Longest side of a tile. An image that is no longer is one tile along that axis.
        radius: The model's receptive radius, in input pixels.
        multiple: What the model's strides ask for. Tiles start at multiples of it, and end where the image's
            own end does within that, since the model fills up what is missing.

    Returns:
        The grid.

    Raises:
        ValueError: If an axis needs several tiles and nothing of one would be kept.
    """
    return Grid(plan_axis(height, tile, radius, multiple), plan_axis(width, tile, radius, multiple))


def plan_axis(length: int, tile: int, radius: int, multiple: int = 1) -> tuple[Span, ...]:
    """Plans the tiles along one axis, see `plan_grid`.

    Args:
        length: Of the axis.
        tile: Longest tile.
        radius: The receptive radius.
        multiple: At which tiles start.

    Returns:
        Tiles of equal length; what is kept of them is the axis, without gap or overlap.

    Raises:
        ValueError: If several are needed and nothing of one would be kept.
    """
    if length <= tile:
        return (Span(0, length, 0, length),)
    size = tile - (tile - length) % multiple  # the last one ends with the image and starts at a multiple
    step = _step(size, radius, multiple)
    if step < 1:
        raise ValueError(f"tiles of {tile} pixels keep nothing of a radius of {radius}, multiple {multiple}")
    cuts = math.ceil((length - size) / step)
    shrink = multiple * math.ceil(_GRAIN / multiple)
    while cuts * _step(size - shrink, radius, multiple) >= length - (size - shrink):
        size -= shrink
    # Evenly spread, in units of the multiple; neighbours are never further apart than a step.
    units = (length - size) // multiple
    starts = [index * units // cuts * multiple for index in range(cuts + 1)]
    # Between the first pixel that is exact in the next tile and the last that is exact in this one.
    seams = [(start + radius + before + size - radius) // 2 for before, start in pairwise(starts)]
    keeps = [0, *seams, length]
    return tuple(
        Span(start, start + size, keeps[index], keeps[index + 1]) for index, start in enumerate(starts)
    )


def cut(image: NDArray[np.uint8], row: Span, column: Span) -> NDArray[np.uint8]:
    """The pixels of one tile.

    Args:
        image: [H, W, C].
        row: Its place along the height.
        column: Its place along the width.

    Returns:
        A view [h, w, C].
    """
    return image[row.start : row.stop, column.start : column.stop]


def join_row(
    tiles: Sequence[NDArray[np.uint8]], row: Span, columns: Sequence[Span], scale: int
) -> NDArray[np.uint8]:
    """Puts together what the tiles of one row gave.

    Args:
        tiles: One [h · scale, w · scale, C] a column.
        row: The row they are in.
        columns: The grid's columns.
        scale: The model's enlargement.

    Returns:
        The finished rows of pixels, [(row.keep_stop - row.keep_start) · scale, W · scale, C].
    """
    top, bottom = (row.keep_start - row.start) * scale, (row.keep_stop - row.start) * scale
    kept = [
        tile[top:bottom, (span.keep_start - span.start) * scale : (span.keep_stop - span.start) * scale]
        for tile, span in zip(tiles, columns, strict=True)
    ]
    return np.concatenate(kept, axis=1)


def _step(size: int, radius: int, multiple: int) -> int:
    """How far apart two tiles may start."""
    return (size - 2 * radius) // multiple * multiple
