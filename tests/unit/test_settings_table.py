"""The README lists every setting, with the default that it has."""

from __future__ import annotations

from pathlib import Path

from service.settings import Settings
from service.settings_table import settings_table

README = Path(__file__).parents[2] / "service" / "README.md"


def test_the_readme_lists_every_setting() -> None:
    assert settings_table() in README.read_text(), (
        "put what `python -m service.settings_table` prints into service/README.md"
    )


def test_every_setting_says_what_it_is() -> None:
    table = settings_table().splitlines()
    assert len(table) == len(Settings.model_fields) + 2
    for name, field in Settings.model_fields.items():
        assert field.description, name
    assert "| `GANSERVE_PORT` | `8080` | Port the gateway listens on. |" in table
    assert "| `GANSERVE_KEYS_FILE` | – |" in "\n".join(table)
