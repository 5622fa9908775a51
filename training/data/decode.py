"""Turns the bytes of any ordinary image file into UINT8 RGB pixels, or says why it cannot."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

Pixels = NDArray[np.uint8]
"""UINT8, [H, W, 3], RGB in sRGB."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Endings, in lower case, of the files that are taken for images."""
WHITE = (255, 255, 255)

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DecodeError(Exception):
    """A file is no usable image; the message completes a sentence that begins with its name."""


class Decoded(NamedTuple):
    """An image and what is worth telling about it.

    Attributes:
        pixels: UINT8, [H, W, 3].
        frames: How many frames the file holds; the pixels are those of the first.
    """

    pixels: Pixels
    frames: int


def decode(data: bytes, background: tuple[int, int, int] = WHITE) -> Decoded:
    """Decodes an image as a person would see it.

    Greyscale, palette, CMYK and 16-bit images become 8-bit RGB, an embedded ICC profile is converted to sRGB,
    transparency is composited on the background, the EXIF orientation is applied, and of an animation or a
    file of several pages the first frame is taken.

    Args:
        data: A whole file.
        background: RGB behind transparent pixels.

    Raises:
        DecodeError: If the file is broken, truncated, larger than Pillow's limit against decompression bombs
            (179 megapixels), or has pixels whose range is unknown (floating point, 32-bit integers).
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            # Many a phone's JPEG (MPO) carries a preview as its second frame; nobody calls that animated.
            frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
            upright = _turn_upright(image, _orientation(image))
            return Decoded(np.array(_to_rgb(upright, background)), frames)
    except DecodeError:
        raise
    except Exception as error:  # decoders fail on damaged files in more ways than Pillow documents
        raise DecodeError(f"is broken: {_reason(error)}") from error


def header_size(file: IO[bytes]) -> tuple[int, int] | None:
    """Height and width as the file's header has them, before any EXIF rotation; None if it is broken."""
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except Exception:  # `decode` says what is wrong with it
        return None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silences Pillow's warnings, of images over 89 megapixels and of odd metadata, which spoil no pixel.

    Warning filters belong to the process: enter this in the main thread, around all decoding.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image format is recognised"  # Pillow's own text names a memory address
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata do not spoil good pixels
        return 1


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    if method is None:
        return image
    turned = image.transpose(method)
    turned.info = image.info
    return turned


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    elif image.mode in {"F", "LAB"}:
        raise DecodeError(f"has pixels of mode {image.mode}; save it as 8-bit RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        opaque = _to_srgb(rgba.convert("RGB"), profile)
        backdrop = Image.new("RGB", rgba.size, background)
        return Image.composite(opaque, backdrop, rgba.getchannel("A"))
    if image.mode not in {"L", "CMYK"}:
        image = image.convert("RGB")
    return _to_srgb(image, profile)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Greyscale of 16 bits to 8 bits; Pillow itself would cut everything above 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DecodeError("has 32-bit pixels; save it with 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of an L, RGB or CMYK image, in sRGB if its profile can be applied."""
    if profile:
        try:
            transform = _transform(profile, image.mode)
            converted = image if transform is None else ImageCms.applyTransform(image, transform)
            if converted is not None:
                return converted.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile, or one for another colour space: viewers ignore it too
    return image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from a profile to sRGB; None if it is sRGB already, whose pixels are then left alone."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
