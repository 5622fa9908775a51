"""`ganserve models`, `ganserve load` and `ganserve unload`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.asking import connected
from service.cli.options import DEFAULT_URL, Url, Wait

if TYPE_CHECKING:
    from service.client import ModelCard

Name = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]


def list_models(
    name: Annotated[str | None, typer.Argument(help="One model.", show_default="all")] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole cards as JSON.")] = False,
) -> None:
    """List the models that a running ganserve serves, or show one."""
    with connected(url) as client:
        cards = client.models() if name is None else [client.model(name)]
    if as_json:
        shown = [card.card for card in cards] if name is None else cards[0].card
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    elif name is None:
        _print_table(cards)
    else:
        _print_card(cards[0])


def load(name: Name, url: Url = DEFAULT_URL, wait: Wait = None) -> None:
    """Load a model, or what is new of it, from the server's model repository; needs the scope `admin`."""
    with connected(url) as client:
        card = client.load(name, wait=wait)
    print(f"{card.name} {card.digest[:12]} is {card.state}.")


def unload(name: Name, url: Url = DEFAULT_URL, wait: Wait = None) -> None:
    """Unload a model as soon as its calls are answered; needs the scope `admin`."""
    with connected(url) as client:
        client.unload(name, wait=wait)
    print(f"{name} is unloaded; `ganserve load {name}` brings it back.")


def _print_table(cards: list[ModelCard]) -> None:
    rows = [("Model", "Kind", "Family", "Pixels", "State", "Digest", "Licence")]
    for card in cards:
        pixels = f"{card.resolution}×{card.resolution}" if card.resolution else ""
        digest, licence = card.digest[:12], _licence_of(card)
        rows.append((card.name, card.kind, card.family or "", pixels, card.state, digest, licence))
    # No table that fits itself to the terminal: a name that was shortened names nothing.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_card(card: ModelCard) -> None:
    """What somebody who wants to use the model needs; `--json` has the rest."""
    said = card.card
    groups = said.get("layer_groups")
    lines = {
        "title": said.get("title"),
        "kind": card.kind,
        "family": card.family,
        "resolution": card.resolution,
        "scale": said.get("scale") if card.kind == "upscaler" else None,
        "classes": ", ".join(map(str, said.get("classes") or ())),
        "directions": ", ".join(_names(said.get("directions") or ())),
        "layers": ", ".join(f"{name} {layers}" for name, layers in groups.items()) if groups else None,
        "transforms": ", ".join(said.get("transforms") or ()),
        "licence": _licence_of(card),
        "notice": said.get("notice"),
        "imported": _imported(said.get("imported_from")),
        "state": card.state if card.reason is None else f"{card.state}: {card.reason}",
        "version": card.version,
        "digest": card.digest,
        "newer": _newer(said.get("newer")),
    }
    width = max(map(len, lines))
    print(card.name)
    for name, text in lines.items():
        if text not in (None, ""):
            print(f"  {name:{width}}  {text}")


def _licence_of(card: ModelCard) -> str:
    licence = str(card.card.get("licence") or "")
    return licence if card.card.get("commercial_use") is not False else f"{licence} (not commercial)".strip()


def _imported(origin: object) -> str | None:
    """Where weights of others come from."""
    if not isinstance(origin, dict):
        return None
    return f"{origin.get('file')} ({origin.get('format')}), sha256 {str(origin.get('sha256'))[:12]}"


def _newer(version: object) -> str | None:
    """The version that does not serve although it is newer, and why."""
    if not isinstance(version, dict):
        return None
    return f"version {version['version']} is {version['state']}: {version['reason']}"


def _names(directions: Sequence[object]) -> list[str]:
    return [str(one.get("name") if isinstance(one, dict) else one) for one in directions]
