"""Answers that are sent while they are made: server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.admission import AdmissionQueue
from service.api.access.guard import caller_of
from service.api.answers.model_headers import headers_of
from service.api.calls.supervision import allowed_seconds, supervise
from service.api.context import services_of
from service.api.errors.handlers import shutdown_problem
from service.api.errors.problems import ProblemError, problem_body
from service.cards import ServedModel
from service.operations.work import admitted, changed, deadline_problem, twice
from service.telemetry.records import record_of
from service.triton import TritonChangedError

EVENT_STREAM = "text/event-stream"

_CLOSING_ATTEMPTS = 500
_CLOSING_PAUSE_SECONDS = 0.01
# After the deadline, or when the server stops: for the event that says so, if somebody still reads.
_LAST_WORDS_SECONDS = 1.0


@dataclass(frozen=True)
class StreamedTask:
    """Work whose parts are sent as they are done.

    Attributes:
        model: Whose queue it goes through.
        units: As for `service.operations.work.Task`.
        events: Makes the events, given the queue and the deadline.
    """

    model: ServedModel
    units: int
    events: Callable[[AdmissionQueue, float], AsyncGenerator[bytes, None]]


def event(name: str, data: Mapping[str, Any], identifier: int | None = None) -> bytes:
    """One server-sent event.

    Args:
        name: Its type, such as `frame`.
        data: Plain JSON values.
        identifier: Its `id`.

    Returns:
        The event as it is sent.
    """
    head = f"event: {name}\n" if identifier is None else f"id: {identifier}\nevent: {name}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def stream(
    request: Request, make_task: Callable[[], StreamedTask], *, sent_pixels: int = 0
) -> StreamingResponse:
    """Carries out a task and sends its events as they come.

    The first event is awaited before anything is sent, so that what is refused is refused with a status of
    its own; what goes wrong later becomes an event `error` that holds the problem.

    Args:
        request: Its body must have been read.
        make_task: As for `service.api.calls.execution.execute`.
        sent_pixels: Likewise.

    Returns:
        The response. When the client leaves, or stops reading until the deadline, the work is cancelled.

    Raises:
        ProblemError: Overload, deadline, a failing model, or Triton away.
        ClientDisconnect: If the client hung up before the first event.
    """
    services = services_of(request)
    seconds, headers = allowed_seconds(request, services.settings, sent_pixels)
    deadline = perf_counter() + seconds

    async def attempt() -> _Stream:
        task = make_task()
        events = _under_admission(request, task, deadline)
        try:
            first = await events.__anext__()
        except BaseException:
            await events.aclose()
            raise
        return _Stream(task.model, first, events)

    begun = await supervise(request, twice(services, attempt), deadline)
    response = _ClosingResponse(_events(request, begun, deadline), begun, deadline)
    headers |= headers_of(begun.model)
    # A proxy that collected the events would undo what they are for.
    headers |= {"cache-control": "no-store", "vary": "accept", "x-accel-buffering": "no"}
    response.headers.update(headers)
    return response


@dataclass
class _Stream:
    model: ServedModel
    first: bytes
    rest: AsyncGenerator[bytes, None]


class _ClosingResponse(StreamingResponse):
    """Gives the places in the queue back, come what may.

    Also if the client left before the first byte, and if it keeps the connection open but reads no further.
    A stream that the server cuts off since it stops says so in its last event.
    """

    def __init__(self, events: AsyncGenerator[bytes, None], begun: _Stream, deadline: float) -> None:
        super().__init__(events, media_type=EVENT_STREAM)
        self._events = events
        self._begun = begun
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = self._deadline - perf_counter() + _LAST_WORDS_SECONDS
        in_body = False

        async def send_and_note(message: Message) -> None:
            nonlocal in_body
            await send(message)
            in_body = message.get("more_body", True)

        try:
            await asyncio.wait_for(super().__call__(scope, receive, send_and_note), seconds)
        except asyncio.TimeoutError:
            record_of(scope).outcome = "deadline-exceeded"
            raise ClientDisconnect from None  # nothing more can be said; the server closes the connection
        except asyncio.CancelledError:  # by the server, which has waited as long as it may
            if not in_body:
                raise
            await _say_goodbye(scope, send)
        finally:
            await _closed(self._events)
            await _closed(self._begun.rest)


async def _say_goodbye(scope: Scope, send: Send) -> None:
    """Ends a stream between two events, each of which is sent whole."""
    error, record = shutdown_problem(), record_of(scope)
    record.outcome = error.problem.slug
    last = event("error", problem_body(error, scope["path"], record.request_id))
    with suppress(asyncio.TimeoutError):
        message = {"type": "http.response.body", "body": last, "more_body": False}
        await asyncio.wait_for(send(message), _LAST_WORDS_SECONDS)


async def _closed(events: AsyncGenerator[bytes, None]) -> None:
    """Closes a generator; a step of it that was cancelled may take a moment to come to its end."""
    for _ in range(_CLOSING_ATTEMPTS):
        try:
            await events.aclose()
        except RuntimeError:  # it is running
            await asyncio.sleep(_CLOSING_PAUSE_SECONDS)
        else:
            return
    raise RuntimeError("a stream of events does not end")


async def _under_admission(
    request: Request, task: StreamedTask, deadline: float
) -> AsyncGenerator[bytes, None]:
    with admitted(services_of(request), task.model, task.units, caller_of(request).name) as queue:
        async with aclosing(task.events(queue, deadline)) as events:
            async for one in events:
                await services_of(request).catalog.confirm(task.model)
                yield one


async def _events(request: Request, begun: _Stream, deadline: float) -> AsyncGenerator[bytes, None]:
    yield begun.first
    try:
        while True:
            try:
                one = await asyncio.wait_for(begun.rest.__anext__(), max(0.0, deadline - perf_counter()))
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:  # waiting for its turn, perhaps
                raise deadline_problem() from None
            yield one
    except (ProblemError, TritonChangedError) as error:
        services, record = services_of(request), record_of(request.scope)
        if not isinstance(error, ProblemError):
            await services.catalog.refresh()
            error = changed(services)
        record.outcome = error.problem.slug
        yield event("error", problem_body(error, request.url.path, record.request_id))
