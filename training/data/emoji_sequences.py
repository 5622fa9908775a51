"""What an emoji's code points say about what it shows."""

from __future__ import annotations

from collections.abc import Iterable

_MODIFIERS = frozenset({"200D", "FE0F", "2640", "2642", "27A1", "1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"})
"""Joiner, variation selector, the two gender signs, facing right, the five skin tones."""
_PEOPLE = frozenset({"1F468", "1F469"})
"""Man and woman, where a sequence may as well have 1F9D1, a person."""


def concept(unified: str) -> str:
    """Names what an emoji shows, whatever the skin tone, gender and direction.

    Pictures of one concept are drawn alike, so that a split must not part them: a model that was trained on
    one would know the other.

    Args:
        unified: Code points in hexadecimal, joined with hyphens, such as `1F3C3-1F3FB-200D-2642-FE0F`.

    Returns:
        The code points that are left, `1F3C3` for that one; all of them if none would be left.
    """
    codes = unified.upper().split("-")
    kept = ["1F9D1" if code in _PEOPLE else code for code in codes if code not in _MODIFIERS]
    return "-".join(kept or codes)


def distinct(files: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Files by name without those that repeat an earlier one byte by byte, as aliases of flags do."""
    seen: set[bytes] = set()
    kept: dict[str, bytes] = {}
    for name, data in files:
        if data not in seen:
            seen.add(data)
            kept[name] = data
    return kept
