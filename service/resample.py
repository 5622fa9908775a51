"""Lanczos resampling in bands of rows: the pixels of Pillow's `Image.resize`, in a fraction of the memory.

An image is resampled along the width, rounded to eight bits, and then along the height; Pillow goes the
other way round where that is less work. Rows do not meet in the first pass, so Pillow itself does it, band by
band. The second is a matrix product in whole numbers: weights of 22 bits times levels of 8 bits, summed in
FP64, are exact in whatever order, hence equal to Pillow's integers.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LOBES: Final = 3
_WEIGHT_BITS: Final = 22  # as in Pillow's Resample.c: 32 - 8 - 2
_BAND: Final = 16  # output rows computed together: few enough that most weights of the product are not zero
_COLUMNS: Final = 8192  # levels of a row computed together, which stay in the processor's cache


class BandResampler:
    """Resamples an image that arrives from top to bottom."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        """Prepares the weights.

        Args:
            source: Height and width of what will be pushed.
            target: Height and width wanted, both at least 1.
        """
        self._source_height, self._source_width = source
        self._height, self._width = target
        self._identity = self._source_height == self._height
        if not self._identity:
            self._first, self._weights = _weights(self._source_height, self._height)
        self._held: NDArray[np.uint8] | None = None  # rows still needed, resampled along the width
        self._held_from = 0  # which row of the source the first of them is
        self._made = 0

    def push(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Takes the next rows.

        Args:
            rows: [n, source width, C], C 1, 3 or 4.

        Returns:
            The rows [m, width, C] that are finished by them, m possibly 0.
        """
        rows = self._along_width(rows)
        if self._identity:
            return rows
        held = rows if self._held is None else np.concatenate([self._held, rows])
        received = self._held_from + len(held)
        last = self._first + self._weights.shape[1]  # one past the last row that each output row needs
        ready = int(np.searchsorted(np.minimum(last, self._source_height), received, side="right"))
        made = np.empty((max(0, ready - self._made), self._width, rows.shape[2]), np.uint8)
        for start in range(self._made, ready, _BAND):
            stop = min(start + _BAND, ready)
            self._along_height(held, start, stop, made[start - self._made : stop - self._made])
        self._made = max(self._made, ready)
        keep_from = int(self._first[self._made]) if self._made < self._height else received
        keep_from = min(max(keep_from, self._held_from), received)
        # A copy, or the view would keep alive what is not needed any more.
        self._held = held[keep_from - self._held_from :].copy()
        self._held_from = keep_from
        return made

    def _along_width(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._source_width == self._width:
            return rows
        squeezed = np.ascontiguousarray(rows[:, :, 0] if rows.shape[2] == 1 else rows)
        image = Image.fromarray(squeezed).resize((self._width, len(rows)), Image.Resampling.LANCZOS)
        return np.asarray(image).reshape(len(rows), self._width, rows.shape[2])

    def _along_height(self, held: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8]) -> None:
        """Computes the output rows from `start` to `stop`."""
        taps = self._weights.shape[1]
        begin = int(self._first[start])
        end = min(int(self._first[stop - 1]) + taps, self._source_height)
        matrix = np.zeros((stop - start, int(self._first[stop - 1]) + taps - begin))
        for index in range(start, stop):
            place = int(self._first[index]) - begin
            matrix[index - start, place : place + taps] = self._weights[index]
        matrix = matrix[:, : end - begin]
        source = held[begin - self._held_from : end - self._held_from].reshape(end - begin, -1)
        flat = out.reshape(stop - start, -1)
        for column in range(0, source.shape[1], _COLUMNS):
            part = slice(column, column + _COLUMNS)
            sums = matrix @ source[:, part].astype(np.float64)
            sums += 1 << (_WEIGHT_BITS - 1)
            np.floor(sums * 2.0**-_WEIGHT_BITS, out=sums)
            flat[:, part] = np.clip(sums, 0, 255, out=sums)


def _weights(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pillow's weights: of each output pixel the first input pixel, and whole numbers in 2⁻²²."""
    scale = source / target
    stretch = max(scale, 1.0)
    support = _LOBES * stretch
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.trunc(centre - support + 0.5), 0).astype(np.int64)
    last = np.minimum(np.trunc(centre + support + 0.5), source).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(support) * 2 + 1)
    weights = _lanczos((taps - centre[:, None] + 0.5) / stretch)
    weights[taps >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return first, np.trunc(weights * (1 << _WEIGHT_BITS) + np.copysign(0.5, weights))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.sinc(x) * np.sinc(x / _LOBES)
    values[(x < -_LOBES) | (x >= _LOBES)] = 0
    return values
