"""Contact sheets and labelled grids: several images of one size as one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP = 2
"""Pixels between neighbouring images, and around none of the outer edges."""

_BACKGROUND = 255
_INK = (90, 90, 90)
_FONT_SIZE = 11
CAPTION_HEIGHT = 16
"""Pixels below each image, if there are captions."""


def sheet_size(n: int, height: int, width: int, *, captions: bool = False) -> tuple[int, int]:
    """Size of the sheet of `n` images, before any of them exists.

    Args:
        n: Number of images, at least 1.
        height: Height of one image in pixels.
        width: Width of one image in pixels.
        captions: Whether there is a line of text below each.

    Returns:
        Height and width of the sheet in pixels.
    """
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    return grid_size(rows, columns, height + (CAPTION_HEIGHT if captions else 0), width)


def grid_size(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Size of a grid of cells.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        height: Of a cell, in pixels.
        width: Of a cell, in pixels.

    Returns:
        Height and width in pixels.
    """
    return rows * (height + GAP) - GAP, columns * (width + GAP) - GAP


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Lays images out row by row in a grid as square as possible, on white.

    Args:
        images: One or more arrays of the same shape [height, width, 3], uint8.
        captions: A line of text for each, cut where it is wider than the image.

    Returns:
        The sheet, uint8; a single image without caption is returned as it is.

    Raises:
        ValueError: If there is no image.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    if captions is not None:
        images = [captioned(image, text) for image, text in zip(images, captions, strict=True)]
    if len(images) == 1:
        return images[0]
    return grid(images, math.ceil(math.sqrt(len(images))))


def grid(images: Sequence[NDArray[np.uint8] | None], columns: int) -> NDArray[np.uint8]:
    """Lays images out row by row, on white.

    Args:
        images: Arrays of the same shape [height, width, 3], uint8; None leaves a cell empty.
        columns: Of the grid.

    Returns:
        The grid, uint8.

    Raises:
        ValueError: If there is no image.
    """
    first = next((image for image in images if image is not None), None)
    if first is None:
        raise ValueError("a grid needs at least one image")
    height, width, _ = first.shape
    rows = math.ceil(len(images) / columns)
    sheet = np.full((*grid_size(rows, columns, height, width), 3), _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        if image is not None:
            top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
            sheet[top : top + height, left : left + width] = image
    return sheet


def captioned(image: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """An image with a line of text below.

    Args:
        image: uint8 [height, width, 3].
        text: Cut where it is wider than the image.

    Returns:
        uint8 [height + `CAPTION_HEIGHT`, width, 3].
    """
    line = Image.new("RGB", (image.shape[1], CAPTION_HEIGHT), (_BACKGROUND,) * 3)
    font = _font()
    while text and font.getlength(text) > image.shape[1]:
        text = text[:-2] + "…" if len(text) > 2 else ""
    left = (image.shape[1] - font.getlength(text)) / 2
    ImageDraw.Draw(line).text((max(0, round(left)), 1), text, fill=_INK, font=font)
    return np.concatenate([image, np.asarray(line)])


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)  # comes with Pillow
