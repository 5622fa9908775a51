"""Work beside a watch: it ends at the deadline, and when the client hangs up."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.operations.work import deadline_problem
from service.settings import Settings

Result = TypeVar("Result")

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def allowed_seconds(
    request: Request, settings: Settings, sent_pixels: int = 0
) -> tuple[float, dict[str, str]]:
    """How long a call may take.

    Args:
        request: May carry `Prefer: wait=SECONDS` (RFC 7240).
        settings: The default, what it grows by, and the longest.
        sent_pixels: Of the image that came with the call.

    Returns:
        Seconds from now, and the response headers that say which preference was applied.
    """
    prefer = request.headers.get("prefer")
    asked = _WAIT.search(prefer) if prefer else None
    if asked is None:
        grown = settings.deadline_seconds_per_megapixel * sent_pixels / 1e6
        seconds = min(settings.default_deadline_seconds + grown, settings.max_deadline_seconds)
        return max(seconds, settings.default_deadline_seconds), {}
    seconds = min(float(asked.group(1)), settings.max_deadline_seconds)
    return seconds, {"preference-applied": f"wait={math.floor(seconds)}"}


async def supervise(request: Request, work: Coroutine[Any, Any, Result], deadline: float) -> Result:
    """Awaits work for as long as somebody waits for it.

    Args:
        request: Its body must have been read.
        work: Cancelled if it is not done in time or the client leaves.
        deadline: On the clock of `time.perf_counter`.

    Returns:
        What the work returned.

    Raises:
        ProblemError: `deadline-exceeded`.
        ClientDisconnect: If the client hung up.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            (working, watching),
            timeout=max(0.0, deadline - perf_counter()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if working.done():
            return working.result()
        if watching.done():
            raise ClientDisconnect
        raise deadline_problem()
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
