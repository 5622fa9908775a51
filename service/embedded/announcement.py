"""What `ganserve up` prints once everything is ready: the models, the addresses, and something to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.settings import Settings

Card = Mapping[str, Any]


def announcement(settings: Settings, cards: Sequence[Card], seconds: float) -> str:
    """The text.

    Args:
        settings: Where the gateway listens, and whether it asks for keys.
        cards: Of all models; those of Triton alone have no `state`.
        seconds: How long the start took.

    Returns:
        Several lines.
    """
    url = public_url(settings)
    lines = [f"\nganserve is ready after {seconds:.1f} s.\n"]
    lines += [f"  {'Models' if not n else '':7} {_describe(card)}" for n, card in enumerate(cards)]
    lines += [f"  Studio  {url}"] if settings.studio else []
    lines += [f"  API     {url}/v1", f"  Docs    {url}/docs"]
    if settings.keys_file is not None:
        lines.append(f"  Keys    needed; they are in {settings.keys_file}")
    if (name := worth_trying(cards)) is not None:
        key = "" if settings.keys_file is None else ' -H "x-api-key: $GANSERVE_API_KEY"'
        lines += ["", "Try it:", f'  curl -sS{key} "{url}/v1/models/{name}/images/7.png" -o 7.png']
    return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def worth_trying(cards: Sequence[Card]) -> str | None:
    """The generator to begin with: the one whose images are largest, of those that take calls.

    Args:
        cards: Of all models.

    Returns:
        Its name, the last by alphabet of several; None if there is no generator.
    """
    generators = [
        (card.get("resolution") or 0, str(card["name"]))
        for card in cards
        if card.get("kind") == "generator" and card.get("state", "READY") == "READY"
    ]
    return max(generators)[1] if generators else None


def public_url(settings: Settings) -> str:
    """The gateway's address as a person on this machine would type it."""
    local = settings.host in ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104 - compared, not bound
    return f"http://{'localhost' if local else bracketed(settings.host)}:{settings.port}"


def bracketed(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host


def _describe(card: Card) -> str:
    resolution = f", {card['resolution']}×{card['resolution']}" if card.get("resolution") else ""
    out = "" if card.get("state", "READY") == "READY" else f": {card['state']}, {card.get('reason')}"
    return f"{card.get('name')} ({card.get('kind')}{resolution}){out}"
