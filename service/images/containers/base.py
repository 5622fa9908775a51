"""What every reader of a container format has in common: the header, the container, the error."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MAX_ICC_BYTES: Final = 4 << 20
"""Largest ICC profile looked at; profiles of printing presses stay below 3 MB."""

MAX_EXIF_BYTES: Final = 65_527
"""Largest EXIF kept: what fits into a JPEG segment behind its length and `Exif\\0\\0`."""

MAX_COUNTED_FRAMES: Final = 10_000
"""Frames are counted up to here; a file with more says so."""


class ImageError(Exception):
    """A file that is refused; `slug` names the problem type of the HTTP interface."""

    def __init__(self, slug: str, detail: str, **members: Any) -> None:
        """Describes the refusal.

        Args:
            slug: A key of `service.api.errors.problems.PROBLEMS`.
            detail: One sentence for whoever sent the file.
            members: Extension members of the problem, such as the limit that was exceeded.
        """
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.members: dict[str, Any] = members


def unreadable(detail: str) -> ImageError:
    """The error of a file that is damaged or says one thing and holds another.

    Args:
        detail: One sentence.

    Returns:
        The exception to raise.
    """
    return ImageError("image-unreadable", detail)


def unsupported(detail: str) -> ImageError:
    """The error of a file that may be well but is of a kind that is not read.

    Args:
        detail: One sentence.

    Returns:
        The exception to raise.
    """
    return ImageError("image-unsupported", detail, accepted=list(MEDIA_TYPES.values()))


MEDIA_TYPES: Final = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "PNM": "image/x-portable-anymap",
}
"""The formats that are read, and the media type of each."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about itself, known without decoding a pixel."""

    format: str  # a key of MEDIA_TYPES
    width: int  # pixels as stored, before the EXIF orientation is applied
    height: int
    frames: int  # at least 1; MAX_COUNTED_FRAMES may stand for more


@dataclass(frozen=True)
class Samples:
    """How the numbers of an image with more than 8 bits a sample are meant."""

    white: float  # the number that stands for full brightness; black is 0
    inverted: bool = False  # 0 stands for white


def _no_check() -> None:
    return


@dataclass(frozen=True)
class Container:
    """A file taken apart, ready for the decoder."""

    header: ImageHeader
    payload: bytes  # the file without what the decoder has no use for
    seek: int = 0  # the frame of the payload to decode
    allocated_pixels: int = 0  # what decoding allocates, where more than width × height
    work_pixels: int = 0  # what decoding works through: every frame up to the one asked for
    icc: bytes | None = None
    exif: bytes | None = None  # beginning with the TIFF header
    orientation: int | None = None  # where the format has a place of its own for it
    colour_key: tuple[int, ...] | None = None  # the one colour that is transparent, in stored units
    samples: Samples | None = None
    ycbcr: bool = False  # the decoder is made to believe that YCbCr is RGB
    notes: tuple[str, ...] = ()
    check: Callable[[], None] = field(default=_no_check)
    """Proves that the pixels are all there; run once the limits are known to hold."""


def unpack(layout: str, data: bytes, offset: int) -> tuple[Any, ...]:
    """`struct.unpack_from`, for files that may end early.

    Args:
        layout: Of `struct`.
        data: The file.
        offset: Where the values begin.

    Returns:
        The values.

    Raises:
        ImageError: image-unreadable, if the file ends before.
    """
    try:
        return struct.unpack_from(layout, data, offset)
    except struct.error:
        raise unreadable("The file ends in the middle of its header.") from None


def checked_size(width: int, height: int) -> tuple[int, int]:
    """Refuses images without pixels.

    Args:
        width: Pixels.
        height: Pixels.

    Returns:
        Both.

    Raises:
        ImageError: image-unreadable, if one is not at least 1.
    """
    if width < 1 or height < 1:
        raise unreadable(f"The header says {width} × {height} pixels.")
    return width, height
