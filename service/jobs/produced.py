"""What a worker made of one item, and why it could not make it yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Produced:
    """One image file.

    Attributes:
        file: Open at its beginning; gone when it is closed, which is up to who has it.
        size: In bytes.
        media_type: Of the file.
        extension: For its name, without a dot.
        pixels_sha256: Of the pixels in it, row by row.
        width: In pixels.
        height: In pixels.
        recipe: As written into it.
        model: Public name of what made it.
        model_digest: The weights that made it.
        timings: Seconds by `queue` (before Triton), `infer` (in Triton) and `encode` (all the rest: reading
            the source, writing and signing the file). Images of one batch share theirs.
    """

    file: IO[bytes]
    size: int
    media_type: str
    extension: str
    pixels_sha256: str
    width: int
    height: int
    recipe: Mapping[str, Any]
    model: str
    model_digest: str
    timings: Mapping[str, float]


class NotNowError(Exception):
    """An item could not be made now; the same may well work later.

    Attributes:
        reason: A problem's slug, such as `triton-unavailable`.
        retry_after: After how many seconds it is worth trying again.
        suspect: Whether the item had reached the model, so that it may itself be what brought it down, or
            what takes too long. If not, only time can tell: it is no attempt.
    """

    def __init__(self, reason: str, detail: str, *, retry_after: float = 2.0, suspect: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after
        self.suspect = suspect
