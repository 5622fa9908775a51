"""The little of PromQL that is needed to write it and to find the metrics in it."""

from __future__ import annotations

import re
from typing import Final

_TOKENS: Final = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<duration>\[[^\]]*\])
  | (?P<variable>\$\{?[A-Za-z_][A-Za-z0-9_]*\}?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_:]*)
  | (?P<number>[0-9][0-9a-zA-Z.]*)
  | (?P<other>\S)
    """,
    re.VERBOSE,
)
_GROUPING: Final = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_WORDS: Final = _GROUPING | {"and", "or", "unless", "bool", "offset", "inf", "nan", "Inf", "NaN"}


def pick(metric: str, *matchers: str) -> str:
    """A selector.

    Args:
        metric: Its name.
        matchers: Such as `job="a"`; empty ones are left out.
    """
    inside = ", ".join(matcher for matcher in matchers if matcher)
    return f"{metric}{{{inside}}}" if inside else metric


def selectors(expression: str) -> list[str]:
    """Every selector in an expression, as it stands there: a metric and its matchers, without a range.

    Args:
        expression: PromQL, in which variables of Grafana may stand in strings and ranges.
    """
    found: list[str] = []
    tokens = [(match.lastgroup, match.group(), match.start()) for match in _TOKENS.finditer(expression)]
    in_labels = False
    index = 0
    while index < len(tokens):
        kind, text, start = tokens[index]
        following = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        index += 1
        if in_labels:
            in_labels = text != ")"
        elif kind == "name" and text in _GROUPING:
            in_labels = following == "("
        elif kind == "name" and text not in _WORDS and following not in ("(", "by", "without"):
            end = start + len(text)
            if following == "{":
                end = _closing(tokens, index)
                while tokens[index][2] < end - 1:
                    index += 1
                index += 1
            found.append(expression[start:end])
    return found


def metrics(expression: str) -> set[str]:
    """Names of the metrics in an expression."""
    return {selector.partition("{")[0] for selector in selectors(expression)}


def _closing(tokens: list[tuple[str | None, str, int]], index: int) -> int:
    for kind, text, start in tokens[index:]:
        if text == "}" and kind == "other":
            return start + 1
    raise ValueError("a selector is not closed")
