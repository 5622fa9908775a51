"""What `ganserve up` prints once everything is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.embedded.announcement import announcement, public_url, worth_trying
from service.settings import Settings


def card(name: str, resolution: int | None = None, kind: str = "generator", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "resolution": resolution, "state": "READY", **more}


@pytest.mark.parametrize(
    ("cards", "name"),
    [
        ([card("digits", 32), card("emoji", 64), card("faces", 1024), card("terrain", 64)], "faces"),
        ([card("digits", 32), card("photo", 512, "upscaler"), card("emoji", 64)], "emoji"),
        ([card("a", 64), card("b", 128, state="REFUSED", reason="other pixels")], "a"),
        ([card("nothing said"), {"name": "of Triton", "kind": "generator", "resolution": 8}], "of Triton"),
        ([card("photo", 512, "upscaler")], None),
        ([], None),
    ],
)
def test_the_generator_with_the_largest_images_is_shown(
    cards: list[dict[str, Any]], name: str | None
) -> None:
    assert worth_trying(cards) == name


def test_it_says_what_is_served_where_and_what_to_try() -> None:
    cards = [card("digits", 32), card("emoji", 64), card("old", 256, state="REFUSED", reason="other pixels")]
    lines = announcement(Settings(port=9000), cards, 2.345).splitlines()
    assert lines == [
        "",
        "ganserve is ready after 2.3 s.",
        "",
        "  Models  digits (generator, 32×32)",
        "          emoji (generator, 64×64)",
        "          old (generator, 256×256): REFUSED, other pixels",
        "  Studio  http://localhost:9000",
        "  API     http://localhost:9000/v1",
        "  Docs    http://localhost:9000/docs",
        "",
        "Try it:",
        '  curl -sS "http://localhost:9000/v1/models/emoji/images/7.png" -o 7.png',
        "",
        "Ctrl-C stops everything.",
    ]


def test_where_keys_are_needed_what_to_try_has_one() -> None:
    text = announcement(Settings(keys_file=Path("/keys.json")), [{"name": "toy", "kind": "generator"}], 1)
    assert "  Keys    needed; they are in /keys.json\n" in text
    assert '  curl -sS -H "x-api-key: $GANSERVE_API_KEY" "http://localhost:8080/v1/models/toy/' in text
    assert "  Models  toy (generator)\n" in text  # Triton alone knows of no state


def test_addresses_as_people_type_them() -> None:
    assert public_url(Settings(host="0.0.0.0")) == "http://localhost:8080"
    assert public_url(Settings(host="fd00::1")) == "http://[fd00::1]:8080"
