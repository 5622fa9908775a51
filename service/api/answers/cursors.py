"""Where the next page of a list begins, as text that clients send back and do not read."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Final

from service.api.errors.problems import invalid_field

_LONGEST: Final = 200


def cursor_of(kind: str, position: int) -> str:
    """Where the next page begins, for the client to send back as it is.

    Args:
        kind: What is paged through.
        position: Of the last one of this page.

    Returns:
        Text fit for a URL.
    """
    return base64.urlsafe_b64encode(json.dumps([kind, position]).encode()).decode().rstrip("=")


def position_of(kind: str, cursor: str) -> int:
    """The position in a cursor.

    Args:
        kind: What is paged through.
        cursor: As a client sent it.

    Returns:
        What `cursor_of` was given.

    Raises:
        ProblemError: If this is no cursor of that kind.
    """
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        found, position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if found == kind and type(position) is int and -1 <= position < 1 << 62:
            return position
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    raise invalid_field("cursor", "this is no cursor of this list", "`next` of the page before")
