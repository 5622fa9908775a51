"""BMP without compression. Run-length coded files are not read: skips in them grow without bound."""

from __future__ import annotations

from typing import Final

from service.images.containers.base import (
    Container,
    ImageHeader,
    checked_size,
    unpack,
    unreadable,
    unsupported,
)

SIGNATURE: Final = b"BM"

_HEADER_BYTES: Final = (12, 40, 52, 56, 64, 108, 124)
_RAW, _BIT_FIELDS = 0, 3


def parse(data: bytes, frame: int) -> Container:
    """Takes a BMP file apart.

    Args:
        data: The file, beginning with `SIGNATURE`.
        frame: Not used: there is one.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged; image-unsupported, if it is compressed.
    """
    offset, header_bytes = unpack("<II", data, 10)
    if header_bytes not in _HEADER_BYTES:
        raise unreadable("The BMP file has a header of no known kind.")
    if header_bytes == 12:
        width, height, _, bits = unpack("<HHHH", data, 18)
        compression = _RAW
    else:
        width, height, _, bits, compression = unpack("<iiHHI", data, 18)
    if compression not in (_RAW, _BIT_FIELDS):
        raise unsupported("Compressed BMP files are not read.")
    if bits not in (1, 4, 8, 16, 24, 32):
        raise unreadable(f"The BMP header says {bits} bits a pixel.")
    width, height = checked_size(width, abs(height))
    row_bytes = (width * bits + 31) // 32 * 4
    if offset + row_bytes * height > len(data):
        raise unreadable(f"The BMP file promises {width} × {height} pixels and holds fewer.")
    return Container(header=ImageHeader("BMP", width, height, 1), payload=data[: offset + row_bytes * height])
