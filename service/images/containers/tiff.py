"""TIFF: the directories. The decoder gets a file with one directory of ours, made of the entries it needs.

Compressions that are read: none, PackBits, LZW, Deflate, JPEG and the three of fax machines. Others either
set aside memory that the header does not tell (LZMA, Zstandard, WebP), or are out of use.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from service.images.containers.base import (
    MAX_COUNTED_FRAMES,
    MAX_ICC_BYTES,
    Container,
    ImageHeader,
    Samples,
    checked_size,
    unpack,
    unreadable,
    unsupported,
)

SIGNATURES: Final = (b"II*\0", b"MM\0*")
BIG_SIGNATURES: Final = (b"II+\0", b"MM\0+")

_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LETTERS: Final = {1: "B", 3: "H", 4: "I"}
_COMPRESSIONS: Final = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _CHANNELS, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_SUBFILE_TYPE, _ORIENTATION, _ICC = 254, 274, 34675
# What makes pixels: the above, and fill order, fax options, predictor, palette, ink set, extra samples, JPEG
# tables, the YCbCr transform, its subsampling and positioning, and its black and white.
_KEPT: Final = frozenset(
    {
        *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _CHANNELS, _STRIP_ROWS),
        *(_STRIP_BYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT),
        *(266, 292, 293, 317, 320, 332, 338, 347, 529, 530, 531, 532),
    }
)
_JPEG, _RGB, _YCBCR, _SUBSAMPLING = 7, 2, 6, 530
_MAX_CHANNELS, _MAX_BITS = 8, 32
# How many times smaller than its pixels the data of a compression can be; fax and JPEG have no such number.
_MOST_EXPANSION: Final = {1: 1, 5: 4096, 8: 1032, 32773: 64, 32946: 1032}


@dataclass(frozen=True)
class _Entry:
    raw: bytes  # the twelve bytes of the directory
    kind: int
    count: int
    at: int  # where the values stand in the file


class _Page:
    """One directory."""

    def __init__(self, data: bytes, order: str, offset: int) -> None:
        self.data, self.order = data, order
        (count,) = unpack(order + "H", data, offset)
        self.entries: dict[int, _Entry] = {}
        held = 0
        for at in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind, values, value = unpack(order + "HHII", data, at)
            if tag in self.entries or kind not in _TYPE_BYTES:
                continue
            size = _TYPE_BYTES[kind] * values
            start = at + 8 if size <= 4 else value
            if start + size > len(data):
                if tag in _KEPT:
                    raise unreadable("The TIFF file is damaged: a value lies beyond the end of the file.")
                continue
            if tag in _KEPT:
                held += size
            self.entries[tag] = _Entry(data[at : at + 12], kind, values, start)
        # Entries may point at the same bytes; together they can need no more than the file has.
        if held > len(data):
            raise unreadable("The TIFF file is damaged: its directory describes more bytes than there are.")

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The integers of a tag; at most as many as an image can need of those that are looked at."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _LETTERS or not entry.count:
            return default
        return unpack(f"{self.order}{min(entry.count, 16)}{_LETTERS[entry.kind]}", self.data, entry.at)

    def value(self, tag: int, default: int) -> int:
        values = self.values(tag)
        return values[0] if values else default

    def count(self, tag: int) -> int:
        entry = self.entries.get(tag)
        return entry.count if entry else 0


def _pages(data: bytes, order: str) -> list[int]:
    """Where the directories stand; reduced copies of a page (thumbnails) are none of their own."""
    (offset,) = unpack(order + "I", data, 4)
    seen: set[int] = set()
    pages: list[int] = []
    while offset and len(seen) < MAX_COUNTED_FRAMES:
        if offset in seen:
            raise unreadable("The TIFF file is damaged: its pages form a circle.")
        seen.add(offset)
        (count,) = unpack(order + "H", data, offset)
        if not count:
            raise unreadable("The TIFF file is damaged: an empty directory.")
        tag, kind, _, value = unpack(order + "HHI4s", data, offset + 2)
        reduced = tag == _SUBFILE_TYPE and kind == 4 and struct.unpack(order + "I", value)[0] & 1
        if not (pages and reduced):
            pages.append(offset)
        (offset,) = unpack(order + "I", data, offset + 2 + 12 * count)
    if not pages:
        raise unreadable("The TIFF file holds no picture.")
    return pages


def _layout(page: _Page, width: int, height: int) -> int:
    """Checks strips or tiles; returns how many pixels they cover together."""
    planes = page.value(_CHANNELS, 1) if page.value(_PLANAR, 1) == 2 else 1
    if page.count(_TILE_OFFSETS):
        across, down = page.value(_TILE_WIDTH, 0), page.value(_TILE_HEIGHT, 0)
        if across < 1 or down < 1:
            raise unreadable("The TIFF file has tiles without pixels.")
        columns, rows = -(-width // across), -(-height // down)
        expected, found = columns * rows * planes, page.count(_TILE_OFFSETS)
        lengths, covered = page.count(_TILE_BYTES), columns * across * rows * down
    else:
        down = min(page.value(_STRIP_ROWS, height) or height, height)
        expected, found = -(-height // down) * planes, page.count(_STRIP_OFFSETS)
        lengths, covered = page.count(_STRIP_BYTES), width * height
    if found != expected or lengths not in (0, found):
        raise unreadable(
            f"The TIFF file promises {width} × {height} pixels and holds another number of pieces."
        )
    return covered


def _samples(page: _Page) -> Samples | None:
    """What the numbers of a page with one deep channel mean."""
    bits, kind = page.values(_BITS, (1,)), page.value(_SAMPLE_FORMAT, 1)
    if page.value(_CHANNELS, 1) != 1 or bits[0] <= 8:
        return None
    signed = 1 if kind == 2 else 0
    white = 1.0 if kind == 3 else float(2 ** (bits[0] - signed) - 1)
    return Samples(white, inverted=page.value(_PHOTOMETRIC, 1) == 0)


def _payload(data: bytes, order: str, page: _Page, height: int, ycbcr: bool) -> bytes:
    """The file with one directory, at its end, of the entries that make pixels."""
    entries = {tag: entry.raw for tag, entry in page.entries.items() if tag in _KEPT}
    if page.value(_STRIP_ROWS, height) > height:
        # "One strip" is often written as an enormous number of rows.
        entries[_STRIP_ROWS] = struct.pack(order + "HHII", _STRIP_ROWS, 4, 1, height)
    if ycbcr:
        entries[_PHOTOMETRIC] = struct.pack(order + "HHIHH", _PHOTOMETRIC, 3, 1, _RGB, 0)
    padding = b"\0" * (len(data) % 2)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    start = struct.pack(order + "I", len(data) + len(padding))
    # A value of up to four bytes stands in its entry and moves along.
    return data[:4] + start + data[8:] + padding + directory + b"\0\0\0\0"


def parse(data: bytes, frame: int) -> Container:
    """Takes a TIFF file apart.

    Args:
        data: The file, beginning with one of `SIGNATURES`.
        frame: The page that will be decoded.

    Returns:
        The parts of that page, or of the first one if there is no such page.

    Raises:
        ImageError: image-unreadable, if it is damaged; image-unsupported, for compressions not read.
    """
    order = "<" if data[:2] == b"II" else ">"
    pages = _pages(data, order)
    page = _Page(data, order, pages[frame if 0 <= frame < len(pages) else 0])
    width, height = checked_size(page.value(_WIDTH, 0), page.value(_HEIGHT, 0))
    compression = page.value(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise unsupported(f"TIFF files with compression {compression} are not read.")
    if not 1 <= page.value(_CHANNELS, 1) <= _MAX_CHANNELS:
        raise unsupported(f"TIFF files with {page.value(_CHANNELS, 1)} channels are not read.")
    covered = _layout(page, width, height)
    bits = page.values(_BITS, (1,))
    if not 1 <= min(bits) <= max(bits) <= _MAX_BITS:
        raise unsupported(f"TIFF files with {max(bits)} bits a sample are not read.")
    row_bytes = (width * bits[0] * page.value(_CHANNELS, 1) + 7) // 8
    if compression in _MOST_EXPANSION and row_bytes * height > _MOST_EXPANSION[compression] * len(data):
        raise unreadable(f"The TIFF file promises {width} × {height} pixels and holds too little data.")
    # Pillow's versions disagree on YCbCr outside of JPEG, so it is handed out as stored.
    ycbcr = page.value(_PHOTOMETRIC, 1) == _YCBCR and compression != _JPEG
    if ycbcr and (page.values(_SUBSAMPLING) != (1, 1) or page.value(_CHANNELS, 1) != 3):
        raise unsupported("TIFF files of subsampled YCbCr are read with JPEG compression only.")
    icc = None
    profile = page.entries.get(_ICC)
    if profile is not None:
        size = _TYPE_BYTES[profile.kind] * profile.count
        if size <= MAX_ICC_BYTES:
            icc = data[profile.at : profile.at + size]
    return Container(
        header=ImageHeader("TIFF", width, height, len(pages)),
        payload=_payload(data, order, page, height, ycbcr),
        allocated_pixels=covered,
        icc=icc,
        orientation=page.value(_ORIENTATION, 1),
        samples=_samples(page),
        ycbcr=ycbcr,
    )
