"""PBM, PGM and PPM in their binary forms (P4, P5, P6), decoded here: a header and plain numbers.

The text forms (P1, P2, P3) are not read: parsing numbers takes far more time than their bytes suggest.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.containers.base import (
    Container,
    ImageHeader,
    checked_size,
    unreadable,
    unsupported,
)

_SPACE = rb"(?:\s|#[^\r\n]{0,200}[\r\n]){1,16}"
_BITMAP: Final = re.compile(rb"P4" + _SPACE + rb"(\d{1,7})" + _SPACE + rb"(\d{1,7})\s")
_NUMBERS: Final = re.compile(
    rb"P[56]" + _SPACE + rb"(\d{1,7})" + _SPACE + rb"(\d{1,7})" + _SPACE + rb"(\d{1,5})\s"
)
SIGNATURES: Final = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


def _header(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, largest value (0 for a bitmap) and where the pixels begin."""
    if data[:2] in SIGNATURES[:3]:
        raise unsupported("PBM, PGM and PPM are read in their binary forms only (P4, P5, P6).")
    match = (_BITMAP if data[:2] == b"P4" else _NUMBERS).match(data)
    if match is None:
        raise unreadable("The PNM header is damaged.")
    numbers = [int(group) for group in match.groups()]
    width, height = checked_size(numbers[0], numbers[1])
    largest = numbers[2] if len(numbers) > 2 else 0
    if data[:2] != b"P4" and not 1 <= largest <= 65535:
        raise unreadable(f"The PNM header says {largest} is the largest value.")
    return width, height, largest, match.end()


def parse(data: bytes, frame: int) -> Container:
    """Takes a PNM file apart.

    Args:
        data: The file, beginning with one of `SIGNATURES`.
        frame: Not used: the first picture is read.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged; image-unsupported, if it is one of the text forms.
    """
    width, height, largest, start = _header(data)
    row = -(-width // 8) if not largest else width * (3 if data[:2] == b"P6" else 1) * (1 + (largest > 255))
    if start + row * height > len(data):
        raise unreadable(f"The PNM file promises {width} × {height} pixels and holds fewer.")
    return Container(header=ImageHeader("PNM", width, height, 1), payload=data[: start + row * height])


def open_pnm(payload: bytes) -> Image.Image:
    """Decodes a PNM file.

    Args:
        payload: Of `parse`.

    Returns:
        An image of mode L or RGB.
    """
    width, height, largest, start = _header(payload)
    if not largest:
        rows = np.frombuffer(payload, np.uint8, offset=start).reshape(height, -1)
        bits = np.unpackbits(rows, axis=1, count=width)
        return Image.fromarray((1 - bits) * np.uint8(255))
    channels = 3 if payload[:2] == b"P6" else 1
    values = np.frombuffer(payload, np.dtype(">u2") if largest > 255 else np.uint8, offset=start)
    shape = (height, width, 3) if channels == 3 else (height, width)
    return Image.fromarray(_scaled(values, largest).reshape(shape))


def _scaled(values: NDArray[Any], largest: int) -> NDArray[np.uint8]:
    if largest == 255:
        return values.astype(np.uint8)
    table = ((np.arange(largest + 1, dtype=np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)
    return np.take(table, values, mode="clip")
