"""What an answer is to be: its media type, and whether the pixels fit into it."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from service.api.negotiation import negotiate
from service.api.problems import ProblemError, invalid_field
from service.images.encode import MAX_SIDE, MEDIA_TYPES, ImageFormat

FORMATS: Final = {media_type: image_format for image_format, media_type in MEDIA_TYPES.items()}


def negotiated(request: Request, image_format: ImageFormat | None, *others: str) -> str:
    """The media type of the answer.

    Args:
        request: With its `Accept`.
        image_format: If the body names one, no other image is offered.
        others: Media types to offer besides JSON and images.

    Returns:
        One of those offered.

    Raises:
        ProblemError: `not-acceptable`.
    """
    images = tuple(MEDIA_TYPES.values()) if image_format is None else (MEDIA_TYPES[image_format],)
    offers = ("application/json", *images, *others)
    media_type = negotiate(",".join(request.headers.getlist("accept")), offers)
    if media_type is None:
        chosen = f" with format {image_format!r}" if image_format else ""
        raise ProblemError(
            "not-acceptable",
            f"`Accept` excludes everything this call can answer{chosen}.",
            accepted=list(offers),
        )
    return media_type


def too_many(count: int, limit: int, field: str) -> ProblemError:
    """The problem of a call that asks for more images than one may.

    Args:
        count: How many it asks for.
        limit: How many it may.
        field: That says so.

    Returns:
        The exception to raise.
    """
    return ProblemError(
        "too-many-images",
        f"{count} images were asked for; one call makes at most {limit}.",
        field=field,
        limit=limit,
    )


def check_quality(quality: int | None, image_format: ImageFormat) -> None:
    """Refuses a quality where there is none.

    Raises:
        ProblemError: For PNG.
    """
    if quality is not None and image_format == "png":
        raise invalid_field("quality", "png has no quality", "quality with format jpeg or webp")


def check_side(size: tuple[int, int], image_format: ImageFormat, what: str) -> None:
    """Refuses what is longer than its format holds.

    Args:
        size: Height and width in pixels.
        image_format: Of the file.
        what: Of this size, for the message.

    Raises:
        ProblemError: If it does not fit.
    """
    if max(size) > MAX_SIDE[image_format]:
        raise invalid_field(
            "format",
            f"{what} is {max(size)} pixels long; {image_format} holds {MAX_SIDE[image_format]}",
            "png, fewer images, or `Accept: application/zip`",
        )
