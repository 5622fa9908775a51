"""The one way from a plan to an answer: admission, Triton, encoding, all under one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import structlog
from fastapi import Request
from fastapi.responses import Response
from numpy.typing import NDArray

from service.admission import QueueFullError
from service.api.context import Services, services_of
from service.api.lookup import triton_away
from service.api.problems import ProblemError
from service.api.supervision import allowed_seconds, deadline_problem, supervise
from service.cards import Generator
from service.images.encode import ImageFormat, blocks_event_loop
from service.synthesis import Style
from service.telemetry.records import record_of
from service.triton import InferenceError, TritonChangedError, TritonDeadlineError, TritonQueueFullError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plan:
    """Everything that decides the pixels of an answer."""

    model: Generator
    seeds: Sequence[int]
    style: Style


Images = list[NDArray[np.uint8]]
Render = Callable[[Plan, Images], Response]


async def generate(
    request: Request, make_plan: Callable[[], Plan], render: Render, image_format: ImageFormat
) -> Response:
    """Carries out a plan and renders the result.

    Args:
        request: Its body must have been read.
        make_plan: Looks the model up; asked once more if Triton turns out to have changed, since
            the model may be another one by then.
        render: Makes the response; runs in a thread if there are many pixels.
        image_format: What `render` encodes to, for that decision and for metrics.

    Returns:
        The response, with the headers every image answer has.

    Raises:
        ProblemError: Overload, deadline, a failing model, or Triton away.
        ClientDisconnect: If the client hung up; its work is cancelled then.
    """
    services = services_of(request)
    seconds, headers = allowed_seconds(request, services.settings)
    deadline = perf_counter() + seconds
    work = _attempt_twice(services, request, make_plan, render, image_format, deadline)
    response = await supervise(request, work, deadline)
    response.headers.update(headers)
    return response


async def _attempt_twice(
    services: Services,
    request: Request,
    make_plan: Callable[[], Plan],
    render: Render,
    image_format: ImageFormat,
    deadline: float,
) -> Response:
    try:
        return await _attempt(services, request, make_plan(), render, image_format, deadline)
    except TritonChangedError:
        # Away, restarted, or another version by now: the catalog finds out, and making a plan says so.
        await services.catalog.refresh()
    try:
        return await _attempt(services, request, make_plan(), render, image_format, deadline)
    except TritonChangedError as error:
        await services.catalog.refresh()
        if not services.catalog.up:
            raise triton_away() from error
        raise ProblemError(
            "model-unavailable", "Triton is changing the model.", headers={"retry-after": "1"}
        ) from error


async def _attempt(
    services: Services,
    request: Request,
    plan: Plan,
    render: Render,
    image_format: ImageFormat,
    deadline: float,
) -> Response:
    record, model, metrics = record_of(request.scope), plan.model, services.metrics
    queue = services.queue_for(model)
    try:
        with queue.admit(len(plan.seeds)):
            made = await services.synthesizer.synthesize(model, plan.seeds, plan.style, queue, deadline)
            record.queue, record.infer = made.queue_seconds, made.infer_seconds
            started = perf_counter()
            if blocks_event_loop(len(plan.seeds) * model.height * model.width, image_format):
                response = await asyncio.to_thread(render, plan, made.images)
            else:
                response = render(plan, made.images)
            record.encode = perf_counter() - started
    except QueueFullError as error:
        metrics.rejected.labels(model.name, "queue-full").inc()
        raise _overloaded(error.retry_after) from None
    except TritonQueueFullError:
        metrics.rejected.labels(model.name, "triton-queue-full").inc()
        raise _overloaded(queue.retry_after()) from None
    except TritonDeadlineError:
        raise deadline_problem() from None
    except InferenceError as error:
        log.error("inference failed", model=model.name, reason=str(error))
        raise ProblemError("inference-failed", "The model failed on this request.") from error
    metrics.encode_seconds.labels(image_format).observe(record.encode)
    response.headers["x-model"] = model.name
    response.headers["x-model-digest"] = model.digest
    return response


def _overloaded(retry_after: int) -> ProblemError:
    return ProblemError(
        "queue-full",
        f"The model's queue is full; try again in {retry_after} s.",
        headers={"retry-after": str(retry_after)},
    )
