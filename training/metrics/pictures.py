"""Tables of images as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.files import atomic_write

GAP = 2
PAPER = 255

Pixels = NDArray[np.uint8]


def table(rows: Sequence[Sequence[Pixels]], gap: int = GAP) -> Pixels:
    """Lays images out in a table with white between them.

    Args:
        rows: UINT8 images [H, W, 3] of one size; rows may differ in length.
        gap: Pixels between two images.

    Returns:
        One picture.
    """
    h, w = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (h + gap) - gap, columns * (w + gap) - gap, 3)
    page = np.full(shape, PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = i * (h + gap), j * (w + gap)
            page[y : y + h, x : x + w] = image
    return page


def enlarge(image: Pixels, factor: int) -> Pixels:
    """Makes squares of the pixels."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def save_picture(path: Path, pixels: Pixels) -> None:
    """Writes a PNG file, whole or not at all."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    with atomic_write(path) as file:
        file.write(png.getvalue())
