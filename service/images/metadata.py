"""What PNG, JPEG, WebP and GIF files carry beside their pixels, found without decoding one of them.

Lenient on purpose: damaged files are read as far as they go, and nothing here takes more time or memory
than the file's own size and the limits below.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

MAX_XMP_BYTES: Final = 256 << 10
"""Largest XMP packet looked at; a JPEG holds 64 KiB of it, recipes are far smaller."""

PNG_RECIPE_KEYWORD: Final = "ganserve"
PNG_XMP_KEYWORD: Final = "XML:com.adobe.xmp"

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_GIF: Final = (b"GIF87a", b"GIF89a")
_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_ANMF_BYTES: Final = 16  # of a frame's place and time, before its pixels
_GIF_COMMENT: Final = 0xFE
_GIF_APPLICATION: Final = 0xFF
_MAX_PARTS: Final = 100_000  # chunks or segments; beyond, a file is made to be slow


@dataclass
class FileMetadata:
    """What was found.

    Attributes:
        format: Of the file.
        lossless: Whether the format keeps pixels as they were encoded.
        xmp: The XMP packet, if there is one within `MAX_XMP_BYTES`.
        recipe: The text of PNG's own chunk.
        comment: Of a GIF file.
        image_bytes: Size of a WebP file's lossy pixels.
        c2pa: Whether there is a C2PA manifest store, valid or not.
    """

    format: Literal["png", "jpeg", "webp", "gif"]
    lossless: bool
    xmp: str | None = None
    recipe: str | None = None
    comment: str | None = None
    image_bytes: int = 0
    c2pa: bool = False


def read_metadata(data: bytes) -> FileMetadata:
    """Looks through a file; the first of equal parts counts.

    Args:
        data: The file.

    Returns:
        What it carries.

    Raises:
        ValueError: If it is neither PNG, JPEG, WebP nor GIF.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(_GIF):
        return _gif(data)
    raise ValueError("neither a PNG, a JPEG, a WebP nor a GIF file")


def _png(data: bytes) -> FileMetadata:
    found, seen = FileMetadata("png", lossless=True), set[bytes]()
    for kind, body in _png_chunks(data):
        if kind == b"caBX":
            found.c2pa = True
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            keyword = bytes(body[:80]).partition(b"\0")[0]
            text = body[len(keyword) + 1 :]
            if keyword in seen:  # readable or not: many small bombs would add up
                continue
            seen.add(keyword)
            if keyword == PNG_XMP_KEYWORD.encode():
                found.xmp = _png_text(kind, text)
            elif keyword == PNG_RECIPE_KEYWORD.encode():
                found.recipe = _png_text(kind, text)
        elif kind == b"IEND":
            break
    return found


def _png_text(kind: bytes, body: memoryview) -> str | None:
    """Text of a chunk behind its keyword; None if it is damaged or too long."""
    if len(body) > 2 * MAX_XMP_BYTES:
        return None
    rest = bytes(body)
    packed, encoding = kind == b"zTXt", "latin-1"
    if kind == b"iTXt":
        encoding = "utf-8"
        if len(rest) < 2:
            return None
        packed = rest[0] == 1
        parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
        if len(parts) < 3:
            return None
        rest = parts[2]
    elif packed:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MAX_XMP_BYTES + 1)
        except zlib.error:
            return None
    return rest.decode(encoding, "replace") if len(rest) <= MAX_XMP_BYTES else None


def _jpeg(data: bytes) -> FileMetadata:
    found = FileMetadata("jpeg", lossless=False)
    position = 2
    for _ in range(_MAX_PARTS):
        if position + 4 > len(data) or data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes before a marker
            position += 1
            continue
        if marker in (0xDA, 0xD9):  # the scan begins, or the file ends: no metadata behind
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a body
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + max(length, 2)]
        if marker == 0xE1 and body.startswith(_JPEG_XMP) and found.xmp is None:
            found.xmp = body[len(_JPEG_XMP) :].decode("utf-8", "replace")
        elif marker == 0xEB and body.startswith(b"JP") and body[12:16] == b"jumb":
            found.c2pa = True
        position += 2 + max(length, 2)
    return found


def _webp(data: bytes) -> FileMetadata:
    found = FileMetadata("webp", lossless=False)
    animated, lossy = False, False
    for kind, body in _riff_chunks(memoryview(data), 12):
        if kind == b"ANMF":
            animated = True
            inner = {name for name, _ in _riff_chunks(body, _ANMF_BYTES)}
            lossy |= b"VP8L" not in inner or b"VP8 " in inner
        elif kind == b"VP8L":
            found.lossless = True
        elif kind == b"VP8 ":
            found.image_bytes = len(body)
        elif kind == b"C2PA":
            found.c2pa = True
        elif kind == b"XMP " and found.xmp is None and len(body) <= MAX_XMP_BYTES:
            found.xmp = bytes(body).decode("utf-8", "replace")
    if animated:
        found.lossless = not lossy
    return found


def _gif(data: bytes) -> FileMetadata:
    found = FileMetadata("gif", lossless=False)
    if len(data) < 13:
        return found
    position = 13 + _gif_table(data[10])
    left = 4096 + len(data) // 16  # blocks; files cut into far smaller ones are made to be slow
    for _ in range(_MAX_PARTS):
        kind = data[position : position + 2]
        if kind[:1] == b"\x2c" and position + 10 < len(data):
            position += 11 + _gif_table(data[position + 9])
            kept: bytearray | None = None
        elif kind[:1] == b"\x21" and len(kind) == 2:
            position += 2
            kept = bytearray() if kind[1] in (_GIF_COMMENT, _GIF_APPLICATION) else None
        else:
            break
        while position < len(data) and (length := data[position]):
            left -= 1
            if left < 0:
                return found
            if kept is not None and len(kept) <= MAX_XMP_BYTES:
                kept += data[position + 1 : position + 1 + length]
            position += 1 + length
        position += 1
        if kept is None:
            continue
        if kind[1] == _GIF_APPLICATION:
            found.c2pa |= kept.startswith(b"C2PA_GIF")
        elif found.comment is None and len(kept) <= MAX_XMP_BYTES:
            found.comment = kept.decode("utf-8", "replace")
    return found


def _gif_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and body of every chunk that lies within the file."""
    view, position = memoryview(data), len(_PNG)
    for _ in range(_MAX_PARTS):
        if position + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        yield kind, view[position + 8 : end]
        position = end + 4  # the checksum


def _riff_chunks(data: memoryview, position: int) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and body of every chunk from there that begins within the file, or the chunk around them."""
    for _ in range(_MAX_PARTS):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        end = position + 8 + length
        yield kind, data[position + 8 : end]
        position = end + length % 2
