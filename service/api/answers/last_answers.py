"""While the gateway drains, every answer asks its client to come back on another connection."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class LastAnswersMiddleware:
    """Adds `connection: close` to answers that begin after a stop was asked for.

    A balancer sends new connections elsewhere by then, but one that is kept alive stays here until somebody
    closes it; a client that is not told sends its next request into a port that closes.
    """

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self.app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""

        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining():
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receive, last if scope["type"] == "http" else send)
