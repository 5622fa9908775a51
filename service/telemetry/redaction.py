"""Keeps secrets out of the logs, wherever a client put them: in a path, an id, a model's name."""

from __future__ import annotations

import re
from typing import Final

# The form of service.keys; the id stays, so that an operator can see whose key was sent to the wrong place.
_SECRET: Final = re.compile(r"(gsk_[0-9a-fA-F]{12})_[A-Za-z0-9_-]{8,}")
_URL_PASSWORD: Final = re.compile(r"((?:rediss?|redis\+unix|postgres(?:ql)?(?:\+\w+)?)://[^\s/@:]*):[^\s@]*@")
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


def redacted(text: str) -> str:
    """The text without what must not be read in it.

    Args:
        text: A finished log line.

    Returns:
        The same line; of an API key its id is left, of the URL of a Redis or PostgreSQL all but the password,
        of a secret of webhooks nothing.
    """
    if "gsk_" in text:
        text = _SECRET.sub(r"\1_…", text)
    if "redis" in text or "postgres" in text:
        text = _URL_PASSWORD.sub(r"\1:…@", text)
    if "whsec_" in text:
        text = _WEBHOOK_SECRET.sub("whsec_…", text)
    return text
