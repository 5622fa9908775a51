"""HEAD for every GET: answered alike, and the HTTP server leaves the body out."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service.telemetry.records import ASKED_METHOD


class HeadMiddleware:
    """Routes HEAD to the handler of GET."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            # A copy: the server goes by its own scope when it decides to leave the body out.
            scope = {**scope, "method": "GET", ASKED_METHOD: "HEAD"}
        await self.app(scope, receive, send)
