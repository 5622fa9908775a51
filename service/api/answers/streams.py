"""Answers that are sent while they are read or made, of any length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.telemetry.records import ASKED_METHOD, record_of

_PATIENCE_SECONDS: Final = 60.0


class BrokenStreamError(Exception):
    """An answer that has begun cannot be completed; the connection is closed so that the client notices."""

    def __init__(self, outcome: str, reason: str) -> None:
        """Says why.

        Args:
            outcome: For log and metrics: a problem type.
            reason: In a sentence.
        """
        super().__init__(reason)
        self.outcome = outcome


class GuardedStream(StreamingResponse):
    """Sends what a generator makes, and closes it come what may.

    A client that has read nothing for a minute is given up. What breaks off in the middle is not ended as if
    it were whole: the connection is closed without the last chunk.
    """

    def __init__(
        self,
        content: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        first: bytes = b"",
    ) -> None:
        """Sends nothing yet.

        Args:
            content: What is sent.
            media_type: Of it.
            status_code: 200 or 206.
            headers: Further ones.
            first: What was taken of the content already, so that a fault in it had a status of its own.
        """
        self._content = content
        self._all = _beginning_with(first, content)
        super().__init__(self._all, status_code, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        if scope.get(ASKED_METHOD) == "HEAD":  # nothing is made that nobody gets
            await self._content.aclose()
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await send({"type": "http.response.body", "body": b""})
            return
        ended = False

        async def send_in_time(message: Message) -> None:
            nonlocal ended
            try:
                await asyncio.wait_for(send(message), _PATIENCE_SECONDS)
            except asyncio.TimeoutError:
                raise ClientDisconnect from None
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)

        record = record_of(scope)
        try:
            await super().__call__(scope, receive, send_in_time)
        except BrokenStreamError as error:
            record.outcome = error.outcome
            raise ClientDisconnect from None  # nothing more can be said; the server closes the connection
        finally:
            await self._all.aclose()
            await self._content.aclose()
        if not ended:
            record.outcome = "disconnected"


async def _beginning_with(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    if first:
        yield first
    async for part in rest:
        yield part
