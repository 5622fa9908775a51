"""Files that are pictures, in every odd way that a picture can be stored, and what each of them shows."""

import struct
import zlib
from functools import partial

import numpy as np
from PIL import Image

from tests.image_cases import (
    ALPHA,
    DEEP,
    FLOAT,
    GREY,
    GREY_IMAGE,
    IMAGE,
    INDEX,
    JPEG,
    LOSSY,
    OTHER_IMAGE,
    PICTURE,
    WHITE_DOT,
    Case,
    X,
    Y,
    deep_tiff,
    noted,
    patched,
    rgb_png,
    rgb_tiff,
    shows,
    without_segments,
    zip_file,
)
from tests.image_files import (
    cmyk_profile,
    gif,
    interlaced,
    jpeg_with,
    linear_grey_profile,
    orientation_exif,
    png,
    profile_segments,
    saved,
    segment,
    swapped_profile,
    tiff,
    tiff_tags,
    unfiltered,
    zeros_deflated,
)

_RGBA = np.dstack([PICTURE, ALPHA])
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


def _turned(orientation: int) -> Image.Image:
    return IMAGE.transpose(_STORED[orientation]) if orientation in _STORED else IMAGE


def _with_profile(profile: bytes) -> bytes:
    return rgb_png(before=[(b"iCCP", b"x\0\0" + zlib.compress(profile))])


_CMYK = np.where(X[..., None] < 12, [0, 0, 0, 0], [255, 255, 255, 0]).astype(np.uint8)
_ENCODED_GREY = np.round(
    255 * np.where(GREY / 255 > 0.0031308, 1.055 * (GREY / 255) ** (1 / 2.4) - 0.055, 12.92 * GREY / 255)
)
_SWAPPED = PICTURE[..., [1, 0, 2]]
_PALETTE = [(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))]
_COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[INDEX]
_DEEP_GREY = np.round(DEEP / 257).astype(np.uint8)


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
    Case("exif-orientation-9", lambda: saved(IMAGE, "PNG", exif=_exif(9)), check=shows()),
    Case("exif-garbage", lambda: rgb_png(before=[(b"eXIf", b"II*\0\xff\xff\xff\xff")]), check=shows()),
    Case("exif-is-none", lambda: rgb_png(before=[(b"eXIf", b"not EXIF")]), check=shows(exif=None)),
    Case("png-1-pixel", lambda: png(1, 1, 8, 2, b"\0\1\2\3"), check=shows([[[1, 2, 3]]])),
    Case(
        "png-1-bit",
        lambda: saved(GREY_IMAGE.point(lambda v: 255 * (v > 99)).convert("1"), "PNG"),
        check=shows(np.where(GREY > 99, 255, 0)),
    ),
    Case(
        "png-grey-2-bit-colour-key",
        lambda: png(4, 1, 2, 0, b"\0\x1b", before=[(b"tRNS", b"\0\2")]),
        check=shows([[0, 85, 170, 255]], alpha=[[255, 255, 0, 255]]),
    ),
    Case(
        "png-palette-partial-alpha",
        lambda: png(24, 16, 8, 3, unfiltered(INDEX), before=[*_PALETTE, (b"tRNS", b"\x80\xff")]),
        check=shows(_COLOURS, alpha=np.where(INDEX == 0, 128, 255)),
    ),
    Case(
        "png-palette-one-transparent",
        lambda: png(24, 16, 8, 3, unfiltered(INDEX), before=[*_PALETTE, (b"tRNS", b"\xff\0")]),
        check=shows(_COLOURS, alpha=np.where(INDEX == 1, 0, 255)),
    ),
    Case(
        "png-grey-alpha",
        lambda: saved(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"),
        check=shows(GREY, alpha=ALPHA),
    ),
    Case("png-rgba", lambda: saved(Image.fromarray(_RGBA), "PNG"), check=shows(alpha=ALPHA)),
    Case("png-rgba-opaque", lambda: saved(IMAGE.convert("RGBA"), "PNG"), check=shows()),
    Case(
        "png-colour-key",
        lambda: rgb_png(before=[(b"tRNS", struct.pack(">3H", *PICTURE[3, 5]))]),
        check=shows(alpha=np.where((X == 5) & (Y == 3), 0, 255)),
    ),
    Case(
        "png-16-bit-grey",
        lambda: png(24, 16, 16, 0, unfiltered(DEEP.astype(">u2"))),
        check=shows(_DEEP_GREY),
    ),
    Case(
        "png-16-bit-grey-colour-key",
        lambda: png(
            24, 16, 16, 0, unfiltered(DEEP.astype(">u2")), before=[(b"tRNS", struct.pack(">H", 2849))]
        ),
        check=shows(_DEEP_GREY, alpha=np.where(X == 1, 0, 255)),
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
    Case("png-tiny-chunks", lambda: rgb_png(split=1), check=shows()),
    Case(
        "jpeg-standard-tables-left-out", lambda: without_segments(JPEG(), 0xC4), check=shows(tolerance=LOSSY)
    ),
    Case(
        "jpeg-bytes-between-segments",
        lambda: JPEG()[:20] + bytes(99) + JPEG()[20:],
        check=shows(tolerance=LOSSY),
    ),
    Case("jpeg-grey", lambda: saved(GREY_IMAGE, "JPEG", quality=95), check=shows(GREY, LOSSY)),
    Case("jpeg-progressive", lambda: JPEG(progressive=True), check=shows(tolerance=LOSSY)),
    Case("jpeg-420", lambda: saved(IMAGE, "JPEG", quality=98, subsampling=2), check=shows(tolerance=40)),
    Case(
        "jpeg-cmyk",
        lambda: saved(IMAGE.convert("CMYK"), "JPEG", quality=98),
        check=shows(tolerance=LOSSY, converted_from=None),
    ),
    Case(
        "jpeg-cmyk-profile",
        lambda: jpeg_with(
            saved(Image.frombytes("CMYK", (24, 16), _CMYK.tobytes()), "JPEG", quality=98),
            *profile_segments(cmyk_profile(), 3),
        ),
        check=shows(np.where(X < 12, 255, 0), LOSSY, converted_from="press"),
    ),
    Case(
        "jpeg-rgb-profile",
        lambda: jpeg_with(JPEG(), *profile_segments(swapped_profile())),
        check=shows(_SWAPPED, LOSSY, converted_from="sRGB"),
    ),
    Case(
        "mpo",
        lambda: saved(IMAGE, "MPO", save_all=True, append_images=[OTHER_IMAGE], quality=95),
        check=shows(tolerance=LOSSY, format="JPEG"),
    ),
    Case("webp-lossless", lambda: saved(IMAGE, "WEBP", lossless=True), check=shows()),
    Case("webp-lossy", lambda: saved(IMAGE, "WEBP", quality=95), check=shows(tolerance=40)),
    Case(
        "webp-alpha",
        lambda: saved(Image.fromarray(_RGBA), "WEBP", lossless=True, exact=True),
        check=shows(alpha=ALPHA),
    ),
    Case(
        "webp-profile",
        lambda: saved(IMAGE, "WEBP", lossless=True, icc_profile=swapped_profile()),
        check=shows(_SWAPPED, 1, converted_from="sRGB"),
    ),
    Case("gif", lambda: saved(GREY_IMAGE, "GIF"), check=shows(GREY)),
    Case(
        "gif-transparent",
        lambda: saved(GREY_IMAGE, "GIF", transparency=50),
        check=lambda found: np.testing.assert_array_equal(found.alpha, np.where(GREY == 50, 0, 255)),
    ),
    Case(
        "gif-frame-beyond-canvas",
        lambda: gif(1, 1, [(1, 1, 1, 1, WHITE_DOT)]),
        check=lambda found: np.testing.assert_array_equal(found.pixels[1, 1], [255] * 3),
    ),
    Case("bmp-24", lambda: saved(IMAGE, "BMP"), check=shows()),
    Case("bmp-palette", lambda: saved(GREY_IMAGE, "BMP"), check=shows(GREY)),
    Case("bmp-32", lambda: saved(Image.fromarray(_RGBA), "BMP"), check=shows()),
    Case("bmp-alpha", lambda: _bmp_with_alpha(), check=shows(alpha=ALPHA)),
    Case(
        "bmp-top-down",
        lambda: patched(saved(IMAGE, "BMP"), 22, struct.pack("<i", -16)),
        check=shows(PICTURE[::-1]),
    ),
    Case("tiff", rgb_tiff, check=shows()),
    Case("tiff-big-endian", lambda: rgb_tiff(order=">"), check=shows()),
    *(
        Case(f"tiff-{name}", partial(saved, IMAGE, "TIFF", compression=name), check=shows())
        for name in ("packbits", "tiff_lzw", "tiff_adobe_deflate")
    ),
    Case(
        "tiff-jpeg",
        lambda: saved(IMAGE, "TIFF", compression="jpeg", quality=95),
        check=shows(PICTURE, LOSSY),
    ),
    Case(
        "tiff-fax",
        lambda: saved(Image.fromarray(GREY > 99), "TIFF", compression="group4"),
        check=shows(np.where(GREY > 99, 255, 0)),
    ),
    Case("tiff-cmyk", lambda: saved(IMAGE.convert("CMYK"), "TIFF"), check=shows()),
    Case("tiff-ycbcr", lambda: saved(IMAGE.convert("YCbCr"), "TIFF"), check=shows(tolerance=3)),
    Case(
        "tiff-lab",
        lambda: tiff(tiff_tags(24, 16, [8, 8, 8], 8), bytes([255, 0, 0]) * 384),
        check=shows(np.full((16, 24), 255), 1),
    ),
    Case("tiff-16-bit", lambda: deep_tiff(1, 16, 1, DEEP), check=shows(_DEEP_GREY)),
    Case("tiff-16-bit-big-endian", lambda: deep_tiff(1, 16, 1, DEEP, ">"), check=shows(_DEEP_GREY)),
    Case("tiff-16-bit-white-is-zero", lambda: deep_tiff(1, 16, 0, 65535 - DEEP), check=shows(_DEEP_GREY)),
    Case(
        "tiff-16-bit-signed",
        lambda: deep_tiff(2, 16, 1, (DEEP // 2).astype(np.int16)),
        check=shows(_DEEP_GREY, 1),
    ),
    Case("tiff-32-bit", lambda: deep_tiff(1, 32, 1, DEEP * np.uint32(65537)), check=shows(_DEEP_GREY)),
    Case("tiff-float", lambda: deep_tiff(3, 32, 1, FLOAT), check=shows(_DEEP_GREY)),
    Case(
        "tiff-float-not-finite",
        lambda: deep_tiff(
            3, 32, 1, np.where(X % 3, np.where(X % 2, np.inf, -np.inf), np.nan).astype(np.float32)
        ),
        check=shows(np.where((X % 3 > 0) & (X % 2 > 0), 255, 0)),
    ),
    Case(
        "tiff-one-endless-strip",
        lambda: rgb_tiff(tags={278: (4, [2**32 - 1])}),
        check=shows(),
    ),
    Case(
        "tiff-many-strips",
        lambda: rgb_tiff(
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
    Case("pgm-16-bit", lambda: b"P5 24 16 65535\n" + DEEP.astype(">u2").tobytes(), check=shows(_DEEP_GREY)),
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
        lambda: saved(GREY_IMAGE, "PNG", icc_profile=swapped_profile()),
        check=shows(GREY, 1, converted_from="sRGB"),
    ),
    Case(
        "profile-of-grey",
        lambda: saved(GREY_IMAGE, "PNG", icc_profile=linear_grey_profile()),
        check=shows(_ENCODED_GREY, 1, converted_from="grey"),
    ),
    Case(
        "profile-and-palette",
        lambda: png(
            24,
            16,
            8,
            3,
            unfiltered(INDEX),
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
        lambda: jpeg_with(JPEG(), *profile_segments(swapped_profile(), 2, said=3)),
        check=noted("damaged", shows(tolerance=LOSSY)),
    ),
    Case(
        "profile-bomb",
        lambda: rgb_png(before=[(b"iCCP", b"x\0\0" + zeros_deflated(200 << 20))]),
        check=noted("too large", shows()),
    ),
    # Polyglots: the picture counts, the rest is not looked at
    Case("png-then-zip", lambda: rgb_png() + zip_file(), check=shows()),
    Case("jpeg-then-zip", lambda: JPEG() + zip_file(), check=shows(tolerance=LOSSY)),
    Case("gif-then-script", lambda: saved(GREY_IMAGE, "GIF") + b"*/=1;alert(1)", check=shows(GREY)),
    Case("webp-then-html", lambda: saved(IMAGE, "WEBP", lossless=True) + b"<script>", check=shows()),
    Case(
        "jpeg-comment-is-php",
        lambda: jpeg_with(JPEG(), segment(0xFE, b"<?php system(1);")),
        check=shows(tolerance=LOSSY),
    ),
    # Text that would grow a thousandfold is never inflated
    Case(
        "png-text-bomb",
        lambda: rgb_png(before=[(b"zTXt", b"k\0\0" + zeros_deflated(100 << 20))] * 3),
        check=shows(),
    ),
    Case(
        "png-international-text-bomb",
        lambda: rgb_png(after=[(b"iTXt", b"k\0\1\0\0\0" + zeros_deflated(300 << 20))]),
        check=shows(),
    ),
    Case("png-many-texts", lambda: rgb_png(before=[(b"tEXt", b"k\0v")] * 20_000), check=shows()),
]
