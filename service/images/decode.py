"""Files that strangers send to pixels: every limit checked before pixels are allocated.

A file is first taken apart by `service.images.containers`, which knows size and frames from the bytes alone
and refuses what lies about them. The decoder is told which format it is, and gets a file rebuilt from the
parts that make pixels: metadata, text, thumbnails and whatever is appended never reach it.

| format | read | why |
|---|---|---|
| PNG, APNG | yes | |
| JPEG, MPO's first picture | baseline, extended, progressive; 8 bits | rarer kinds are read by few programs |
| WebP | still and animated | |
| GIF | still and animated | |
| BMP | uncompressed | skips in run-length coding grow without bound |
| TIFF | classic; no, PackBits, LZW, Deflate, JPEG, fax compression | others allocate what no header tells |
| PBM, PGM, PPM | binary forms | the text forms are slow to parse |
| AVIF, HEIF, JPEG 2000, JPEG XL | no | the pixels are those of an inner stream, allocated unasked |
| EPS, PDF, PSD, SVG, WMF | no | programs and documents, not pixels |
| ICO, ICNS, CUR, DDS, TGA and the rest | no | seldom what pictures come in, by decoders seldom tried |

Only EXIF (and TIFF's own tag) says how a picture is turned; XMP is not asked, as browsers do not. Gamma and
resolution are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.images import exif as exif_block
from service.images.colour import to_srgb
from service.images.containers import bmp, gif, jpeg, png, pnm, tiff, webp
from service.images.containers.base import (
    MEDIA_TYPES,
    Container,
    ImageError,
    ImageHeader,
    unreadable,
    unsupported,
)

__all__ = [
    "MEDIA_TYPES",
    "DecodeLimits",
    "DecodedImage",
    "ImageError",
    "ImageHeader",
    "decode",
    "decode_frames",
    "inspect",
]

WORK_PER_FRAME: Final = 8
"""Frames before the one asked for are decoded too; together they may have this many times `max_pixels`."""


@dataclass(frozen=True)
class DecodeLimits:
    """What a file may ask for; the settings `max_image_pixels` and `max_image_frames`."""

    max_pixels: int
    max_frames: int


@dataclass(frozen=True)
class DecodedImage:
    """An upright picture in sRGB."""

    pixels: NDArray[np.uint8]  # [H, W, 3]; may be read-only
    alpha: NDArray[np.uint8] | None  # [H, W], 255 is opaque; None when all of it is
    format: str  # a key of MEDIA_TYPES
    exif: bytes | None  # the file's own, from its TIFF header on, saying upright; None for TIFF files
    converted_from: str | None  # name of the colour profile it was converted from; None if sRGB or untagged
    notes: tuple[str, ...] = ()  # what was ignored, one sentence each


_OTHERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%!PS", "a PostScript program"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\0\0\x01\0", "an icon file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (b"\x1f\x8b", "a gzip file"),
)
_BOXED: Final = {
    b"avif": "an AVIF file",
    b"avis": "an AVIF file",
    b"heic": "a HEIC file",
    b"mif1": "a HEIF file",
}
_NAMES: Final = {"WEBP": "WebP"}
_LONGEST_SIGNATURE = 12


def _reader(data: bytes) -> Callable[[bytes, int], Container]:
    if data.startswith(png.SIGNATURE):
        return png.parse
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.parse
    if webp.matches(data):
        return webp.parse
    if data.startswith(gif.SIGNATURES):
        return gif.parse
    if data.startswith(tiff.SIGNATURES):
        return tiff.parse
    if data.startswith(pnm.SIGNATURES) and data[2:3] in b" \t\r\n#":
        return pnm.parse
    if data.startswith(bmp.SIGNATURE):
        return bmp.parse
    raise _refusal(data)


def _refusal(data: bytes) -> ImageError:
    if not data:
        return unreadable("The file is empty.")
    if len(data) < _LONGEST_SIGNATURE:
        return unreadable("The file is too short to be an image.")
    if data.startswith(tiff.BIG_SIGNATURES):
        return unsupported("BigTIFF files are not read.")
    name = next((name for signature, name in _OTHERS if data.startswith(signature)), None)
    if data[4:8] == b"ftyp":
        name = _BOXED.get(data[8:12], "a file of the ISO media family")
    if name is None:
        return unsupported("The file does not begin like any of the image formats that are read.")
    return unsupported(f"This is {name}, which is not read.")


def inspect(data: bytes) -> ImageHeader:
    """Reads what a file says about itself; decodes nothing.

    Args:
        data: The file.

    Returns:
        Format, size as stored, and number of frames.

    Raises:
        ImageError: image-unreadable or image-unsupported.
    """
    return _reader(data)(data, 0).header


def decode(data: bytes, limits: DecodeLimits, *, frame: int | None = None) -> DecodedImage:
    """Decodes an image file of any of the formats that are read.

    Takes up to 20 bytes of memory a pixel at its peak (10 for an opaque PNG or JPEG), beside the file.

    Args:
        data: The file.
        limits: How many pixels and frames it may have.
        frame: Which frame of an animation or page of a document, from 0; None accepts only files with one.

    Returns:
        The pixels, upright and in sRGB.

    Raises:
        ImageError: image-unreadable, image-unsupported, image-too-large, image-too-many-frames,
            image-animated or frame-out-of-range.
    """
    container = _reader(data)(data, max(frame or 0, 0))
    _check_limits(container, limits, frame)
    container.check()
    try:
        image = _open(container)
        pixels, alpha, converted_from, notes = to_srgb(image, container)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise many kinds of errors over damaged files
        name = _NAMES.get(container.header.format, container.header.format)
        raise unreadable(f"The {name} file is damaged: its pixels cannot be decoded.") from error
    exif = container.exif if container.exif and exif_block.is_exif(container.exif) else None
    turn = container.orientation or (exif_block.orientation(exif) if exif else 1)
    return DecodedImage(
        pixels=_turned(pixels, turn),
        alpha=None if alpha is None else _turned(alpha, turn),
        format=container.header.format,
        exif=exif_block.upright(exif) if exif else None,
        converted_from=converted_from,
        notes=container.notes + notes,
    )


def decode_frames(data: bytes, limits: DecodeLimits) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Decodes all frames of an animation (PNG, WebP, GIF), one after the other.

    Args:
        data: The file.
        limits: How many pixels and frames it may have; all frames together may have `WORK_PER_FRAME` times
            the pixels of one.

    Yields:
        Each frame in sRGB, uint8 [H, W, 3], or 4 with alpha unless all is opaque; and for how many
        milliseconds it is shown.

    Raises:
        ImageError: As for `decode`.
    """
    read = _reader(data)
    last = read(data, 0).header.frames - 1
    container = read(data, last)
    _check_limits(container, limits, last)
    container.check()
    header = container.header
    try:
        with Image.open(BytesIO(container.payload), formats=(header.format,)) as image:
            for number in range(header.frames):
                if header.frames > 1:
                    image.seek(number)
                if image.size != (header.width, header.height):
                    raise unreadable(f"The {_NAMES.get(header.format, header.format)} file has two sizes.")
                image.load()
                pixels, alpha, _, _ = to_srgb(image, container)
                milliseconds = float(image.info.get("duration", 0))
                yield pixels if alpha is None else np.dstack((pixels, alpha)), milliseconds
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise many kinds of errors over damaged files
        name = _NAMES.get(header.format, header.format)
        raise unreadable(f"The {name} file is damaged: its frames cannot be decoded.") from error


def _check_limits(container: Container, limits: DecodeLimits, frame: int | None) -> None:
    header = container.header
    stored = header.width * header.height
    pixels = max(stored, container.allocated_pixels)
    if pixels > limits.max_pixels:
        tiles = f" in tiles of {container.allocated_pixels}" if container.allocated_pixels > stored else ""
        size = f"{header.width} × {header.height} pixels{tiles}"
        raise ImageError(
            "image-too-large",
            f"The image has {size}; at most {limits.max_pixels} are read.",
            limit_pixels=limits.max_pixels,
        )
    if header.frames > limits.max_frames:
        raise ImageError(
            "image-too-many-frames",
            f"The file has more than {limits.max_frames} frames.",
            limit_frames=limits.max_frames,
        )
    if frame is None and header.frames > 1:
        raise ImageError(
            "image-animated",
            f"The file has {header.frames} frames or pages; `frame` says which one to take, from 0.",
            frames=header.frames,
        )
    if frame is not None and not 0 <= frame < header.frames:
        raise ImageError(
            "frame-out-of-range",
            f"The file has no frame {frame}; it has {header.frames}, counted from 0.",
            frames=header.frames,
        )
    if container.work_pixels > WORK_PER_FRAME * limits.max_pixels:
        raise ImageError(
            "image-too-large",
            f"Frame {frame} needs all frames before it, which are too many pixels together.",
            limit_pixels=WORK_PER_FRAME * limits.max_pixels,
        )


def _open(container: Container) -> Image.Image:
    name = container.header.format
    if name == "PNM":
        return pnm.open_pnm(container.payload)
    try:
        image = Image.open(BytesIO(container.payload), formats=(name,))
    except UnidentifiedImageError:
        if name != "TIFF":  # of the others everything has been looked at, so that they must be damaged
            raise
        raise unsupported("TIFF files with this combination of channels and bits are not read.") from None
    if container.header.frames > 1 and name != "TIFF":
        image.seek(container.seek)
    if image.width * image.height > max(
        container.header.width * container.header.height, container.allocated_pixels
    ):
        raise unreadable(f"The {name} file says two different sizes.")
    image.load()
    return image


def _turned(array: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Applies an EXIF orientation to an array [H, W, …]."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
