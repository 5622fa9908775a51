"""Secrets that webhooks are signed with, as the Standard Webhooks specification writes them."""

from __future__ import annotations

import base64
import secrets
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # the prefix of one

_MIN_BYTES: Final = 24
_MAX_BYTES: Final = 64


def new_webhook_secret() -> str:
    """A secret to share with a receiver."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def checked_webhook_secret(secret: str) -> str:
    """A secret as the specification wants it, or several of them while one takes the place of another.

    Args:
        secret: `whsec_` and 24 to 64 bytes in Base64; several are separated by spaces, and each signs.

    Returns:
        The same.

    Raises:
        ValueError: It is not one. The message does not repeat it.
    """
    parts = secret.split()
    for part in parts:
        try:
            size = len(base64.b64decode(part.removeprefix(SECRET_PREFIX), validate=True))
        except ValueError:
            size = 0
        if not (part.startswith(SECRET_PREFIX) and _MIN_BYTES <= size <= _MAX_BYTES):
            raise ValueError(
                f"a secret of webhooks is {SECRET_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} bytes in Base64"
            )
    if not parts:
        raise ValueError("a secret of webhooks must not be empty")
    return secret
