"""WebP: the chunks of the RIFF file. The decoder gets the file up to its stated length, not what follows."""

from __future__ import annotations

from typing import Final

from service.images.containers.base import (
    MAX_COUNTED_FRAMES,
    MAX_EXIF_BYTES,
    MAX_ICC_BYTES,
    Container,
    ImageHeader,
    checked_size,
    unpack,
    unreadable,
)

_MAX_CHUNKS: Final = 65_536
_ANIMATED = 0x02
_DESCRIPTIVE: Final = 0x2C  # flags of ICC, EXIF and XMP in the header


def matches(data: bytes) -> bool:
    """Whether a file begins as a WebP file does.

    Args:
        data: The file.

    Returns:
        True if it does.
    """
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _lossy_size(data: bytes, body: int) -> tuple[int, int]:
    code, width, height = unpack("<3sHH", data, body + 3)
    if code != b"\x9d\x01\x2a":
        raise unreadable("The WebP file is damaged: its picture has no beginning.")
    return checked_size(width & 0x3FFF, height & 0x3FFF)


def _lossless_size(data: bytes, body: int) -> tuple[int, int]:
    code, bits = unpack("<BI", data, body)
    if code != 0x2F:
        raise unreadable("The WebP file is damaged: its picture has no beginning.")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def parse(data: bytes, frame: int) -> Container:
    """Takes a WebP file apart.

    Args:
        data: The file, for which `matches` is true.
        frame: The frame that will be decoded.

    Returns:
        Its parts.

    Raises:
        ImageError: image-unreadable, if it is damaged.
    """
    (stated,) = unpack("<I", data, 4)
    end = 8 + stated
    if end > len(data):
        raise unreadable("The WebP file ends before the length it states.")
    size: tuple[int, int] | None = None
    animated, frames, pictures = False, 0, 0
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    kept: list[bytes] = []
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            break
        kind, length = unpack("<4sI", data, position)
        body = position + 8
        if body + length > end:
            raise unreadable("The WebP file is damaged: a chunk reaches beyond the end of the file.")
        whole = data[position : body + length + (length & 1)]
        position = body + length + (length & 1)
        if kind == b"VP8X" and size is None and length >= 10:
            (flags,) = unpack("<B", data, body)
            sides = [int.from_bytes(data[body + n : body + n + 3], "little") + 1 for n in (4, 7)]
            size, animated = (sides[0], sides[1]), bool(flags & _ANIMATED)
            kept.append(whole[:8] + bytes([flags & ~_DESCRIPTIVE]) + whole[9:])
        elif kind in (b"VP8 ", b"VP8L"):
            inner = _lossy_size(data, body) if kind == b"VP8 " else _lossless_size(data, body)
            if size is not None and inner != size:
                raise unreadable("The WebP file says two different sizes.")
            size, pictures = size or inner, pictures + 1
            kept.append(whole)
        elif kind == b"ANMF":
            frames = min(frames + 1, MAX_COUNTED_FRAMES)
            kept.append(whole)
        elif kind in (b"ALPH", b"ANIM"):
            kept.append(whole)
        elif kind == b"ICCP":
            if length <= MAX_ICC_BYTES:
                icc = data[body : body + length]
            else:
                notes = ("The colour profile is too large, and was ignored.",)
        elif kind == b"EXIF" and length <= MAX_EXIF_BYTES:
            # Some writers put JPEG's prefix before the EXIF.
            exif = data[body : body + length].removeprefix(b"Exif\0\0")
    else:
        raise unreadable(f"The WebP file is cut into more than {_MAX_CHUNKS} chunks.")
    if size is None or (frames if animated else pictures) < 1:
        raise unreadable("The WebP file holds no picture.")
    count = frames if animated else 1
    content = b"WEBP" + b"".join(kept)
    return Container(
        header=ImageHeader("WEBP", *size, count),
        payload=b"RIFF" + len(content).to_bytes(4, "little") + content,
        seek=frame,
        work_pixels=size[0] * size[1] * (min(frame, count - 1) + 1),
        icc=icc,
        exif=exif,
        notes=notes,
    )
