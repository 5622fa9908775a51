"""Brings pictures to the size of a dataset: the centre square, resized, or tiles at full detail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from training.data.decode import Pixels

MIN_ABS_GRADIENT = 4.0
"""Least mean of |∂Y/∂x| + |∂Y/∂y| over a tile of a folder, in grey levels a pixel (`mean_gradient`); sky and
blurred backgrounds have less."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def centre_square(pixels: Pixels, side: int) -> Pixels:
    """The largest centred square, resized by an antialiased Lanczos filter.

    Args:
        pixels: UINT8, [H, W, 3].
        side: Height and width of the result.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = pixels[top : top + short, left : left + short]
    if short == side:
        return np.ascontiguousarray(square)
    image = Image.fromarray(np.ascontiguousarray(square))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def tile_boxes(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles of a picture: a grid without overlap, centred."""
    top, left = height % side // 2, width % side // 2
    for y in range(top, height - side + 1, side):
        for x in range(left, width - side + 1, side):
            yield slice(y, y + side), slice(x, x + side)


def mean_gradient(pixels: Pixels) -> float:
    """How much detail a picture shows: the mean of |∂Y/∂x| + |∂Y/∂y| of its luma, in grey levels a pixel."""
    luma = pixels.astype(np.float32) @ _LUMA
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())
