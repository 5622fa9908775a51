"""Image files built byte by byte, for tests that need what no encoder would write."""

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from service.images.srgb import srgb_profile

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """A file as Pillow writes it, which leaves its settings behind in the image."""
    out = BytesIO()
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    image.copy().save(out, image_format, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: bytes,
    *,
    before: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
    interlace: int = 0,
    split: int | None = None,
) -> bytes:
    """A PNG file; `rows` are the filtered rows, not yet compressed."""
    packed = zlib.compress(rows, 9)
    pieces = [packed[n : n + (split or len(packed))] for n in range(0, len(packed), split or len(packed))]
    return b"".join(
        [
            PNG_SIGNATURE,
            chunk(b"IHDR", struct.pack(">II5B", width, height, depth, colour, 0, 0, interlace)),
            *(chunk(*one) for one in before),
            *(chunk(b"IDAT", piece) for piece in pieces),
            *(chunk(*one) for one in after),
            chunk(b"IEND"),
        ]
    )


def unfiltered(rows: Any) -> bytes:
    """Rows of numbers of any type as PNG rows without filter."""
    array = np.ascontiguousarray(rows)
    return b"".join(b"\0" + row.tobytes() for row in array)


def interlaced(pixels: np.ndarray) -> bytes:
    """The rows of an interlaced PNG of pixels [H, W, C]."""
    parts = [pixels[top::down, left::across] for left, top, across, down in ADAM7]
    return b"".join(unfiltered(part) for part in parts if part.size)


def zeros_deflated(length: int) -> bytes:
    """That many zero bytes, compressed a thousandfold, without ever holding them."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(length >> 20)]
    return b"".join([*parts, packer.flush()])


def orientation_exif(orientation: int, order: str = "<") -> bytes:
    """EXIF, from its TIFF header on, with a maker and an orientation."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"Abc\0")
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return start + struct.pack(order + "IH", 8, 2) + entries + b"\0\0\0\0"


def tiff(
    tags: dict[int, tuple[int, Sequence[int]]],
    pixels: bytes,
    *,
    order: str = "<",
    strips: Callable[[int], dict[int, tuple[int, Sequence[int]]]] | None = None,
    following: int | None = None,
) -> bytes:
    """A TIFF file of one directory behind its pixels.

    `tags` gives type (3 SHORT, 4 LONG) and values of each; the offsets of the pixels are filled in unless
    `strips` computes them from where the pixels begin. `following` is where the next directory is said to be.
    """
    start = 8
    every = {273: (4, [start]), 279: (4, [len(pixels)]), **tags}
    if strips:
        every.update(strips(start))
    letters = {3: "H", 4: "I"}
    directory_at = start + len(pixels) + len(pixels) % 2
    values_at = directory_at + 2 + 12 * len(every) + 4
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(every.items()):
        packed = struct.pack(f"{order}{len(numbers)}{letters[kind]}", *numbers)
        if len(packed) > 4:
            place = struct.pack(order + "I", values_at + len(values))
            values += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory_at)
    tail = struct.pack(order + "I", following if following is not None else 0)
    directory = struct.pack(order + "H", len(every)) + entries + tail
    return head + pixels + b"\0" * (len(pixels) % 2) + directory + values


def tiff_tags(
    width: int, height: int, bits: Sequence[int], photometric: int
) -> dict[int, tuple[int, Sequence[int]]]:
    """The tags that every uncompressed TIFF needs."""
    return {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, bits),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [len(bits)]),
        278: (4, [height]),
    }


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(data: bytes, *segments: bytes) -> bytes:
    """A JPEG file with segments put behind its beginning."""
    return data[:2] + b"".join(segments) + data[2:]


def frame_header_at(data: bytes) -> int:
    """Where the frame header of a JPEG file begins."""
    return next(at for marker in (0xC0, 0xC1, 0xC2) if (at := data.find(bytes([0xFF, marker, 0, 17]))) > 0)


def riff(*chunks: tuple[bytes, bytes], stated: int | None = None) -> bytes:
    """A WebP file of chunks."""
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if stated is None else stated) + body


def webp_header(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def gif(width: int, height: int, frames: Sequence[tuple[int, int, int, int, bytes]]) -> bytes:
    """A GIF of black and white; each frame is left, top, width, height and the data blocks of its pixels."""
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x80, 0, 0), b"\0\0\0\xff\xff\xff"]
    for left, top, across, down, blocks in frames:
        parts += [b",", struct.pack("<HHHHB", left, top, across, down, 0), b"\x02", blocks, b"\0"]
    return b"".join([*parts, b";"])


def blocks(data: bytes, size: int = 255) -> bytes:
    """Data cut into GIF's blocks, the last one (empty) left out."""
    return b"".join(bytes([len(data[n : n + size])]) + data[n : n + size] for n in range(0, len(data), size))


def swapped_profile() -> bytes:
    """A profile like sRGB in which red means green and green means red."""
    profile = srgb_profile()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def linear_grey_profile() -> bytes:
    """A profile of grey whose numbers are amounts of light."""
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(79)
    white = b"XYZ \0\0\0\0" + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    return _profile(b"mntrGRAYXYZ ", {b"desc": description, b"wtpt": white, b"kTRC": curve})


def cmyk_profile() -> bytes:
    """A press whose inks make: white from nothing, black from all of C, M or Y, and K has no effect."""
    grid = np.array([[255 if not ink & 0b1110 else 0, 128, 128] for ink in range(16)], np.uint8)
    straight = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table += straight * 4 + grid.tobytes() + straight * 3
    text = b"press\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return _profile(b"prtrCMYKLab ", {b"desc": description, b"wtpt": white, b"A2B0": table})


def _profile(kind: bytes, bodies: dict[bytes, bytes]) -> bytes:
    """A profile of version 2 with these tags; `kind` is its class, its space and the one it leads to."""
    offset, entries, data = 128 + 4 + 12 * len(bodies), struct.pack(">I", len(bodies)), b""
    for tag, body in bodies.items():
        entries += tag + struct.pack(">II", offset + len(data), len(body))
        data += body + b"\0" * (-len(body) % 4)
    header = bytearray(srgb_profile()[:128])
    header[:4] = struct.pack(">I", offset + len(data))
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = kind
    return bytes(header) + entries + data


def profile_segments(profile: bytes, parts: int = 1, said: int | None = None) -> list[bytes]:
    """The segments in which a JPEG file carries a profile; `said` lies about their number."""
    size = -(-len(profile) // parts)
    return [
        segment(
            0xE2,
            b"ICC_PROFILE\0" + bytes([n + 1, said or parts]) + profile[n * size : (n + 1) * size],
        )
        for n in range(parts)
    ]
