"""Contact sheets: several images of one size as one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAP = 2
"""Pixels between neighbouring images, and around none of the outer edges."""

_BACKGROUND = 255


def sheet_size(n: int, height: int, width: int) -> tuple[int, int]:
    """Size of the sheet of `n` images, before any of them exists.

    Args:
        n: Number of images, at least 1.
        height: Height of one image in pixels.
        width: Width of one image in pixels.

    Returns:
        Height and width of the sheet in pixels.
    """
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    return rows * (height + GAP) - GAP, columns * (width + GAP) - GAP


def contact_sheet(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Lays images out row by row in a grid as square as possible, on white.

    Args:
        images: One or more arrays of the same shape [height, width, 3], uint8.

    Returns:
        The sheet, uint8; a single image is returned as it is.

    Raises:
        ValueError: If there is no image.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    if len(images) == 1:
        return images[0]
    height, width, _ = images[0].shape
    sheet = np.full((*sheet_size(len(images), height, width), 3), _BACKGROUND, np.uint8)
    columns = math.ceil(math.sqrt(len(images)))
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet
