"""Whether the frames of a file are those of an animation that was made again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.concurrency import stop_if_abandoned
from service.images.animation import encode_animation
from service.images.animation_reading import AnimationFile, FramesDifferError
from service.images.comparison import ROOM_LEVELS, ROUNDING, Comparison, block_errors
from service.images.decode import inspect

Pixels = NDArray[np.uint8]

# Lossy files are compared with the frames made again and encoded again, by the encoder that made the file:
# what is left is rounding of another kind of processor, which dithering to the colours of GIF magnifies.
_ROOM_FACTOR: Final = {"webp": 0.5, "gif": 1.5}
_USUAL_QUALITY: Final = 75


def compare_animation(
    file: AnimationFile, made: Sequence[Pixels], *, lossless: bool, quality: int | None
) -> Comparison:
    """Compares a file's frames with those made again, one by one.

    Args:
        file: Of the same number of frames made.
        made: uint8 [height, width, 3] each.
        lossless: Whether the file keeps pixels as they were encoded.
        quality: That it was encoded with, where it is a lossy WebP.

    Returns:
        How they differ; all frames together, and which ones.

    Raises:
        ImageError: The file is damaged.
    """
    if (file.header.height, file.header.width) != made[0].shape[:2]:
        return Comparison("different", None, None)
    expected: Iterable[Pixels] = made if lossless else _encoded_again(file, made, quality)
    largest, squares, different = 0, 0, []
    try:
        for index, (pixels, image, wanted) in enumerate(zip(file.frames(), made, expected, strict=True)):
            stop_if_abandoned()
            if pixels.shape != image.shape:  # something is transparent
                return Comparison("different", None, None, (index,))
            difference = pixels.astype(np.int16) - image
            peak = int(np.abs(difference).max())
            largest = max(largest, peak)
            squares += int((difference.astype(np.int32) ** 2).sum(dtype=np.int64))
            if peak <= ROUNDING:
                continue
            if lossless or not _explained(pixels, image, wanted, _ROOM_FACTOR[file.format]):
                different.append(index)
    except FramesDifferError:
        return Comparison("different", None, None)
    if largest == 0:
        return Comparison("exact", 0, None, ())
    psnr = round(10 * math.log10(255**2 * sum(image.size for image in made) / squares), 2)
    return Comparison("different" if different else "close", largest, psnr, tuple(different))


def _encoded_again(file: AnimationFile, made: Sequence[Pixels], quality: int | None) -> Iterable[Pixels]:
    if file.format == "webp" and quality is None:
        quality = _USUAL_QUALITY
    data = encode_animation(made, file.format, file.fps, loop=True, recipe={}, quality=quality)
    return replace(file, data=data, header=inspect(data)).frames()


def _explained(pixels: Pixels, made: Pixels, expected: Pixels, factor: float) -> bool:
    """Whether encoding makes these pixels of those, as far as it is known to."""
    if expected.shape != made.shape:
        return False
    room = factor * block_errors(expected, made) + ROOM_LEVELS
    return bool((block_errors(pixels, expected) <= room).all())
