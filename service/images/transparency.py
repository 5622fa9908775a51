"""What becomes of transparency: flattened onto a colour, or kept with sensible colours below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS = 256  # at a time, so that the wider numbers in between stay small


def flatten(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], background: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Composites an image over one colour, in sRGB levels as browsers do.

    Args:
        pixels: [H, W, 3], not premultiplied.
        alpha: [H, W], 255 is opaque.
        background: Red, green, blue.

    Returns:
        [H, W, 3].
    """
    below = np.array(background, np.uint16)
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), _ROWS):
        part = slice(start, start + _ROWS)
        weight = alpha[part, :, None].astype(np.uint16)
        out[part] = (pixels[part] * weight + below * (255 - weight) + 127) // 255
    return out


def spread_colours(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gives invisible pixels the colours of what is visible around them.

    Whatever a file holds where nothing shows, often black, would otherwise be drawn into the edges of what
    does show as soon as neighbouring pixels are mixed. Colours are averaged over ever larger blocks and taken
    from the smallest block that has any.

    Args:
        pixels: [H, W, 3].
        alpha: [H, W].

    Returns:
        [H, W, 3], equal to `pixels` where alpha is not 0, or everywhere if nothing shows at all.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    weight = alpha.astype(np.float32)[:, :, None] / 255
    filled = _filled(pixels * weight, weight)
    return np.where(hidden[:, :, None], np.clip(filled + 0.5, 0, 255).astype(np.uint8), pixels)


def _filled(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted mean colours [H, W, 3] of sums of colours and of weights, none left without."""
    mean: NDArray[np.float32] = colour / np.maximum(weight, 1e-6)
    if weight.all() or max(weight.shape) == 1:
        return mean
    height, width, _ = weight.shape
    coarse = _filled(_halved(colour), _halved(weight))
    larger = coarse.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width]
    return np.where(weight > 0, mean, larger)


def _halved(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over blocks of 2 × 2."""
    height, width, _ = sums.shape
    even = np.pad(sums, ((0, height % 2), (0, width % 2), (0, 0)))
    blocks: NDArray[np.float32] = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return blocks
