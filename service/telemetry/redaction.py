"""Keeps secrets out of the logs, wherever a client put them: in a path, an id, a model's name."""

from __future__ import annotations

import re
from typing import Final

# The form of service.keys; the id stays, so that an operator can see whose key was sent to the wrong place.
_SECRET: Final = re.compile(r"(gsk_[0-9a-fA-F]{12})_[A-Za-z0-9_-]{8,}")
_URL_PASSWORD: Final = re.compile(r"((?:rediss?|redis\+unix)://[^\s/@:]*):[^\s@]*@")


def redacted(text: str) -> str:
    """The text without what must not be read in it.

    Args:
        text: A finished log line.

    Returns:
        The same line; of an API key its id is left, of a Redis URL all but the password.
    """
    if "gsk_" in text:
        text = _SECRET.sub(r"\1_…", text)
    if "redis" in text:
        text = _URL_PASSWORD.sub(r"\1:…@", text)
    return text
