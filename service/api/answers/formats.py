"""What an answer is to be: its media type, and whether the pixels fit into it."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from service.api.answers.negotiation import negotiate
from service.api.errors.problems import ProblemError, invalid_field
from service.images.encode import MAX_SIDE, MEDIA_TYPES, ImageFormat
from service.settings import Settings

FORMATS: Final = {media_type: image_format for image_format, media_type in MEDIA_TYPES.items()}


def negotiated_image(request: Request, image_format: ImageFormat | None) -> ImageFormat:
    """The format of an answer that is always an image.

    Args:
        request: With its `Accept`.
        image_format: If the body names one, no other is offered.

    Returns:
        One of the formats.

    Raises:
        ProblemError: `not-acceptable`.
    """
    offers = tuple(FORMATS) if image_format is None else (MEDIA_TYPES[image_format],)
    media_type = negotiate(",".join(request.headers.getlist("accept")), offers)
    if media_type is None:
        raise _not_acceptable(image_format, offers)
    return FORMATS[media_type]


def negotiated(
    request: Request, image_format: ImageFormat | None, *others: str, image_first: bool = False
) -> str:
    """The media type of the answer.

    Args:
        request: With its `Accept`.
        image_format: If the body names one, no other image is offered.
        others: Media types to offer besides images, the server's favourite first.
        image_first: Whether images come before the first of these.

    Returns:
        One of those offered.

    Raises:
        ProblemError: `not-acceptable`.
    """
    images = tuple(MEDIA_TYPES.values()) if image_format is None else (MEDIA_TYPES[image_format],)
    offers = (*images, *others) if image_first else (others[0], *images, *others[1:])
    media_type = negotiate(",".join(request.headers.getlist("accept")), offers)
    if media_type is None:
        raise _not_acceptable(image_format, offers)
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


def check_side(
    size: tuple[int, int],
    image_format: ImageFormat,
    what: str,
    accepted: str = "png, fewer images, or `Accept: application/zip`",
) -> None:
    """Refuses what is longer than its format holds.

    Args:
        size: Height and width in pixels.
        image_format: Of the file.
        what: Of this size, for the message.
        accepted: What would do.

    Raises:
        ProblemError: If it does not fit.
    """
    if max(size) > MAX_SIDE[image_format]:
        raise invalid_field(
            "format",
            f"{what} is {max(size)} pixels long; {image_format} holds {MAX_SIDE[image_format]}",
            accepted,
        )


def check_output(size: tuple[int, int], image_format: ImageFormat, settings: Settings) -> None:
    """Refuses to make an image with too many pixels.

    Args:
        size: Height and width.
        image_format: Of the file.
        settings: The limits.

    Raises:
        ProblemError: `output-too-large`.
    """
    height, width = size
    limit = settings.max_output_pixels
    if image_format == "webp":
        limit = min(limit, settings.max_webp_pixels)
    if height * width > limit:
        raise ProblemError(
            "output-too-large",
            f"The answer would have {width} × {height} pixels; {limit} are made at most as {image_format}.",
            limit_pixels=limit,
        )


def check_total(count: int, height: int, width: int, settings: Settings) -> None:
    """Refuses to make images that have too many pixels together, since all of them are held at a time.

    Args:
        count: How many.
        height: Of each.
        width: Of each.
        settings: The limits.

    Raises:
        ProblemError: `output-too-large`.
    """
    pixels, limit = count * height * width, settings.max_output_pixels
    if pixels > limit:
        raise ProblemError(
            "output-too-large",
            f"{count} images of {width} × {height} are {pixels} pixels; one call makes at most {limit}.",
            limit_pixels=limit,
        )


def check_transparency(transparent: bool, image_format: ImageFormat) -> None:
    """Refuses to write transparency into a format that has none.

    Args:
        transparent: Whether the pixels to write are.
        image_format: Of the file.

    Raises:
        ProblemError: If it has none.
    """
    if transparent and image_format == "jpeg":
        raise invalid_field(
            "format", "the image has transparent pixels, and jpeg has none", "png or webp, or a `background`"
        )


def exceeds_model(limit: int, error: Exception) -> ProblemError:
    """The problem of an image that a model would have to compute in one piece and cannot.

    Args:
        limit: Longest side.
        error: That says so.

    Returns:
        The exception to raise.
    """
    return ProblemError("image-exceeds-model", f"{error} in one piece.", field="image", limit_side=limit)


def _not_acceptable(image_format: ImageFormat | None, offers: tuple[str, ...]) -> ProblemError:
    chosen = f" with format {image_format!r}" if image_format else ""
    return ProblemError(
        "not-acceptable",
        f"`Accept` excludes everything this call can answer{chosen}.",
        accepted=list(offers),
    )
