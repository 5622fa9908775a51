"""Cuts photographs into tiles to learn super-resolution from: sharp ones, with something in them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.archive import Pixels

SHARP = 5.0
"""Least standard deviation, in grey levels, of what a photograph's sharpest quarter loses by halving."""
MAX_HALVINGS = 2
MIN_GRADIENT_LENGTH = 4.0
"""Least mean length of the gradient over a tile, √(∂x² + ∂y²) in grey levels a pixel; less in blurred
backgrounds and skies."""


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture, without decoding it."""
    with Image.open(io.BytesIO(data)) as image:
        return image.width, image.height


def sharpened(image: Image.Image, side: int) -> tuple[Image.Image, int]:
    """Halves a photograph as long as its finest octave is empty.

    Many photographs are soft at full size: from one octave to the next there is nothing to restore, so that a
    network would learn to leave blur as it is. At half the size the same photograph is sharp.

    Args:
        image: An RGB photograph.
        side: Side of the tiles that are to be cut; no halving goes below three tiles a side.

    Returns:
        The photograph, and how often it was halved.
    """
    for halvings in range(MAX_HALVINGS + 1):
        if halvings == MAX_HALVINGS or min(image.size) < 6 * side or _finest_octave(image, side) >= SHARP:
            return image, halvings
        image = image.reduce(2)
    raise AssertionError("the last turn returns")


def _finest_octave(image: Image.Image, side: int) -> float:
    """Mean standard deviation of what is lost by halving, over the quarter of tiles that lose most."""
    grey = image.convert("L")
    width, height = grey.size
    low = grey.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    lost = np.asarray(grey, np.float32) - np.asarray(
        low.resize(grey.size, Image.Resampling.BICUBIC), np.float32
    )
    deviation = np.sort(_in_tiles(lost, side).std(axis=(2, 3)).ravel())
    return float(deviation[-max(1, len(deviation) // 4) :].mean())


def tiles(image: Image.Image, side: int, most: int) -> list[Pixels]:
    """Cuts a photograph into tiles side by side and keeps those with enough in them.

    Args:
        image: An RGB photograph.
        side: Side of a tile in pixels.
        most: How many tiles are kept; those with the largest gradients.

    Returns:
        UINT8 tiles, [side, side, 3], from top left to bottom right.
    """
    pixels = np.asarray(image)
    grey = np.asarray(image.convert("L"), np.float32)
    if min(grey.shape) < side:
        return []
    gradient = np.hypot(*np.gradient(grey))
    strength = _in_tiles(gradient, side).mean(axis=(2, 3))  # [rows, columns]
    columns = strength.shape[1]
    order = np.argsort(-strength.ravel(), kind="stable")[:most]
    chosen = sorted(int(index) for index in order if strength.ravel()[index] >= MIN_GRADIENT_LENGTH)
    corners = [(index // columns * side, index % columns * side) for index in chosen]
    return [pixels[y : y + side, x : x + side].copy() for y, x in corners]


def _in_tiles(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """[H, W] as [rows, columns, side, side]; what is left over at the right and below falls away."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    cut = plane[: rows * side, : columns * side]
    return cut.reshape(rows, side, columns, side).swapaxes(1, 2)
