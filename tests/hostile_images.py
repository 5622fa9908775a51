"""Odd and hostile image files, each with the answer it deserves. All are built here, on first use.

`CASES` is for whoever decodes files: `decode` in the unit tests, `/v1/super-resolution` over HTTP. A case is
"ok" when it is a picture; then `check` says which. Otherwise `expected` is the slug of the problem. Every
file is smaller than a megabyte; the answers hold for the default limits.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from PIL import Image

from service.images.decode import DecodedImage
from tests.image_files import (
    PNG_SIGNATURE,
    blocks,
    chunk,
    cmyk_profile,
    frame_header_at,
    gif,
    interlaced,
    jpeg_with,
    linear_grey_profile,
    orientation_exif,
    png,
    profile_segments,
    riff,
    saved,
    segment,
    swapped_profile,
    tiff,
    tiff_tags,
    unfiltered,
    webp_header,
    zeros_deflated,
)

_Y, _X = np.mgrid[0:16, 0:24]
PICTURE = np.stack([_X * 10, _Y * 15, (_X + _Y) * 6], axis=-1).astype(np.uint8)
"""What most of the files show, [16, 24, 3]."""

OTHER = PICTURE[::-1, ::-1].copy()
"""What second frames and trailing pictures show."""

GREY = (_X * 10).astype(np.uint8)
ALPHA = (_Y * 17).astype(np.uint8)
_RGBA = np.dstack([PICTURE, ALPHA])
_IMAGE, _OTHER_IMAGE, _GREY_IMAGE = Image.fromarray(PICTURE), Image.fromarray(OTHER), Image.fromarray(GREY)

UNREADABLE, UNSUPPORTED, TOO_LARGE = "image-unreadable", "image-unsupported", "image-too-large"
ANIMATED, NO_FRAME, TOO_MANY = "image-animated", "frame-out-of-range", "image-too-many-frames"
_TRANSPOSE = Image.Transpose
# How a picture is stored so that an orientation turns it upright.
_STORED = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_90,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_270,
}


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    build: Callable[[], bytes]
    expected: str = "ok"
    frame: int | None = None
    check: Callable[[DecodedImage], None] | None = None

    @cached_property
    def data(self) -> bytes:
        """The file."""
        return self.build()


def shows(
    expected: Any = PICTURE, tolerance: float = 0.0, alpha: Any = None, **more: Any
) -> Callable[[DecodedImage], None]:
    """A check of pixels (greatest difference), alpha, and further fields."""

    def check(found: DecodedImage) -> None:
        wanted = np.asarray(expected)
        wanted = np.repeat(wanted[..., None], 3, axis=2) if wanted.ndim == 2 else wanted
        assert found.pixels.shape == wanted.shape
        assert found.pixels.dtype == np.uint8
        assert np.abs(found.pixels.astype(int) - wanted).max() <= tolerance
        assert (found.alpha is None) == (alpha is None)
        if alpha is not None:
            np.testing.assert_array_equal(found.alpha, alpha)
        for name, value in more.items():
            assert getattr(found, name) == value

    return check


def noted(word: str, then: Callable[[DecodedImage], None]) -> Callable[[DecodedImage], None]:
    """A check that something was ignored and said so."""

    def check(found: DecodedImage) -> None:
        assert any(word in note for note in found.notes), found.notes
        then(found)

    return check


LOSSY = 24  # of 255, what JPEG and lossy WebP may differ for a smooth picture
_JPEG: Callable[..., bytes] = partial(saved, _IMAGE, "JPEG", quality=95, subsampling=0)
_ROWS = unfiltered(PICTURE)


def _png(**options: Any) -> bytes:
    return png(24, 16, 8, 2, _ROWS, **options)


def _turned(orientation: int) -> Image.Image:
    return _IMAGE.transpose(_STORED[orientation]) if orientation in _STORED else _IMAGE


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _sized_jpeg(width: int, height: int) -> bytes:
    data = _JPEG()
    return _patched(data, frame_header_at(data) + 5, struct.pack(">HH", height, width))


def _sized_png(width: int, height: int) -> bytes:
    data = _png()
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)) + data[33:]


def _zip() -> bytes:
    name, content = b"a.txt", b"hidden"
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(content), 6, 6, 5, 0)
    return head + name + content


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
    others = [_OTHER_IMAGE] * (frames - 1)
    return saved(_IMAGE, image_format, save_all=True, append_images=others, **options)


_WHITE_DOT = blocks(b"\x4c\x01")  # clear, 1, end: one white pixel in GIF's compression


def _many_frames(count: int, side: int = 1) -> bytes:
    first = saved(Image.new("1", (side, side)), "GIF") if side > 1 else b""
    if not first:
        return gif(1, 1, [(0, 0, 1, 1, _WHITE_DOT)] * count)
    dot = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + _WHITE_DOT + b"\0"
    return first[:-1] + dot * (count - 1) + b";"


def _deep(kind: int, bits: int, photometric: int, values: np.ndarray, order: str = "<") -> bytes:
    tags = {**tiff_tags(24, 16, [bits], photometric), 339: (3, [kind])}
    return tiff(tags, values.astype(values.dtype.newbyteorder(order)).tobytes(), order=order)


def _rgb_tiff(**changed: Any) -> bytes:
    tags = tiff_tags(24, 16, [8, 8, 8], 2)
    tags.update(changed.pop("tags", {}))
    return tiff(tags, PICTURE.tobytes(), **changed)


def _scans(count: int) -> bytes:
    data = saved(_IMAGE, "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def _without(data: bytes, marker: int) -> bytes:
    """A JPEG file without the segments of one kind."""
    at = data.find(bytes([0xFF, marker]))
    while 0 <= at < data.find(b"\xff\xda"):
        at_end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        data = data[:at] + data[at_end:]
        at = data.find(bytes([0xFF, marker]))
    return data


def _with_profile(profile: bytes) -> bytes:
    return _png(before=[(b"iCCP", b"x\0\0" + zlib.compress(profile))])


_CMYK = np.where(_X[..., None] < 12, [0, 0, 0, 0], [255, 255, 255, 0]).astype(np.uint8)
_ENCODED_GREY = np.round(
    255 * np.where(GREY / 255 > 0.0031308, 1.055 * (GREY / 255) ** (1 / 2.4) - 0.055, 12.92 * GREY / 255)
)
_SWAPPED = PICTURE[..., [1, 0, 2]]
_PALETTE = [(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))]
_INDEX = (_X // 8).astype(np.uint8)
_COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[_INDEX]
_DEEP = (_X.astype(np.uint32) * 2849).astype(np.uint16)  # 0 to 65527
_DEEP_GREY = np.round(_DEEP / 257).astype(np.uint8)
_FLOAT = _DEEP.astype(np.float32) / 65535


def _orientations() -> list[Case]:
    cases = []
    for number in range(1, 9):
        for name, build in (
            ("jpeg", lambda n=number: saved(_turned(n), "JPEG", quality=95, exif=_exif(n))),
            ("png", lambda n=number: saved(_turned(n), "PNG", exif=_exif(n))),
        ):
            check = shows(tolerance=LOSSY if name == "jpeg" else 0, exif=orientation_exif(1))
            cases.append(Case(f"{name}-orientation-{number}", build, check=check))
    return cases


def _exif(orientation: int, order: str = "<") -> bytes:
    return b"Exif\0\0" + orientation_exif(orientation, order)


def _turned_tiff() -> bytes:
    pixels = np.asarray(_turned(6))
    return tiff({**tiff_tags(16, 24, [8, 8, 8], 2), 274: (3, [6])}, pixels.tobytes())


def _bmp_with_alpha() -> bytes:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    pixels = _RGBA[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII4I52x", 108, 24, 16, 1, 32, 3, len(pixels), 0, 0, 0, 0, *masks)
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + pixels


ODD = [
    *_orientations(),
    Case(
        "webp-orientation-8", lambda: saved(_turned(8), "WEBP", lossless=True, exif=_exif(8)), check=shows()
    ),
    Case("tiff-orientation-6", _turned_tiff, check=shows(exif=None)),
    Case("exif-big-endian", lambda: saved(_turned(3), "PNG", exif=_exif(3, ">")), check=shows()),
    Case("exif-orientation-9", lambda: saved(_IMAGE, "PNG", exif=_exif(9)), check=shows()),
    Case("exif-garbage", lambda: _png(before=[(b"eXIf", b"II*\0\xff\xff\xff\xff")]), check=shows()),
    Case("exif-is-none", lambda: _png(before=[(b"eXIf", b"not EXIF")]), check=shows(exif=None)),
    Case("png-1-pixel", lambda: png(1, 1, 8, 2, b"\0\1\2\3"), check=shows([[[1, 2, 3]]])),
    Case(
        "png-1-bit",
        lambda: saved(_GREY_IMAGE.point(lambda v: 255 * (v > 99)).convert("1"), "PNG"),
        check=shows(np.where(GREY > 99, 255, 0)),
    ),
    Case(
        "png-grey-2-bit-colour-key",
        lambda: png(4, 1, 2, 0, b"\0\x1b", before=[(b"tRNS", b"\0\2")]),
        check=shows([[0, 85, 170, 255]], alpha=[[255, 255, 0, 255]]),
    ),
    Case(
        "png-palette-partial-alpha",
        lambda: png(24, 16, 8, 3, unfiltered(_INDEX), before=[*_PALETTE, (b"tRNS", b"\x80\xff")]),
        check=shows(_COLOURS, alpha=np.where(_INDEX == 0, 128, 255)),
    ),
    Case(
        "png-palette-one-transparent",
        lambda: png(24, 16, 8, 3, unfiltered(_INDEX), before=[*_PALETTE, (b"tRNS", b"\xff\0")]),
        check=shows(_COLOURS, alpha=np.where(_INDEX == 1, 0, 255)),
    ),
    Case(
        "png-grey-alpha",
        lambda: saved(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"),
        check=shows(GREY, alpha=ALPHA),
    ),
    Case("png-rgba", lambda: saved(Image.fromarray(_RGBA), "PNG"), check=shows(alpha=ALPHA)),
    Case("png-rgba-opaque", lambda: saved(_IMAGE.convert("RGBA"), "PNG"), check=shows()),
    Case(
        "png-colour-key",
        lambda: _png(before=[(b"tRNS", struct.pack(">3H", *PICTURE[3, 5]))]),
        check=shows(alpha=np.where((_X == 5) & (_Y == 3), 0, 255)),
    ),
    Case(
        "png-16-bit-grey",
        lambda: png(24, 16, 16, 0, unfiltered(_DEEP.astype(">u2"))),
        check=shows(_DEEP_GREY),
    ),
    Case(
        "png-16-bit-grey-colour-key",
        lambda: png(
            24, 16, 16, 0, unfiltered(_DEEP.astype(">u2")), before=[(b"tRNS", struct.pack(">H", 2849))]
        ),
        check=shows(_DEEP_GREY, alpha=np.where(_X == 1, 0, 255)),
    ),
    Case(
        "png-16-bit-rgb",
        lambda: png(24, 16, 16, 2, unfiltered((PICTURE * np.uint16(257)).astype(">u2"))),
        check=shows(),
    ),
    Case(
        "png-16-bit-rgba",
        lambda: png(24, 16, 16, 6, unfiltered((_RGBA * np.uint16(257)).astype(">u2"))),
        check=shows(alpha=ALPHA),
    ),
    Case("png-interlaced", lambda: png(24, 16, 8, 2, interlaced(PICTURE), interlace=1), check=shows()),
    Case("png-tiny-chunks", lambda: _png(split=1), check=shows()),
    Case("jpeg-standard-tables-left-out", lambda: _without(_JPEG(), 0xC4), check=shows(tolerance=LOSSY)),
    Case(
        "jpeg-bytes-between-segments",
        lambda: _JPEG()[:20] + bytes(99) + _JPEG()[20:],
        check=shows(tolerance=LOSSY),
    ),
    Case("jpeg-grey", lambda: saved(_GREY_IMAGE, "JPEG", quality=95), check=shows(GREY, LOSSY)),
    Case("jpeg-progressive", lambda: _JPEG(progressive=True), check=shows(tolerance=LOSSY)),
    Case("jpeg-420", lambda: saved(_IMAGE, "JPEG", quality=98, subsampling=2), check=shows(tolerance=40)),
    Case(
        "jpeg-cmyk",
        lambda: saved(_IMAGE.convert("CMYK"), "JPEG", quality=98),
        check=shows(tolerance=LOSSY, converted_from=None),
    ),
    Case(
        "jpeg-cmyk-profile",
        lambda: jpeg_with(
            saved(Image.frombytes("CMYK", (24, 16), _CMYK.tobytes()), "JPEG", quality=98),
            *profile_segments(cmyk_profile(), 3),
        ),
        check=shows(np.where(_X < 12, 255, 0), LOSSY, converted_from="press"),
    ),
    Case(
        "jpeg-rgb-profile",
        lambda: jpeg_with(_JPEG(), *profile_segments(swapped_profile())),
        check=shows(_SWAPPED, LOSSY, converted_from="sRGB"),
    ),
    Case(
        "mpo",
        lambda: saved(_IMAGE, "MPO", save_all=True, append_images=[_OTHER_IMAGE], quality=95),
        check=shows(tolerance=LOSSY, format="JPEG"),
    ),
    Case("webp-lossless", lambda: saved(_IMAGE, "WEBP", lossless=True), check=shows()),
    Case("webp-lossy", lambda: saved(_IMAGE, "WEBP", quality=95), check=shows(tolerance=40)),
    Case(
        "webp-alpha",
        lambda: saved(Image.fromarray(_RGBA), "WEBP", lossless=True, exact=True),
        check=shows(alpha=ALPHA),
    ),
    Case(
        "webp-profile",
        lambda: saved(_IMAGE, "WEBP", lossless=True, icc_profile=swapped_profile()),
        check=shows(_SWAPPED, 1, converted_from="sRGB"),
    ),
    Case("gif", lambda: saved(_GREY_IMAGE, "GIF"), check=shows(GREY)),
    Case(
        "gif-transparent",
        lambda: saved(_GREY_IMAGE, "GIF", transparency=50),
        check=lambda found: np.testing.assert_array_equal(found.alpha, np.where(GREY == 50, 0, 255)),
    ),
    Case(
        "gif-frame-beyond-canvas",
        lambda: gif(1, 1, [(1, 1, 1, 1, _WHITE_DOT)]),
        check=lambda found: np.testing.assert_array_equal(found.pixels[1, 1], [255] * 3),
    ),
    Case("bmp-24", lambda: saved(_IMAGE, "BMP"), check=shows()),
    Case("bmp-palette", lambda: saved(_GREY_IMAGE, "BMP"), check=shows(GREY)),
    Case("bmp-32", lambda: saved(Image.fromarray(_RGBA), "BMP"), check=shows()),
    Case("bmp-alpha", lambda: _bmp_with_alpha(), check=shows(alpha=ALPHA)),
    Case(
        "bmp-top-down",
        lambda: _patched(saved(_IMAGE, "BMP"), 22, struct.pack("<i", -16)),
        check=shows(PICTURE[::-1]),
    ),
    Case("tiff", _rgb_tiff, check=shows()),
    Case("tiff-big-endian", lambda: _rgb_tiff(order=">"), check=shows()),
    *(
        Case(f"tiff-{name}", partial(saved, _IMAGE, "TIFF", compression=name), check=shows())
        for name in ("packbits", "tiff_lzw", "tiff_adobe_deflate")
    ),
    Case(
        "tiff-jpeg",
        lambda: saved(_IMAGE, "TIFF", compression="jpeg", quality=95),
        check=shows(PICTURE, LOSSY),
    ),
    Case(
        "tiff-fax",
        lambda: saved(Image.fromarray(GREY > 99), "TIFF", compression="group4"),
        check=shows(np.where(GREY > 99, 255, 0)),
    ),
    Case("tiff-cmyk", lambda: saved(_IMAGE.convert("CMYK"), "TIFF"), check=shows()),
    Case("tiff-ycbcr", lambda: saved(_IMAGE.convert("YCbCr"), "TIFF"), check=shows(tolerance=3)),
    Case(
        "tiff-lab",
        lambda: tiff(tiff_tags(24, 16, [8, 8, 8], 8), bytes([255, 0, 0]) * 384),
        check=shows(np.full((16, 24), 255), 1),
    ),
    Case("tiff-16-bit", lambda: _deep(1, 16, 1, _DEEP), check=shows(_DEEP_GREY)),
    Case("tiff-16-bit-big-endian", lambda: _deep(1, 16, 1, _DEEP, ">"), check=shows(_DEEP_GREY)),
    Case("tiff-16-bit-white-is-zero", lambda: _deep(1, 16, 0, 65535 - _DEEP), check=shows(_DEEP_GREY)),
    Case(
        "tiff-16-bit-signed",
        lambda: _deep(2, 16, 1, (_DEEP // 2).astype(np.int16)),
        check=shows(_DEEP_GREY, 1),
    ),
    Case("tiff-32-bit", lambda: _deep(1, 32, 1, _DEEP * np.uint32(65537)), check=shows(_DEEP_GREY)),
    Case("tiff-float", lambda: _deep(3, 32, 1, _FLOAT), check=shows(_DEEP_GREY)),
    Case(
        "tiff-float-not-finite",
        lambda: _deep(
            3, 32, 1, np.where(_X % 3, np.where(_X % 2, np.inf, -np.inf), np.nan).astype(np.float32)
        ),
        check=shows(np.where((_X % 3 > 0) & (_X % 2 > 0), 255, 0)),
    ),
    Case(
        "tiff-one-endless-strip",
        lambda: _rgb_tiff(tags={278: (4, [2**32 - 1])}),
        check=shows(),
    ),
    Case(
        "tiff-many-strips",
        lambda: _rgb_tiff(
            tags={278: (4, [1])},
            strips=lambda at: {273: (4, [at + 72 * n for n in range(16)]), 279: (4, [72] * 16)},
        ),
        check=shows(),
    ),
    Case(
        "pbm",
        lambda: b"P4\n# a comment\n24 16\n" + np.packbits(GREY < 100, axis=1).tobytes(),
        check=shows(np.where(GREY < 100, 0, 255)),
    ),
    Case("pgm", lambda: b"P5 24 16 255\n" + GREY.tobytes(), check=shows(GREY)),
    Case("pgm-16-bit", lambda: b"P5 24 16 65535\n" + _DEEP.astype(">u2").tobytes(), check=shows(_DEEP_GREY)),
    Case("ppm", lambda: b"P6 24 16 255\n" + PICTURE.tobytes(), check=shows()),
    Case(
        "ppm-16-values", lambda: b"P6 24 16 15\n" + (PICTURE // 17).tobytes(), check=shows(PICTURE // 17 * 17)
    ),
    # Colour profiles
    Case(
        "profile-rgb",
        lambda: _with_profile(swapped_profile()),
        check=shows(_SWAPPED, 1, converted_from="sRGB"),
    ),
    Case(
        "profile-on-grey",
        lambda: saved(_GREY_IMAGE, "PNG", icc_profile=swapped_profile()),
        check=shows(GREY, 1, converted_from="sRGB"),
    ),
    Case(
        "profile-of-grey",
        lambda: saved(_GREY_IMAGE, "PNG", icc_profile=linear_grey_profile()),
        check=shows(_ENCODED_GREY, 1, converted_from="grey"),
    ),
    Case(
        "profile-and-palette",
        lambda: png(
            24,
            16,
            8,
            3,
            unfiltered(_INDEX),
            before=[(b"iCCP", b"x\0\0" + zlib.compress(swapped_profile())), *_PALETTE],
        ),
        check=shows(_COLOURS[..., [1, 0, 2]], 1),
    ),
    Case("profile-garbage", lambda: _with_profile(b"not a profile" * 30), check=noted("damaged", shows())),
    Case("profile-cut", lambda: _with_profile(swapped_profile()[:300]), check=noted("damaged", shows())),
    Case("profile-of-a-press", lambda: _with_profile(cmyk_profile()), check=noted("other pixels", shows())),
    Case(
        "profile-of-slow-stages",
        lambda: _with_profile(swapped_profile() + b"mpet" * 9),
        check=noted("kind", shows()),
    ),
    Case(
        "profile-part-missing",
        lambda: jpeg_with(_JPEG(), *profile_segments(swapped_profile(), 2, said=3)),
        check=noted("damaged", shows(tolerance=LOSSY)),
    ),
    Case(
        "profile-bomb",
        lambda: _png(before=[(b"iCCP", b"x\0\0" + zeros_deflated(200 << 20))]),
        check=noted("too large", shows()),
    ),
    # Polyglots: the picture counts, the rest is not looked at
    Case("png-then-zip", lambda: _png() + _zip(), check=shows()),
    Case("jpeg-then-zip", lambda: _JPEG() + _zip(), check=shows(tolerance=LOSSY)),
    Case("gif-then-script", lambda: saved(_GREY_IMAGE, "GIF") + b"*/=1;alert(1)", check=shows(GREY)),
    Case("webp-then-html", lambda: saved(_IMAGE, "WEBP", lossless=True) + b"<script>", check=shows()),
    Case(
        "jpeg-comment-is-php",
        lambda: jpeg_with(_JPEG(), segment(0xFE, b"<?php system(1);")),
        check=shows(tolerance=LOSSY),
    ),
    # Text that would grow a thousandfold is never inflated
    Case(
        "png-text-bomb",
        lambda: _png(before=[(b"zTXt", b"k\0\0" + zeros_deflated(100 << 20))] * 3),
        check=shows(),
    ),
    Case(
        "png-international-text-bomb",
        lambda: _png(after=[(b"iTXt", b"k\0\1\0\0\0" + zeros_deflated(300 << 20))]),
        check=shows(),
    ),
    Case("png-many-texts", lambda: _png(before=[(b"tEXt", b"k\0v")] * 20_000), check=shows()),
]

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
    Case("png-frame-0", _png, frame=0, check=shows()),
    Case("png-frame-1", _png, NO_FRAME, frame=1),
    Case("apng-one-frame", partial(_apng, 1), check=shows()),
    Case("gif-1001-frames", partial(_many_frames, 1001), TOO_MANY),
    Case("gif-1001-frames-first", partial(_many_frames, 1001), TOO_MANY, frame=0),
    Case("gif-last-of-many-large-frames", partial(_many_frames, 100, 4000), TOO_LARGE, frame=99),
    Case("apng-says-four-billion-frames", lambda: _apng(2, announced=2**32 - 1), UNREADABLE, frame=1),
    Case("apng-says-fewer-frames", lambda: _apng(3, announced=2), UNREADABLE, frame=2),
    Case("apng-frame-beyond-canvas", lambda: _apng(2, size=(5000, 5000)), UNREADABLE, frame=1),
    Case("tiff-pages-in-a-circle", lambda: _rgb_tiff(following=8 + PICTURE.size), UNREADABLE),
]

_HEAD = struct.pack(">II5B", 24, 16, 8, 2, 0, 0, 0)
NOT_IMAGES = [
    Case("empty", lambda: b"", UNREADABLE),
    Case("three-bytes", lambda: b"\xff\xd8\xff", UNREADABLE),
    Case("text", lambda: b"this is not an image at all\n" * 9, UNSUPPORTED),
    Case("html", lambda: b"<!doctype html><script>alert(1)</script>", UNSUPPORTED),
    Case("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', UNSUPPORTED),
    Case("zip", _zip, UNSUPPORTED),
    Case("gzip", lambda: b"\x1f\x8b\x08" + bytes(50), UNSUPPORTED),
    Case("pdf", lambda: saved(_IMAGE, "PDF"), UNSUPPORTED),
    Case("postscript", lambda: saved(_IMAGE, "EPS"), UNSUPPORTED),
    Case("photoshop", lambda: b"8BPS\0\1" + bytes(60), UNSUPPORTED),
    Case("icon", lambda: saved(_IMAGE, "ICO"), UNSUPPORTED),
    Case("targa", lambda: saved(_IMAGE, "TGA"), UNSUPPORTED),
    Case("heic", lambda: b"\0\0\0\x18ftypheic" + bytes(60), UNSUPPORTED),
    Case("avif", lambda: b"\0\0\0\x1cftypavif" + bytes(60), UNSUPPORTED),
    Case("jpeg-2000", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), UNSUPPORTED),
    Case("jpeg-xl", lambda: b"\xff\x0a" + bytes(60), UNSUPPORTED),
    Case("big-tiff", lambda: b"II+\0\x08\0\0\0" + bytes(60), UNSUPPORTED),
    Case("ppm-text-form", lambda: b"P3 1 1 255 1 2 3\n", UNSUPPORTED),
    Case("bmp-run-length", lambda: _patched(saved(_GREY_IMAGE, "BMP"), 30, b"\1"), UNSUPPORTED),
    Case("tiff-subsampled", lambda: _rgb_tiff(tags={262: (3, [6])}), UNSUPPORTED),
    Case("tiff-64-bit", lambda: _deep(3, 64, 1, _FLOAT.astype(np.float64)), UNSUPPORTED),
    Case("tiff-32-bit-big-endian", lambda: _deep(1, 32, 1, _DEEP * np.uint32(65537), ">"), UNSUPPORTED),
    Case("tiff-zstd", lambda: _rgb_tiff(tags={259: (3, [50000])}), UNSUPPORTED),
    Case("jpeg-12-bit", lambda: _patched(_JPEG(), frame_header_at(_JPEG()) + 4, b"\x0c"), UNSUPPORTED),
    Case("jpeg-arithmetic", lambda: _patched(_JPEG(), frame_header_at(_JPEG()) + 1, b"\xc9"), UNSUPPORTED),
    Case("jpeg-lossless", lambda: _patched(_JPEG(), frame_header_at(_JPEG()) + 1, b"\xc3"), UNSUPPORTED),
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
    Case("gif-65535-squared", lambda: gif(65535, 65535, [(0, 0, 1, 1, _WHITE_DOT)]), TOO_LARGE),
    Case("gif-frame-far-beyond-canvas", lambda: gif(1, 1, [(65535, 65535, 1, 1, _WHITE_DOT)]), TOO_LARGE),
    Case(
        "tiff-enormous-tiles",
        lambda: _rgb_tiff(tags={322: (4, [60000]), 323: (4, [60000]), 324: (4, [8]), 325: (4, [1152])}),
        TOO_LARGE,
    ),
    # Headers that promise more than the data hold, within the limit
    Case("png-promises-more", lambda: _sized_png(4000, 4000), UNREADABLE),
    Case("jpeg-promises-more", lambda: _sized_jpeg(4000, 4000), UNREADABLE),
    Case("gif-promises-more", lambda: gif(4000, 4000, [(0, 0, 4000, 4000, _WHITE_DOT)]), UNREADABLE),
    Case(
        "bmp-promises-more",
        lambda: _patched(saved(_IMAGE, "BMP"), 18, struct.pack("<ii", 4000, 4000)),
        UNREADABLE,
    ),
    Case(
        "bmp-most-negative-height",
        lambda: _patched(saved(_IMAGE, "BMP"), 22, struct.pack("<i", -(2**31))),
        UNREADABLE,
    ),
    Case(
        "tiff-promises-more",
        lambda: _rgb_tiff(tags={256: (4, [4000]), 257: (4, [4000]), 278: (4, [4000])}),
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
    Case("jpeg-scan-far-too-long", lambda: _JPEG()[:-2] + b"\x55" * 900_000 + b"\xff\xd9", UNREADABLE),
    # Cut off
    *(
        Case(f"{name}-cut", lambda whole=whole: (data := whole())[: len(data) * 2 // 3], UNREADABLE)
        for name, whole in (
            ("png", _png),
            ("jpeg", _JPEG),
            ("jpeg-progressive", partial(_JPEG, progressive=True)),
            ("webp", partial(saved, _IMAGE, "WEBP")),
            ("gif", partial(saved, _GREY_IMAGE, "GIF")),
            ("bmp", partial(saved, _IMAGE, "BMP")),
            ("tiff", _rgb_tiff),
            ("ppm", partial(saved, _IMAGE, "PPM")),
        )
    ),
    Case("png-header-only", lambda: _png()[:33], UNREADABLE),
    Case("png-without-end", lambda: _png()[:-12], UNREADABLE),
    Case("jpeg-without-end", lambda: _JPEG()[:-2], UNREADABLE),
    Case("webp-states-more", lambda: riff((b"VP8L", _lossless_body()), stated=9999), UNREADABLE),
    Case("webp-bits-cut", lambda: riff((b"VP8L", _lossless_body()[:20])), UNREADABLE),
    # Damaged
    Case("png-wrong-checksum", lambda: _patched(_png(), 60, b"\x99"), UNREADABLE),
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
    Case("png-two-headers", lambda: _png(before=[(b"IHDR", _HEAD)]), UNREADABLE),
    Case("png-0-pixels", lambda: _sized_png(0, 16), UNREADABLE),
    Case("png-3-bit", lambda: png(24, 16, 3, 2, _ROWS), UNREADABLE),
    Case("png-no-palette", lambda: png(24, 16, 8, 3, unfiltered(_INDEX)), UNREADABLE),
    Case("png-unknown-critical-chunk", lambda: _png(before=[(b"ABCD", b"")]), UNREADABLE),
    Case("png-chunk-of-four-gigabytes", lambda: _patched(_png(), 33, b"\xff\xff\xff\xff"), UNREADABLE),
    Case("png-70000-chunks", lambda: _png(before=[(b"abCd", b"")] * 70_000), UNREADABLE),
    Case("png-unknown-filter", lambda: png(24, 16, 8, 2, b"\x63" + _ROWS[1:]), UNREADABLE),
    Case("jpeg-garbage", lambda: b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4, UNREADABLE),
    Case("jpeg-height-0", lambda: _sized_jpeg(24, 0), UNREADABLE),
    Case(
        "jpeg-two-frames",
        lambda: jpeg_with(_JPEG(), _JPEG()[(at := frame_header_at(_JPEG())) : at + 19]),
        UNREADABLE,
    ),
    Case("jpeg-thousand-scans", lambda: _scans(1000), UNREADABLE),
    Case("jpeg-no-quantisation", lambda: _without(_JPEG(), 0xDB), UNREADABLE),
    Case("jpeg-component-missing", lambda: _one_component_scan(), UNREADABLE),
    Case("jpeg-5000-segments", lambda: jpeg_with(_JPEG(), segment(0xFE, b"") * 5000), UNREADABLE),
    Case("webp-no-picture", lambda: riff(webp_header(24, 16)), UNREADABLE),
    Case("webp-chunk-too-long", lambda: riff((b"VP8L", _lossless_body()))[:16] + b"\xff" * 60, UNREADABLE),
    Case("gif-no-picture", lambda: b"GIF89a\1\0\1\0\0\0\0;", UNREADABLE),
    Case("gif-endless-small-blocks", lambda: gif(1, 1, [(0, 0, 1, 1, b"\1\0" * 400_000)]), UNREADABLE),
    Case("gif-unknown-block", lambda: gif(1, 1, [])[:-1] + b"?" * 99, UNREADABLE),
    Case("bmp-header-of-41-bytes", lambda: _patched(saved(_IMAGE, "BMP"), 14, b"\x29"), UNREADABLE),
    Case("tiff-directory-outside", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(60), UNREADABLE),
    Case("tiff-no-pages", lambda: b"II*\0" + bytes(60), UNREADABLE),
    Case("tiff-value-outside", lambda: _rgb_tiff(strips=lambda at: {273: (4, [2**31])}), UNREADABLE),
    Case("tiff-too-many-strips", lambda: _rgb_tiff(strips=lambda at: {273: (4, [at] * 90_000)}), UNREADABLE),
    Case("tiff-0-pixels", lambda: _rgb_tiff(tags={256: (4, [0])}), UNREADABLE),
    Case("tiff-1000-channels", lambda: _rgb_tiff(tags={277: (3, [1000])}), UNSUPPORTED),
    Case("pgm-largest-value-0", lambda: b"P5 24 16 0\n" + GREY.tobytes(), UNREADABLE),
    Case("pgm-endless-comment", lambda: b"P5 #" + b"x" * 500_000, UNREADABLE),
]


def _lossless_body() -> bytes:
    data = saved(_IMAGE, "WEBP", lossless=True)
    at = data.index(b"VP8L")
    return data[at + 8 : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]


def _lying_lzw() -> bytes:
    packed = zlib.compress(PICTURE.tobytes())
    tags = {**tiff_tags(4000, 4000, [8, 8, 8], 2), 259: (3, [8])}
    return tiff(tags, packed)


def _one_component_scan() -> bytes:
    data = _JPEG()
    at = data.find(b"\xff\xda")
    return data[:at] + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) + data[at + 14 :]


CASES = [*ODD, *FRAMES, *NOT_IMAGES, *HOSTILE]
"""Every case; the names are unique."""
