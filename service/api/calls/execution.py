"""The one way from a task to an answer: admission, Triton, rendering, all under one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import structlog
from fastapi import Request
from fastapi.responses import Response

from service.admission import ANYBODY, AdmissionQueue, QueueFullError
from service.api.access.guard import caller_of
from service.api.calls.supervision import allowed_seconds, deadline_problem, supervise
from service.api.context import Services, services_of
from service.api.errors.problems import ProblemError
from service.api.requests.models import triton_away
from service.cards import ServedModel
from service.synthesis import Synthesized
from service.telemetry.records import record_of
from service.triton import (
    InferenceError,
    ModelDownError,
    TritonChangedError,
    TritonDeadlineError,
    TritonQueueFullError,
)

# A second change while the first was waited for is possible, a third unlikely.
_RETRIES = 2

log = structlog.get_logger(__name__)


class Timed(Protocol):
    """What a task makes: besides the thing itself, where the time went."""

    @property
    def queue_seconds(self) -> float:
        """Waited before Triton."""

    @property
    def infer_seconds(self) -> float:
        """In Triton."""


@dataclass(frozen=True, eq=False)
class TimedImages:
    """Images of a generator and where the time went; classes of the calls add what they were made of."""

    made: Synthesized

    @property
    def queue_seconds(self) -> float:
        """Waited before Triton."""
        return self.made.queue_seconds

    @property
    def infer_seconds(self) -> float:
        """In Triton."""
        return self.made.infer_seconds


Made = TypeVar("Made", bound=Timed)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Task(Generic[Made]):
    """Work for one model.

    Attributes:
        model: Whose queue it goes through.
        units: How many images (or tiles) of it are with Triton, or waiting for it, at most at a time.
        run: Does it, given the queue in which the units have been admitted and the deadline on the clock of
            `time.perf_counter`; calls `queue.start(n)` and `queue.finish(n)` around each batch.
    """

    model: ServedModel
    units: int
    run: Callable[[AdmissionQueue, float], Awaitable[Made]]


async def execute(
    request: Request,
    make_task: Callable[[], Task[Made]],
    render: Callable[[Made], Response],
    *,
    in_thread: Callable[[Made], bool],
    label: str,
) -> Response:
    """Carries out a task and renders the result.

    Args:
        request: Its body must have been read.
        make_task: Looks the model up; asked once more if Triton turns out to have changed, since
            the model may be another one by then.
        render: Makes the response.
        in_thread: Whether `render` would hold up the event loop.
        label: What `render` encodes to, for metrics.

    Returns:
        The response, with the headers every image answer has.

    Raises:
        ProblemError: Overload, deadline, a failing model, or Triton away.
        ClientDisconnect: If the client hung up; its work is cancelled then.
    """
    services = services_of(request)
    seconds, headers = allowed_seconds(request, services.settings)
    deadline = perf_counter() + seconds

    async def attempt() -> Response:
        task = make_task()
        record = record_of(request.scope)
        with admitted(services, task.model, task.units, caller_of(request).name) as queue:
            made = await task.run(queue, deadline)
            await services.catalog.confirm(task.model)
            record.queue, record.infer = made.queue_seconds, made.infer_seconds
            started = perf_counter()
            response = await asyncio.to_thread(render, made) if in_thread(made) else render(made)
            record.encode = perf_counter() - started
        services.metrics.encode_seconds.labels(label).observe(record.encode)
        response.headers["x-model"] = task.model.name
        response.headers["x-model-digest"] = task.model.digest
        return response

    response = await supervise(request, twice(services, attempt), deadline)
    response.headers.update(headers)
    return response


async def twice(services: Services, attempt: Callable[[], Awaitable[Item]]) -> Item:
    """Attempts again when Triton turns out to have changed: away, restarted, or another model version.

    Args:
        services: Whose catalog finds out.
        attempt: Looks the model up each time.

    Returns:
        What the attempt returned.

    Raises:
        ProblemError: If Triton is away, or still changing.
    """
    for _ in range(_RETRIES):
        try:
            return await attempt()
        except TritonChangedError:
            await services.catalog.settle()  # making the task again then says what is the matter
    try:
        return await attempt()
    except TritonChangedError as error:
        await services.catalog.refresh()
        raise changed(services) from error


@contextmanager
def admitted(
    services: Services, model: ServedModel, units: int, caller: str = ANYBODY
) -> Iterator[AdmissionQueue]:
    """A place in the model's queue; what goes wrong inside becomes a problem, but for a changed Triton.

    Args:
        services: Of the gateway.
        model: From the catalog.
        units: Images or tiles.
        caller: Among whom the queue is shared.

    Yields:
        The caller's turns in the queue.

    Raises:
        ProblemError: Overload, deadline, or a failing model.
        TritonChangedError: Triton is away or serves another version.
    """
    queue, metrics = services.queue_for(model), services.metrics
    try:
        with queue.admit(units, caller) as ticket:
            yield ticket
        services.catalog.succeeded(model)
    except QueueFullError as error:
        metrics.rejected.labels(model.name, "queue-full").inc()
        raise _overloaded(error.retry_after) from None
    except TritonQueueFullError:
        metrics.rejected.labels(model.name, "triton-queue-full").inc()
        raise _overloaded(queue.retry_after()) from None
    except TritonDeadlineError:
        raise deadline_problem() from None
    except InferenceError as error:
        if isinstance(error, ModelDownError):
            services.catalog.failed(model, str(error))
        log.error("inference failed", model=model.name, reason=str(error))
        raise ProblemError("inference-failed", "The model failed on this request.") from error


def changed(services: Services) -> ProblemError:
    """The problem of a Triton that changed under a call.

    Args:
        services: Whose catalog has just been refreshed.

    Returns:
        The exception to raise.
    """
    if not services.catalog.up:
        return triton_away()
    return ProblemError("model-unavailable", "Triton is changing the model.", headers={"retry-after": "1"})


def _overloaded(retry_after: int) -> ProblemError:
    return ProblemError(
        "queue-full",
        f"The model's queue is full; try again in {retry_after} s.",
        headers={"retry-after": str(retry_after)},
    )
