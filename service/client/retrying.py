"""When a call is repeated: the rules, without the waiting."""

from __future__ import annotations

import random
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from service.client.errors import UnreachableError, problem_of

_RETRIED = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
# When an answer asks to be retried without saying when, or there was none.
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_SLOW = (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout)


class Attempts:
    """The attempts at one call.

    Answers with 429 and 503 are repeated when they ask for it. A connection that breaks is made anew, and a
    server that has answered before and now refuses connections is being restarted. One that never answered
    is not there, and one that takes too long would not be faster for being asked twice.
    """

    def __init__(self, url: str, seconds: float, *, repeatable: bool) -> None:
        """Starts the clock.

        Args:
            url: For messages.
            seconds: Longest time spent on repeating; 0 never repeats.
            repeatable: Whether the call may be sent again when nobody knows if it arrived.
        """
        self._url = url
        self._repeatable = repeatable
        self._deadline = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE_SECONDS

    def after_answer(self, response: httpx.Response) -> float:
        """How long to wait, in seconds, before the call is sent again.

        Args:
            response: Read, with a status that is no success.

        Returns:
            Seconds.

        Raises:
            ProblemError: It is not sent again.
        """
        if response.status_code in _RETRIED:
            pause = self._next(_retry_after(response))
            if pause is not None:
                return pause
        raise problem_of(response)

    def after_error(self, error: httpx.RequestError, *, answered_before: bool) -> float:
        """How long to wait, in seconds, before the call is sent again.

        Args:
            error: Why there is no answer.
            answered_before: Whether this server has ever answered.

        Returns:
            Seconds.

        Raises:
            UnreachableError: It is not sent again.
        """
        never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
        if never_sent:
            may_repeat = answered_before
        else:
            may_repeat = (
                self._repeatable and isinstance(error, httpx.TransportError) and not isinstance(error, _SLOW)
            )
        pause = self._next(None) if may_repeat else None
        if pause is not None:
            return pause
        raise UnreachableError(f"no answer from {self._url}: {error or type(error).__name__}") from error

    def after_break(self) -> float:
        """How long to wait, in seconds, before events are followed on a new connection.

        Returns:
            Seconds.

        Raises:
            UnreachableError: There was nothing new for too long.
        """
        pause = self._next(None)
        if pause is None:
            raise UnreachableError(f"{self._url} stopped answering: the stream ended early")
        return pause

    def _next(self, asked: float | None) -> float | None:
        """The next pause; None if there is no time for it."""
        # Everyone who was refused at once must not come back at once.
        pause = (self._pause if asked is None else asked) + random.uniform(0, 0.1)  # noqa: S311 - no secret
        if time.monotonic() + pause > self._deadline:
            return None
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return pause


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; None when the header is missing or says nothing that can be read."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
