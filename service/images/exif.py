"""The orientation in an EXIF block: read it, reset it. Everything else in the block stays as it is."""

from __future__ import annotations

import struct

from service.images.containers.base import MAX_EXIF_BYTES

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3


def _orientation_at(exif: bytes) -> tuple[str, int] | None:
    """Byte order, and where the value of the orientation stands in the first directory."""
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
            if (tag, kind, values) == (_ORIENTATION, _SHORT, 1) and at + 12 <= len(exif):
                return order, at + 8
    except struct.error:
        return None
    return None


def is_exif(data: bytes) -> bool:
    """Whether something may be an EXIF block; what its directories hold is not looked at.

    Args:
        data: What is written into a file or was found in one.

    Returns:
        True if it begins as one and fits into every format.
    """
    return data[:4] in _BYTE_ORDERS and len(data) <= MAX_EXIF_BYTES


def orientation(exif: bytes) -> int:
    """The orientation of a picture.

    Args:
        exif: Beginning with the TIFF header, `II` or `MM`.

    Returns:
        1 to 8; 1, upright, where none or none that exists is said.
    """
    place = _orientation_at(exif)
    value = struct.unpack_from(place[0] + "H", exif, place[1])[0] if place else 1
    return value if 1 <= value <= 8 else 1


def upright(exif: bytes) -> bytes:
    """The block for pixels to which the orientation has been applied.

    Args:
        exif: Beginning with the TIFF header.

    Returns:
        The same block with orientation 1, where it had one.
    """
    place = _orientation_at(exif)
    if place is None:
        return exif
    order, at = place
    return exif[:at] + struct.pack(order + "H", 1) + exif[at + 2 :]
