"""What every answer tells a browser: guess no types, frame nothing, load nothing, send no referrer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "content-security-policy": (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}
"""Pages that need more than nothing set their own `content-security-policy`, which then stands."""


def security_headers(cors_origins: Sequence[str], hsts_seconds: int) -> dict[str, str]:
    """The headers as the settings want them.

    Args:
        cors_origins: Whose pages may read answers; with `*` they may embed them as well.
        hsts_seconds: For `strict-transport-security`; 0 leaves it out.

    Returns:
        Header values by name.
    """
    headers = dict(SECURITY_HEADERS)
    if "*" in cors_origins:
        headers["cross-origin-resource-policy"] = "cross-origin"
    if hsts_seconds:
        headers["strict-transport-security"] = f"max-age={hsts_seconds}"
    return headers


class SecurityHeadersMiddleware:
    """Adds to every response those of the headers that it does not set itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        """Wraps an application.

        Args:
            app: What handles the requests.
            headers: See `security_headers`.
        """
        self.app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message["headers"] = own + [header for header in self._headers if header[0] not in names]
            await send(message)

        await self.app(scope, receive, send_with_headers)
