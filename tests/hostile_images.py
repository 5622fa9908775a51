"""Odd and hostile image files, each with the answer it deserves. All are built here, on first use.

`CASES` is for whoever decodes files: `decode` in the unit tests, `/v1/super-resolution` over HTTP. A case is
"ok" when it is a picture; then `check` says which. Otherwise `expected` is the slug of the problem. Every
file is smaller than a megabyte; the answers hold for the default limits.
"""

import struct
import zlib
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tests.image_cases import (
    DEEP,
    FLOAT,
    GREY,
    GREY_IMAGE,
    IMAGE,
    INDEX,
    JPEG,
    OTHER,
    OTHER_IMAGE,
    PICTURE,
    ROWS,
    WHITE_DOT,
    Case,
    deep_tiff,
    patched,
    rgb_png,
    rgb_tiff,
    shows,
    without_segments,
    zip_file,
)
from tests.image_files import (
    PNG_SIGNATURE,
    chunk,
    frame_header_at,
    gif,
    jpeg_with,
    png,
    riff,
    saved,
    segment,
    tiff,
    tiff_tags,
    unfiltered,
    webp_header,
    zeros_deflated,
)
from tests.odd_images import ODD

UNREADABLE, UNSUPPORTED, TOO_LARGE = "image-unreadable", "image-unsupported", "image-too-large"
ANIMATED, NO_FRAME, TOO_MANY = "image-animated", "frame-out-of-range", "image-too-many-frames"


def _sized_jpeg(width: int, height: int) -> bytes:
    data = JPEG()
    return patched(data, frame_header_at(data) + 5, struct.pack(">HH", height, width))


def _sized_png(width: int, height: int) -> bytes:
    data = rgb_png()
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)) + data[33:]


def _apng(frames: int, announced: int | None = None, size: tuple[int, int] = (24, 16)) -> bytes:
    parts = [PNG_SIGNATURE, chunk(b"IHDR", struct.pack(">II5B", 24, 16, 8, 2, 0, 0, 0))]
    parts.append(chunk(b"acTL", struct.pack(">II", frames if announced is None else announced, 0)))
    sequence = 0
    for index in range(frames):
        control = struct.pack(">IIIIIHHBB", sequence, *(size if index else (24, 16)), 0, 0, 1, 10, 0, 0)
        parts.append(chunk(b"fcTL", control))
        sequence += 1
        packed = zlib.compress(unfiltered(OTHER if index else PICTURE))
        if index:
            parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + packed))
            sequence += 1
        else:
            parts.append(chunk(b"IDAT", packed))
    return b"".join([*parts, chunk(b"IEND")])


def _animated(image_format: str, frames: int = 2, **options: Any) -> bytes:
    others = [OTHER_IMAGE] * (frames - 1)
    return saved(IMAGE, image_format, save_all=True, append_images=others, **options)


def _many_frames(count: int, side: int = 1) -> bytes:
    first = saved(Image.new("1", (side, side)), "GIF") if side > 1 else b""
    if not first:
        return gif(1, 1, [(0, 0, 1, 1, WHITE_DOT)] * count)
    dot = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + WHITE_DOT + b"\0"
    return first[:-1] + dot * (count - 1) + b";"


def _scans(count: int) -> bytes:
    data = saved(IMAGE, "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


FRAMES = [
    *(
        case
        for name, build in (
            ("gif", partial(_animated, "GIF")),
            ("webp", partial(_animated, "WEBP", lossless=True)),
            ("apng", partial(_apng, 2)),
            ("tiff", partial(_animated, "TIFF")),
        )
        for case in (
            Case(f"{name}-animated", build, ANIMATED),
            Case(f"{name}-frame-0", build, frame=0, check=shows(tolerance=60 if name == "gif" else 0)),
            Case(f"{name}-frame-1", build, frame=1, check=shows(OTHER, 60 if name == "gif" else 0)),
            Case(f"{name}-frame-2", build, NO_FRAME, frame=2),
        )
    ),
    Case("png-frame-0", rgb_png, frame=0, check=shows()),
    Case("png-frame-1", rgb_png, NO_FRAME, frame=1),
    Case("apng-one-frame", partial(_apng, 1), check=shows()),
    Case("gif-1001-frames", partial(_many_frames, 1001), TOO_MANY),
    Case("gif-1001-frames-first", partial(_many_frames, 1001), TOO_MANY, frame=0),
    Case("gif-last-of-many-large-frames", partial(_many_frames, 100, 4000), TOO_LARGE, frame=99),
    Case("apng-says-four-billion-frames", lambda: _apng(2, announced=2**32 - 1), UNREADABLE, frame=1),
    Case("apng-says-fewer-frames", lambda: _apng(3, announced=2), UNREADABLE, frame=2),
    Case("apng-frame-beyond-canvas", lambda: _apng(2, size=(5000, 5000)), UNREADABLE, frame=1),
    Case("tiff-pages-in-a-circle", lambda: rgb_tiff(following=8 + PICTURE.size), UNREADABLE),
]

_HEAD = struct.pack(">II5B", 24, 16, 8, 2, 0, 0, 0)
NOT_IMAGES = [
    Case("empty", lambda: b"", UNREADABLE),
    Case("three-bytes", lambda: b"\xff\xd8\xff", UNREADABLE),
    Case("text", lambda: b"this is not an image at all\n" * 9, UNSUPPORTED),
    Case("html", lambda: b"<!doctype html><script>alert(1)</script>", UNSUPPORTED),
    Case("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', UNSUPPORTED),
    Case("zip", zip_file, UNSUPPORTED),
    Case("gzip", lambda: b"\x1f\x8b\x08" + bytes(50), UNSUPPORTED),
    Case("pdf", lambda: saved(IMAGE, "PDF"), UNSUPPORTED),
    Case("postscript", lambda: saved(IMAGE, "EPS"), UNSUPPORTED),
    Case("photoshop", lambda: b"8BPS\0\1" + bytes(60), UNSUPPORTED),
    Case("icon", lambda: saved(IMAGE, "ICO"), UNSUPPORTED),
    Case("targa", lambda: saved(IMAGE, "TGA"), UNSUPPORTED),
    Case("heic", lambda: b"\0\0\0\x18ftypheic" + bytes(60), UNSUPPORTED),
    Case("avif", lambda: b"\0\0\0\x1cftypavif" + bytes(60), UNSUPPORTED),
    Case("jpeg-2000", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), UNSUPPORTED),
    Case("jpeg-xl", lambda: b"\xff\x0a" + bytes(60), UNSUPPORTED),
    Case("big-tiff", lambda: b"II+\0\x08\0\0\0" + bytes(60), UNSUPPORTED),
    Case("ppm-text-form", lambda: b"P3 1 1 255 1 2 3\n", UNSUPPORTED),
    Case("bmp-run-length", lambda: patched(saved(GREY_IMAGE, "BMP"), 30, b"\1"), UNSUPPORTED),
    Case("tiff-subsampled", lambda: rgb_tiff(tags={262: (3, [6])}), UNSUPPORTED),
    Case("tiff-64-bit", lambda: deep_tiff(3, 64, 1, FLOAT.astype(np.float64)), UNSUPPORTED),
    Case("tiff-32-bit-big-endian", lambda: deep_tiff(1, 32, 1, DEEP * np.uint32(65537), ">"), UNSUPPORTED),
    Case("tiff-zstd", lambda: rgb_tiff(tags={259: (3, [50000])}), UNSUPPORTED),
    Case("jpeg-12-bit", lambda: patched(JPEG(), frame_header_at(JPEG()) + 4, b"\x0c"), UNSUPPORTED),
    Case("jpeg-arithmetic", lambda: patched(JPEG(), frame_header_at(JPEG()) + 1, b"\xc9"), UNSUPPORTED),
    Case("jpeg-lossless", lambda: patched(JPEG(), frame_header_at(JPEG()) + 1, b"\xc3"), UNSUPPORTED),
]

HOSTILE = [
    # Headers that promise more pixels than are read
    Case("png-10-gigapixels", lambda: _sized_png(100_000, 100_000), TOO_LARGE),
    Case("png-side-overflow", lambda: _sized_png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    Case("jpeg-65500-squared", lambda: _sized_jpeg(65500, 65500), TOO_LARGE),
    Case(
        "webp-16384-squared",
        lambda: riff(webp_header(16384, 16384), *[(b"VP8L", bytes(9))][:0], (b"ANMF", bytes(40))),
        UNREADABLE,
    ),
    Case(
        "webp-large-canvas",
        lambda: riff(webp_header(1 << 24, 256, 2), (b"ANIM", bytes(6)), (b"ANMF", bytes(40))),
        TOO_LARGE,
    ),
    Case("gif-65535-squared", lambda: gif(65535, 65535, [(0, 0, 1, 1, WHITE_DOT)]), TOO_LARGE),
    Case("gif-frame-far-beyond-canvas", lambda: gif(1, 1, [(65535, 65535, 1, 1, WHITE_DOT)]), TOO_LARGE),
    Case(
        "tiff-enormous-tiles",
        lambda: rgb_tiff(tags={322: (4, [60000]), 323: (4, [60000]), 324: (4, [8]), 325: (4, [1152])}),
        TOO_LARGE,
    ),
    # Headers that promise more than the data hold, within the limit
    Case("png-promises-more", lambda: _sized_png(4000, 4000), UNREADABLE),
    Case("jpeg-promises-more", lambda: _sized_jpeg(4000, 4000), UNREADABLE),
    Case("gif-promises-more", lambda: gif(4000, 4000, [(0, 0, 4000, 4000, WHITE_DOT)]), UNREADABLE),
    Case(
        "bmp-promises-more",
        lambda: patched(saved(IMAGE, "BMP"), 18, struct.pack("<ii", 4000, 4000)),
        UNREADABLE,
    ),
    Case(
        "bmp-most-negative-height",
        lambda: patched(saved(IMAGE, "BMP"), 22, struct.pack("<i", -(2**31))),
        UNREADABLE,
    ),
    Case(
        "tiff-promises-more",
        lambda: rgb_tiff(tags={256: (4, [4000]), 257: (4, [4000]), 278: (4, [4000])}),
        UNREADABLE,
    ),
    Case("tiff-lzw-promises-more", lambda: _lying_lzw(), UNREADABLE),
    Case("ppm-promises-more", lambda: b"P6 4000 4000 255\n" + PICTURE.tobytes(), UNREADABLE),
    Case("webp-two-sizes", lambda: riff(webp_header(4000, 4000), (b"VP8L", _lossless_body())), UNREADABLE),
    # Data that hold more than the header promises
    Case(
        "png-inflates-to-more",
        lambda: (
            PNG_SIGNATURE + chunk(b"IHDR", _HEAD) + chunk(b"IDAT", zeros_deflated(500 << 20)) + chunk(b"IEND")
        ),
        UNREADABLE,
    ),
    Case("jpeg-scan-far-too-long", lambda: JPEG()[:-2] + b"\x55" * 900_000 + b"\xff\xd9", UNREADABLE),
    # Cut off
    *(
        Case(f"{name}-cut", lambda whole=whole: (data := whole())[: len(data) * 2 // 3], UNREADABLE)
        for name, whole in (
            ("png", rgb_png),
            ("jpeg", JPEG),
            ("jpeg-progressive", partial(JPEG, progressive=True)),
            ("webp", partial(saved, IMAGE, "WEBP")),
            ("gif", partial(saved, GREY_IMAGE, "GIF")),
            ("bmp", partial(saved, IMAGE, "BMP")),
            ("tiff", rgb_tiff),
            ("ppm", partial(saved, IMAGE, "PPM")),
        )
    ),
    Case("png-header-only", lambda: rgb_png()[:33], UNREADABLE),
    Case("png-without-end", lambda: rgb_png()[:-12], UNREADABLE),
    Case("jpeg-without-end", lambda: JPEG()[:-2], UNREADABLE),
    Case("webp-states-more", lambda: riff((b"VP8L", _lossless_body()), stated=9999), UNREADABLE),
    Case("webp-bits-cut", lambda: riff((b"VP8L", _lossless_body()[:20])), UNREADABLE),
    # Damaged
    Case("png-wrong-checksum", lambda: patched(rgb_png(), 60, b"\x99"), UNREADABLE),
    Case(
        "png-wrong-deflate",
        lambda: (
            PNG_SIGNATURE
            + chunk(b"IHDR", _HEAD)
            + chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 99)
            + chunk(b"IEND")
        ),
        UNREADABLE,
    ),
    Case("png-no-pixels", lambda: PNG_SIGNATURE + chunk(b"IHDR", _HEAD) + chunk(b"IEND"), UNREADABLE),
    Case("png-two-headers", lambda: rgb_png(before=[(b"IHDR", _HEAD)]), UNREADABLE),
    Case("png-0-pixels", lambda: _sized_png(0, 16), UNREADABLE),
    Case("png-3-bit", lambda: png(24, 16, 3, 2, ROWS), UNREADABLE),
    Case("png-no-palette", lambda: png(24, 16, 8, 3, unfiltered(INDEX)), UNREADABLE),
    Case("png-unknown-critical-chunk", lambda: rgb_png(before=[(b"ABCD", b"")]), UNREADABLE),
    Case("png-chunk-of-four-gigabytes", lambda: patched(rgb_png(), 33, b"\xff\xff\xff\xff"), UNREADABLE),
    Case("png-70000-chunks", lambda: rgb_png(before=[(b"abCd", b"")] * 70_000), UNREADABLE),
    Case("png-unknown-filter", lambda: png(24, 16, 8, 2, b"\x63" + ROWS[1:]), UNREADABLE),
    Case("jpeg-garbage", lambda: b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4, UNREADABLE),
    Case("jpeg-height-0", lambda: _sized_jpeg(24, 0), UNREADABLE),
    Case(
        "jpeg-two-frames",
        lambda: jpeg_with(JPEG(), JPEG()[(at := frame_header_at(JPEG())) : at + 19]),
        UNREADABLE,
    ),
    Case("jpeg-thousand-scans", lambda: _scans(1000), UNREADABLE),
    Case("jpeg-no-quantisation", lambda: without_segments(JPEG(), 0xDB), UNREADABLE),
    Case("jpeg-component-missing", lambda: _one_component_scan(), UNREADABLE),
    Case("jpeg-5000-segments", lambda: jpeg_with(JPEG(), segment(0xFE, b"") * 5000), UNREADABLE),
    Case("webp-no-picture", lambda: riff(webp_header(24, 16)), UNREADABLE),
    Case("webp-chunk-too-long", lambda: riff((b"VP8L", _lossless_body()))[:16] + b"\xff" * 60, UNREADABLE),
    Case("gif-no-picture", lambda: b"GIF89a\1\0\1\0\0\0\0;", UNREADABLE),
    Case("gif-endless-small-blocks", lambda: gif(1, 1, [(0, 0, 1, 1, b"\1\0" * 400_000)]), UNREADABLE),
    Case("gif-unknown-block", lambda: gif(1, 1, [])[:-1] + b"?" * 99, UNREADABLE),
    Case("bmp-header-of-41-bytes", lambda: patched(saved(IMAGE, "BMP"), 14, b"\x29"), UNREADABLE),
    Case("tiff-directory-outside", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(60), UNREADABLE),
    Case("tiff-no-pages", lambda: b"II*\0" + bytes(60), UNREADABLE),
    Case("tiff-value-outside", lambda: rgb_tiff(strips=lambda at: {273: (4, [2**31])}), UNREADABLE),
    Case("tiff-too-many-strips", lambda: rgb_tiff(strips=lambda at: {273: (4, [at] * 90_000)}), UNREADABLE),
    Case("tiff-0-pixels", lambda: rgb_tiff(tags={256: (4, [0])}), UNREADABLE),
    Case("tiff-1000-channels", lambda: rgb_tiff(tags={277: (3, [1000])}), UNSUPPORTED),
    Case("pgm-largest-value-0", lambda: b"P5 24 16 0\n" + GREY.tobytes(), UNREADABLE),
    Case("pgm-endless-comment", lambda: b"P5 #" + b"x" * 500_000, UNREADABLE),
]


def _lossless_body() -> bytes:
    data = saved(IMAGE, "WEBP", lossless=True)
    at = data.index(b"VP8L")
    return data[at + 8 : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]


def _lying_lzw() -> bytes:
    packed = zlib.compress(PICTURE.tobytes())
    tags = {**tiff_tags(4000, 4000, [8, 8, 8], 2), 259: (3, [8])}
    return tiff(tags, packed)


def _one_component_scan() -> bytes:
    data = JPEG()
    at = data.find(b"\xff\xda")
    return data[:at] + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) + data[at + 14 :]


CASES = [*ODD, *FRAMES, *NOT_IMAGES, *HOSTILE]
"""Every case; the names are unique."""
