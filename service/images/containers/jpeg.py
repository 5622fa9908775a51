"""JPEG: the segments up to the first end marker, and whether the scans can hold the pixels.

The decoder gets the tables, the frame, the scans, and the two markers that decide on colour (JFIF, Adobe).
A multi-picture file (MPO) is its first picture: what follows the end marker is not looked at.
"""

from __future__ import annotations

import re
from typing import Final

from service.images.containers.base import (
    MAX_EXIF_BYTES,
    MAX_ICC_BYTES,
    Container,
    ImageHeader,
    checked_size,
    unpack,
    unreadable,
    unsupported,
)

SIGNATURE: Final = b"\xff\xd8\xff"

_MAX_SEGMENTS: Final = 4096
_MAX_SCANS: Final = 100  # every scan may pass over all the pixels; encoders write up to about twenty
_BLOCK_BYTES: Final = 512  # 64 numbers of up to 27 bits, and every byte escaped
_MAX_GAP: Final = 4096  # bytes of no meaning that some cameras leave between segments
_SCAN_SLACK: Final = 1 << 16  # padding to whole units, restart markers
_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_FRAMES: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_OTHER_FRAMES: Final = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_TABLES: Final = {0xC4, 0xDB, 0xDD}
_JFIF, _EXIF, _ICC, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE


class _Frame:
    """The frame header, and how few bits a scan of it can have."""

    def __init__(self, marker: int, body: bytes) -> None:
        precision, self.height, self.width, count = unpack(">BHHB", body, 0)
        if precision != 8:
            raise unsupported(f"This JPEG file has {precision} bits a sample; 8 are read.")
        if count not in (1, 3, 4):
            raise unsupported(f"This JPEG file has {count} colour components; 1, 3 and 4 are read.")
        checked_size(self.width, self.height)
        if len(body) != 6 + 3 * count:
            raise unreadable("The JPEG frame header is damaged.")
        self.progressive = marker == 0xC2
        factors = {body[6 + 3 * n]: divmod(body[7 + 3 * n], 16) for n in range(count)}
        if len(factors) != count or any(not 1 <= f <= 4 for pair in factors.values() for f in pair):
            raise unreadable("The JPEG frame header is damaged.")
        across, down = (max(pair[n] for pair in factors.values()) for n in (0, 1))
        self.blocks = {
            name: -(-self.width * h // (8 * across)) * -(-self.height * v // (8 * down))
            for name, (h, v) in factors.items()
        }
        self.scans: list[tuple[bytes, int]] = []  # header, and bytes of data

    def check(self) -> None:
        """Refuses scans that cannot be those of that many pixels."""
        seen: set[int] = set()
        for header, data_bytes in self.scans:
            seen.update(self._check_scan(header, data_bytes))
        if set(self.blocks) - seen:
            raise unreadable("The JPEG file has no data for one of its colour components.")

    def _check_scan(self, header: bytes, data_bytes: int) -> list[int]:
        """Compares a scan with the shortest and longest codes; returns whose brightness it holds."""
        count = header[0] if header else 0
        if not 1 <= count <= 4 or len(header) != 4 + 2 * count:
            raise unreadable("A scan header of the JPEG file is damaged.")
        names = [header[1 + 2 * n] for n in range(count)]
        if any(name not in self.blocks for name in names):
            raise unreadable("A scan header of the JPEG file is damaged.")
        blocks = sum(self.blocks[name] for name in names)
        if data_bytes > _SCAN_SLACK + blocks * _BLOCK_BYTES:
            raise unreadable("The JPEG file holds far more data than its pixels can need.")
        if header[1 + 2 * count]:
            return []  # the finer frequencies of a progressive file may take no bits at all
        if data_bytes * 8 < blocks * (1 if self.progressive else 2):
            raise unreadable(
                f"The JPEG file promises {self.width} × {self.height} pixels and holds too little data."
            )
        return names


def _icc(parts: list[bytes]) -> tuple[bytes | None, tuple[str, ...]]:
    """Joins the profile's segments, each beginning with its number and their count."""
    if not parts:
        return None, ()
    parts.sort(key=lambda part: part[0])
    profile = b"".join(part[2:] for part in parts)
    whole = [part[0] for part in parts] == list(range(1, parts[0][1] + 1))
    if not whole or len(profile) > MAX_ICC_BYTES:
        return None, ("The colour profile is damaged or too large, and was ignored.",)
    return profile, ()


def parse(data: bytes, frame: int) -> Container:
    """Takes a JPEG file apart.

    Args:
        data: The file, beginning with `SIGNATURE`.
        frame: Not used: one picture is read.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged; image-unsupported, if it is of a rare kind.
    """
    kept: list[bytes] = [b"\xff\xd8"]
    found: _Frame | None = None
    exif: bytes | None = None
    profile: list[bytes] = []
    position, scans = 2, 0
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position, position + _MAX_GAP)
        if match is None:
            raise unreadable("The JPEG file is damaged or ends before its end marker.")
        marker, position = data[match.end() - 1], match.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):
            raise unreadable("The JPEG file is damaged: a marker stands where none can.")
        (length,) = unpack(">H", data, position)
        body = data[position + 2 : position + length]
        if length < 2 or len(body) != length - 2:
            raise unreadable("The JPEG file ends in the middle of a segment.")
        segment = b"\xff" + data[match.end() - 1 : position + length]
        position += length
        if marker in _FRAMES:
            if found:
                raise unreadable("The JPEG file has two frame headers.")
            found = _Frame(marker, body)
            kept.append(segment)
        elif marker in _OTHER_FRAMES:
            raise unsupported(
                "This kind of JPEG file (lossless, hierarchical or arithmetic-coded) is not read."
            )
        elif marker == 0xDA:
            scans += 1
            if found is None or scans > _MAX_SCANS:
                raise unreadable(f"The JPEG file has no frame header, or more than {_MAX_SCANS} scans.")
            end = _MARKER.search(data, position)
            if end is None:
                raise unreadable("The JPEG file ends before its end marker.")
            found.scans.append((body, end.start() - position))
            kept += [segment, data[position : end.start()]]
            position = end.start()
        elif (
            marker in _TABLES
            or (marker == _JFIF and body[:4] == b"JFIF")
            or (marker == _ADOBE and body[:5] == b"Adobe")
        ):
            kept.append(segment)
        elif marker == _EXIF and body[:6] == b"Exif\0\0" and exif is None:
            exif = body[6 : 6 + MAX_EXIF_BYTES]
        elif marker == _ICC and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
            profile.append(body[12:])
        elif marker == 0xDC:
            raise unsupported("This JPEG file says its height at its end; that is not read.")
    else:
        raise unreadable(f"The JPEG file has more than {_MAX_SEGMENTS} segments.")
    if found is None:
        raise unreadable("The JPEG file has no frame header.")
    kept.append(b"\xff\xd9")
    icc, notes = _icc(profile)
    return Container(
        header=ImageHeader("JPEG", found.width, found.height, 1),
        payload=b"".join(kept),
        icc=icc,
        exif=exif,
        notes=notes,
        check=found.check,
    )
