"""The sRGB colour profile that JPEG and WebP files carry, made here so that its bytes never change.

PNG has a chunk of its own for this. JPEG and WebP have EXIF's ColorSpace tag, which few programs act on, and
an ICC profile, which all that know about colour do.
"""

from __future__ import annotations

import struct
from functools import lru_cache

# Fixed-point numbers (s15.16) of IEC 61966-2-1, adapted from D65 to the D50 of profiles.
_D50 = (0x0000F6D6, 0x00010000, 0x0000D32D)
_COLOURS = {
    b"rXYZ": (0x00006FA0, 0x000038F5, 0x00000390),
    b"gXYZ": (0x00006297, 0x0000B787, 0x000018D9),
    b"bXYZ": (0x0000249F, 0x00000F84, 0x0000B6C3),
}
_ADAPTATION = (0x10C42, 0x5DE, -0xCDB, 0x793, 0xFD90, -0x45F, -0x25E, 0x3DC, 0xC06E)
# ((R + 0.055) / 1.055) ^ 2.4 from 0.04045 on, R / 12.92 below.
_CURVE = (0x00026666, 0x0000F2A7, 0x00000D59, 0x000013D0, 0x00000A5B)


def _text(text: str) -> bytes:
    letters = text.encode("utf-16-be")
    body = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(letters), 28) + letters
    return body + b"\0" * (-len(body) % 4)


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The profile, version 4 of the ICC format.

    Returns:
        Some 500 bytes, always the same.
    """
    curve = b"para" + struct.pack(">IHH5I", 0, 3, 0, *_CURVE)
    bodies = {
        b"desc": _text("sRGB"),
        b"cprt": _text("CC0"),
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3I", *_D50),
        b"chad": b"sf32\0\0\0\0" + struct.pack(">9i", *_ADAPTATION),
        **{tag: b"XYZ \0\0\0\0" + struct.pack(">3I", *xyz) for tag, xyz in _COLOURS.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    offset = 128 + 4 + 12 * len(bodies)
    places: dict[bytes, int] = {}
    table, data = struct.pack(">I", len(bodies)), b""
    for tag, body in bodies.items():
        if body not in places:  # the three curves are one
            places[body] = offset + len(data)
            data += body
        table += tag + struct.pack(">II", places[body], len(body))
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4sIQI3I4s44x",
        *(offset + len(data), b"\0\0\0\0", 0x04000000, b"mntr", b"RGB ", b"XYZ "),
        *(2000, 1, 1, 0, 0, 0),  # made on: any date will do, as long as it stays
        *(b"acsp", b"\0\0\0\0", 0, b"\0\0\0\0", 0, 0, 1, *_D50, b"\0\0\0\0"),
    )
    return header + table + data
