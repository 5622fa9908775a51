"""Rows of tiles to an image file: joined, cropped, resampled, in the memory of one such row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.images.row_file import FinishedFile, RowFile
from service.resample import BandResampler
from service.tiling import Grid, Span, join_row

_ALPHA_BAND: Final = 64  # rows of transparency resampled at a time


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


class Assembly:
    """What a model makes of the tiles of one image becomes a file, from top to bottom.

    Attributes:
        size: Height and width of the image in the file.
    """

    def __init__(
        self,
        grid: Grid,
        scale: int,
        box: Box,
        size: tuple[int, int],
        alpha: NDArray[np.uint8] | None,
        file: RowFile,
    ) -> None:
        """Begins.

        Args:
            grid: The tiles.
            scale: The model's enlargement.
            box: What is wanted of the image that the model makes, in its pixels.
            size: Height and width to resample that to.
            alpha: Transparency of what is in the box [h, w] at any size, or None.
            file: Of `size`, with four channels if there is alpha.
        """
        self.size = size
        self._columns = grid.columns
        self._scale = scale
        self._box = box
        self._resampler = BandResampler((box.height, box.width), size)
        self._alpha = None if alpha is None else _AlphaRows(alpha, size)
        self._file = file

    def take_row(self, row: Span, tiles: Sequence[NDArray[np.uint8]]) -> None:
        """Takes one row of tiles; rows come in order.

        Args:
            row: Which one.
            tiles: What the model made of each.
        """
        rows = join_row(tiles, row, self._columns, self._scale)
        box, first = self._box, row.keep_start * self._scale
        start, stop = max(0, box.top - first), max(0, min(len(rows), box.top + box.height - first))
        if start >= stop:
            return
        made = self._resampler.push(rows[start:stop, box.left : box.left + box.width])
        if self._alpha is not None:
            made = np.concatenate([made, self._alpha.take(len(made))], axis=2)
        self._file.write(made)

    def finish(self) -> FinishedFile:
        """The file, once all rows have been taken."""
        return self._file.finish()

    def close(self) -> None:
        """Gives up: nothing is left of the file."""
        self._file.close()


class _AlphaRows:
    """Transparency, resampled as far as it is needed."""

    def __init__(self, alpha: NDArray[np.uint8], size: tuple[int, int]) -> None:
        height, width = alpha.shape
        self._resampler = BandResampler((height, width), size)
        self._source = alpha[:, :, None]
        self._pushed = 0
        self._ready = np.empty((0, size[1], 1), np.uint8)

    def take(self, n: int) -> NDArray[np.uint8]:
        """The next n rows."""
        parts = [self._ready]
        missing = n - len(self._ready)
        while missing > 0:
            band = self._source[self._pushed : self._pushed + _ALPHA_BAND]
            self._pushed += len(band)
            parts.append(self._resampler.push(band))
            missing -= len(parts[-1])
        rows = np.concatenate(parts)
        self._ready = rows[n:].copy()
        return rows[:n]
