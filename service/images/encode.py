"""Pixels to files: PNG, JPEG, WebP, each with its provenance inside and saying that its colours are sRGB."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.containers.base import MAX_EXIF_BYTES
from service.images.exif import is_exif
from service.images.metadata import PNG_RECIPE_KEYWORD, PNG_XMP_KEYWORD
from service.images.png import PngWriter, encode_png
from service.images.provenance import canonical_json, xmp_packet
from service.images.srgb import srgb_profile

ImageFormat = Literal["png", "jpeg", "webp"]

MEDIA_TYPES: Final[Mapping[ImageFormat, str]] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
SUFFIXES: Final[Mapping[ImageFormat, str]] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
MAX_SIDE: Final[Mapping[ImageFormat, int]] = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383}
DEFAULT_JPEG_QUALITY = 90

# Pixels beyond which encoding blocks an event loop for longer (about a millisecond) than a thread costs.
_INLINE_PIXELS: Final[Mapping[ImageFormat, int]] = {"png": 512 * 512, "jpeg": 256 * 256, "webp": 128 * 128}


def encode(
    pixels: NDArray[np.uint8],
    image_format: ImageFormat,
    recipe: Mapping[str, Any],
    quality: int | None = None,
    *,
    exif: bytes | None = None,
) -> bytes:
    """Encodes one image together with the recipe that made it.

    Args:
        pixels: Shape [height, width, 3], uint8, sides within `MAX_SIDE` of the format. PNG and WebP take
            [height, width, 4] too, the fourth channel being alpha.
        image_format: `png` and `webp` without quality are lossless.
        recipe: What `service.images.provenance` writes into the file.
        quality: 1 to 100 for JPEG (default 90) and lossy WebP; PNG has none.
        exif: An EXIF block from its TIFF header on, to be kept; at most `MAX_EXIF_BYTES`.

    Returns:
        The file; the same bytes for the same arguments and encoder (see `encoder_fingerprint`).

    Raises:
        ValueError: If the pixels do not fit the format.
    """
    recipe_json = canonical_json(recipe)
    _check_exif(exif)
    if image_format == "png":
        texts = ((PNG_XMP_KEYWORD, xmp_packet(recipe_json)), (PNG_RECIPE_KEYWORD, recipe_json))
        return encode_png(pixels, texts, exif)
    if image_format == "jpeg" and pixels.shape[-1] != 3:
        raise ValueError("JPEG has no alpha channel")
    out = BytesIO()
    image = Image.fromarray(pixels)
    if image_format == "jpeg":
        image.save(out, "JPEG", **jpeg_options(recipe, quality, exif))
    elif quality is None:
        # Effort 0 takes 2 ms for 256² where Pillow's default takes 65, for a file a quarter larger.
        more = _metadata(recipe, exif)
        image.save(out, "WEBP", lossless=True, quality=0, method=0, exact=True, **more)
    else:
        image.save(out, "WEBP", quality=quality, method=2, **_metadata(recipe, exif))
    return out.getvalue()


def jpeg_options(recipe: Mapping[str, Any], quality: int | None, exif: bytes | None) -> dict[str, Any]:
    """How Pillow is told to write a JPEG.

    Args:
        recipe: As for `encode`.
        quality: As for `encode`.
        exif: As for `encode`.

    Returns:
        Arguments of `Image.save`.

    Raises:
        ValueError: If the EXIF block is none.
    """
    _check_exif(exif)
    quality = quality or DEFAULT_JPEG_QUALITY
    # Chroma at full resolution where quality is asked for: small saturated details survive.
    subsampling = 0 if quality >= 90 else 2
    return {"quality": quality, "subsampling": subsampling, **_metadata(recipe, exif)}


def _metadata(recipe: Mapping[str, Any], exif: bytes | None) -> dict[str, bytes]:
    packet = xmp_packet(canonical_json(recipe))
    metadata = {"xmp": packet.encode(), "icc_profile": srgb_profile()}
    if exif is not None:
        metadata["exif"] = b"Exif\0\0" + exif
    return metadata


def _check_exif(exif: bytes | None) -> None:
    if exif is not None and not is_exif(exif):
        raise ValueError(f"not an EXIF block of up to {MAX_EXIF_BYTES} bytes")


class PngStream:
    """A PNG file sent while its rows are made; the same pixels and recipe as `encode`, in other chunks."""

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        recipe: Mapping[str, Any],
        exif: bytes | None = None,
    ) -> None:
        """Begins a file.

        Args:
            height: Rows that will be written, at least 1.
            width: Pixels a row, at least 1.
            channels: 3, or 4 with alpha.
            recipe: As for `encode`.
            exif: As for `encode`.

        Raises:
            ValueError: If there is no such image.
        """
        self._arguments = height, width, channels, exif
        self._writer = self._begun(recipe)

    def head(self, recipe: Mapping[str, Any]) -> bytes:
        """The first bytes of the file, up to the pixels, if it had another recipe.

        Args:
            recipe: One that is known only when all rows have been written; where its JSON is as long as
                that of the first, these bytes can take the place of those that were written.

        Returns:
            The bytes.
        """
        return self._begun(recipe).head

    def _begun(self, recipe: Mapping[str, Any]) -> PngWriter:
        height, width, channels, exif = self._arguments
        recipe_json = canonical_json(recipe)
        _check_exif(exif)
        texts = ((PNG_XMP_KEYWORD, xmp_packet(recipe_json)), (PNG_RECIPE_KEYWORD, recipe_json))
        return PngWriter(height, width, channels, texts, exif)

    def write(self, rows: NDArray[np.uint8]) -> bytes:
        """Takes the next rows, from the top.

        Args:
            rows: Shape [n, width, channels], uint8, n at least 1.

        Returns:
            The next bytes of the file, possibly none yet.

        Raises:
            ValueError: If the rows do not fit the image, or are more than are missing.
        """
        return self._writer.write(rows)

    def finish(self) -> bytes:
        """Ends the file, once.

        Returns:
            Its last bytes.

        Raises:
            ValueError: If rows are missing.
        """
        return self._writer.finish()


def blocks_event_loop(pixel_count: int, image_format: ImageFormat) -> bool:
    """Whether encoding that many pixels belongs into a thread.

    Args:
        pixel_count: Pixels of all the images to encode.
        image_format: The format they are encoded to.

    Returns:
        True if it would hold up other requests noticeably.
    """
    return pixel_count > _INLINE_PIXELS[image_format]


@lru_cache
def encoder_fingerprint(image_format: ImageFormat) -> str:
    """What distinguishes this machine's encoder from others that write other bytes for equal pixels.

    ISA-L takes another code path on another processor, and libjpeg and libwebp change between
    releases; a strong ETag has to change with them.

    Args:
        image_format: The format.

    Returns:
        Sixteen hexadecimal digits.
    """
    y, x = np.mgrid[0:61, 0:67]
    pixels = np.stack([x * 3, y * 4, (x * y) // 8], axis=-1).astype(np.uint8)
    pixels[20:40, 20:40] = np.random.RandomState(0).randint(0, 256, (20, 20, 3))
    digest = hashlib.sha256(encode(pixels, image_format, {}))
    if image_format != "png":
        digest.update(encode(pixels, image_format, {}, 75))
    return digest.hexdigest()[:16]
