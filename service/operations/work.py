"""Work for one model: its places in the queue, a second attempt, and what a fault is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from service.admission import ANYBODY, INTERACTIVE, AdmissionQueue, QueueFullError
from service.api.errors.problems import ProblemError
from service.cards import ServedModel
from service.operations.engine import Engine
from service.operations.models import triton_away
from service.synthesis import Synthesized
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


async def twice(engine: Engine, attempt: Callable[[], Awaitable[Item]]) -> Item:
    """Attempts again when Triton turns out to have changed: away, restarted, or another model version.

    Args:
        engine: Whose catalog finds out.
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
            await engine.catalog.settle()  # making the task again then says what is the matter
    try:
        return await attempt()
    except TritonChangedError as error:
        await engine.catalog.refresh()
        raise changed(engine) from error


@contextmanager
def admitted(
    engine: Engine,
    model: ServedModel,
    units: int,
    caller: str = ANYBODY,
    priority: int = INTERACTIVE,
) -> Iterator[AdmissionQueue]:
    """A place in the model's queue; what goes wrong inside becomes a problem, but for a changed Triton.

    Args:
        engine: Of the gateway or worker.
        model: From the catalog.
        units: Images or tiles.
        caller: Among whom the queue is shared.
        priority: `INTERACTIVE` or `BATCH`.

    Yields:
        The caller's turns in the queue.

    Raises:
        ProblemError: Overload, deadline, or a failing model.
        TritonChangedError: Triton is away or serves another version.
    """
    queue, metrics = engine.queue_for(model), engine.metrics
    try:
        with queue.admit(units, caller, priority) as ticket:
            yield ticket
        engine.catalog.succeeded(model)
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
            engine.catalog.failed(model, str(error))
        log.error("inference failed", model=model.name, reason=str(error))
        raise ProblemError("inference-failed", "The model failed on this request.") from error


def changed(engine: Engine) -> ProblemError:
    """The problem of a Triton that changed under a call.

    Args:
        engine: Whose catalog has just been refreshed.

    Returns:
        The exception to raise.
    """
    if not engine.catalog.up:
        return triton_away()
    return ProblemError("model-unavailable", "Triton is changing the model.", headers={"retry-after": "1"})


def _overloaded(retry_after: int) -> ProblemError:
    return ProblemError(
        "queue-full",
        f"The model's queue is full; try again in {retry_after} s.",
        headers={"retry-after": str(retry_after)},
    )


def deadline_problem() -> ProblemError:
    """The problem of a call that was not done in time."""
    return ProblemError(
        "deadline-exceeded", "The call was not done in time; `Prefer: wait=SECONDS` asks for longer."
    )
