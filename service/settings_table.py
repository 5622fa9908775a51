"""Every setting as a table for the README: `python -m service.settings_table` prints it."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from service.settings import Settings


def settings_table() -> str:
    """Every setting, its default and what it is, in the order of `Settings`.

    Returns:
        A table in Markdown.
    """
    rows = [
        f"| `GANSERVE_{name.upper()}` | {_shown(field.get_default())} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows])


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default in ("", ()):
        return "–"
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{text.lower() if isinstance(default, bool) else text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(settings_table())
