"""Content negotiation by `Accept` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=512)
def negotiate(accept: str, offers: tuple[str, ...]) -> str | None:
    """Picks the media type a client likes best.

    Args:
        accept: The `Accept` header; empty means everything.
        offers: Media types that could be sent, the server's favourite first.

    Returns:
        One of the offers, or None if all of them are excluded.
    """
    ranges = [parsed for part in accept.split(",") if (parsed := _parse(part))]
    if not ranges:
        return offers[0]
    best, best_quality = None, 0.0
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _parse(part: str) -> tuple[str, float] | None:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    if "/" not in media_range:
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(offer: str, ranges: list[tuple[str, float]]) -> float:
    # The most specific range decides, so `image/*, image/png;q=0` excludes PNG.
    for wanted in (offer, offer.split("/")[0] + "/*", "*/*"):
        matching = [quality for media_range, quality in ranges if media_range == wanted]
        if matching:
            return max(matching)
    return 0.0
