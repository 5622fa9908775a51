"""Whether the pixels of a file are those of an image that was made again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from service.concurrency import stop_if_abandoned
from service.images.metadata import FileMetadata

ROUNDING: Final = 2
"""Levels by which processors of different kinds round the same network's output apart."""

# What is compared with a lossy file is the image made again and compressed like it, either at once or after
# one of the usual compressions. They may differ in each block by a part of what compression costs there (JPEG
# names its tables; WebP's quality is a guess), and by some levels more, for encoders of other makes. An edit
# that stays within is not to be told from compression.
ROOM_LEVELS: Final = 6.0
"""What encoders of other makes differ by, in each block."""

_BLOCK: Final = 8
_ROOM_FACTOR: Final = {"jpeg": 0.5, "webp": 1.0, "gif": 1.5}
_EARLIER_QUALITIES: Final = (None, 90, 75, 50)
_BAND_ROWS: Final = 512  # compared at a time, so that large images take little memory; a multiple of _BLOCK
_SEARCHED_PIXELS: Final = 4 << 20  # beyond, the quality of a WebP file is not searched for
_USUAL_QUALITY: Final = 75


@dataclass(frozen=True)
class Comparison:
    """How two images differ.

    Attributes:
        match: `exact`; `close`, if compression or rounding explains the difference; else `different`.
        max_difference: Of any channel, 0 to 255; None if the sizes differ.
        psnr: In dB; None if they are equal, or the sizes differ.
        different_frames: Of an animation, those that make it different, from 0; None for other images, and
            where size or number of frames differ.
    """

    match: Literal["exact", "close", "different"]
    max_difference: int | None
    psnr: float | None
    different_frames: tuple[int, ...] | None = None


def compare(
    pixels: NDArray[np.uint8], made: NDArray[np.uint8], data: bytes, metadata: FileMetadata
) -> Comparison:
    """Compares a file's pixels with those of the image made again. Takes seconds for large lossy files.

    Args:
        pixels: Of the file, uint8 [height, width, 3].
        made: uint8 [height, width, 3].
        data: The file.
        metadata: Of the file.

    Returns:
        How they differ.
    """
    if pixels.shape != made.shape:
        return Comparison("different", None, None)
    largest, squares = 0, 0
    for top in range(0, len(pixels), _BAND_ROWS):
        difference = _difference(pixels, made, top)
        largest = max(largest, int(np.abs(difference).max()))
        squares += int((difference.astype(np.int64) ** 2).sum())
    if largest == 0:
        return Comparison("exact", 0, None)
    psnr = round(10 * math.log10(255**2 * pixels.size / squares), 2)
    if metadata.lossless:
        return Comparison("close" if largest <= ROUNDING else "different", largest, psnr)
    explained = _explained(pixels, made, data, metadata)
    return Comparison("close" if explained else "different", largest, psnr)


def _explained(
    pixels: NDArray[np.uint8], made: NDArray[np.uint8], data: bytes, metadata: FileMetadata
) -> bool:
    """Whether compression, once or twice, makes these pixels of those."""
    if metadata.format == "jpeg":
        options = _jpeg_options(data)
    elif metadata.format == "gif":
        options = {}
    else:
        options = {"quality": _webp_quality(Image.fromarray(made), metadata.image_bytes), "method": 2}
    for earlier in _EARLIER_QUALITIES:
        stop_if_abandoned()
        source = made if earlier is None else _compressed(made, "jpeg", {"quality": earlier})
        expected = _compressed(source, metadata.format, options)
        room = _ROOM_FACTOR[metadata.format] * block_errors(expected, made) + ROOM_LEVELS
        if (block_errors(pixels, expected) <= room).all():
            return True
    return False


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8], top: int) -> NDArray[np.int16]:
    rows = slice(top, top + _BAND_ROWS)
    return a[rows].astype(np.int16) - b[rows]


def block_errors(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How two images differ, block by block.

    Args:
        a: uint8 [height, width, 3].
        b: Of the same shape.

    Returns:
        Root mean square difference in levels, shape [rows of blocks, columns of blocks].
    """
    bands = []
    for top in range(0, len(a), _BAND_ROWS):
        squares = (_difference(a, b, top).astype(np.float32) ** 2).mean(axis=2)
        height, width = squares.shape
        starts = np.arange(0, height, _BLOCK), np.arange(0, width, _BLOCK)
        sums = np.add.reduceat(np.add.reduceat(squares, starts[0], axis=0), starts[1], axis=1)
        counts = np.outer(np.minimum(_BLOCK, height - starts[0]), np.minimum(_BLOCK, width - starts[1]))
        bands.append(np.sqrt(sums / counts))
    return np.concatenate(bands)


def _compressed(pixels: NDArray[np.uint8], file_format: str, options: dict[str, Any]) -> NDArray[np.uint8]:
    """The pixels as they come out of a compression."""
    out, image = BytesIO(), Image.fromarray(pixels)
    try:
        image.save(out, file_format, **options)
    except (ValueError, OSError):  # tables that the encoder does not take
        out = BytesIO()
        image.save(out, file_format, quality=_USUAL_QUALITY)
    with Image.open(out) as compressed:
        return np.asarray(compressed.convert("RGB"))


def _jpeg_options(data: bytes) -> dict[str, Any]:
    try:
        with Image.open(BytesIO(data), formats=("JPEG",)) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            options: dict[str, Any] = {"qtables": dict(image.quantization)}
            if (sampling := JpegImagePlugin.get_sampling(image)) in (0, 1, 2):
                options["subsampling"] = sampling
            return options
    except Exception:  # it decoded, so its headers are odd rather than broken
        return {"quality": _USUAL_QUALITY}


def _webp_quality(image: Image.Image, target_bytes: int) -> int:
    """The quality at which the image becomes about as large as the file's."""
    if image.width * image.height > _SEARCHED_PIXELS:
        return _USUAL_QUALITY
    low, high = 1, 100
    while low < high:
        middle = (low + high) // 2
        out = BytesIO()
        image.save(out, "WEBP", quality=middle, method=2)
        if out.tell() < target_bytes:
            low = middle + 1
        else:
            high = middle
    return low
