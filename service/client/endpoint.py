"""Where a client sends its calls, and with which key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

DEFAULT_URL = "http://localhost:8080"
KEY_VARIABLE = "GANSERVE_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """One ganserve.

    Attributes:
        url: Without a slash at its end.
        headers: Of every call; they may hold the key, which nothing prints.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)


def endpoint_of(url: str, key: str | None) -> Endpoint:
    """An endpoint, checked before anything is sent.

    Args:
        url: Of the gateway.
        key: API key; None for the one in the environment variable GANSERVE_API_KEY, if there is one.

    Returns:
        The endpoint.

    Raises:
        ValueError: The URL or the key cannot be one.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} does not start with http:// or https:// and the name of a host")
    if key is None:
        key = os.environ.get(KEY_VARIABLE)
    key = (key or "").strip()
    # Checked here, since the errors of what sends headers show them.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the API key holds characters that no key has")
    return Endpoint(url.rstrip("/"), {"authorization": f"Bearer {key}"} if key else {})
