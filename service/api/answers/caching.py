"""Validators and freshness of cacheable images (RFC 9110 and 9111)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.images.encode import ImageFormat, encoder_fingerprint
from service.images.provenance import canonical_json

IMMUTABLE: Final = "public, max-age=31536000, immutable"
REVALIDATE: Final = "public, no-cache"


def etag_of(recipe: Mapping[str, Any], image_format: ImageFormat, quality: int | None) -> str:
    """A strong ETag, known before the image is: the recipe decides the pixels, the encoder the bytes.

    Args:
        recipe: Model digest, seed and parameters.
        image_format: Format of the file.
        quality: Of the encoder.

    Returns:
        The header's value, quotes included.
    """
    text = f"{canonical_json(recipe)} {image_format} {quality} {encoder_fingerprint(image_format)}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_current(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether the client already has it.

    Args:
        if_none_match: The request header, each line that there is of it.
        etag: Of what would be sent.

    Returns:
        True if the answer is 304.
    """
    candidates = [candidate.strip() for line in if_none_match for candidate in line.split(",")]
    # The comparison is weak, as RFC 9110 wants it for If-None-Match.
    return "*" in candidates or etag in [candidate.removeprefix("W/") for candidate in candidates]
