"""The one way from a task to an answer: admission, Triton, rendering, all under one deadline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from time import perf_counter

from fastapi import Request
from fastapi.responses import Response

from service.api.access.guard import caller_of
from service.api.answers.model_headers import headers_of
from service.api.calls.supervision import allowed_seconds, supervise
from service.api.context import services_of
from service.concurrency import in_thread as run_in_thread
from service.operations.work import Made, Task, admitted, twice
from service.telemetry.records import record_of
from service.telemetry.tracing import exemplar, stage


async def execute(
    request: Request,
    make_task: Callable[[], Task[Made]],
    render: Callable[[Made], Response],
    *,
    in_thread: Callable[[Made], bool],
    label: str,
    sent_pixels: int = 0,
    encodes: bool = True,
) -> Response:
    """Carries out a task and renders the result.

    Args:
        request: Its body must have been read.
        make_task: Looks the model up; asked once more if Triton turns out to have changed, since
            the model may be another one by then.
        render: Makes the response.
        in_thread: Whether `render` would hold up the event loop.
        label: What `render` encodes to, for metrics.
        sent_pixels: Of the image that came with the call, whose deadline grows with it.
        encodes: Whether `render` makes a file; what was drawn tile by tile is one already.

    Returns:
        The response, with the headers every image answer has.

    Raises:
        ProblemError: Overload, deadline, a failing model, or Triton away.
        ClientDisconnect: If the client hung up; its work is cancelled then.
    """
    services = services_of(request)
    seconds, headers = allowed_seconds(request, services.settings, sent_pixels)
    deadline = perf_counter() + seconds

    async def attempt() -> Response:
        task = make_task()
        record = record_of(request.scope)
        with admitted(services, task.model, task.units, caller_of(request).name) as queue:
            made = await task.run(queue, deadline)
            await services.catalog.confirm(task.model)
            record.queue, record.infer = made.queue_seconds, made.infer_seconds
            started = perf_counter()
            with stage("encode", format=label) if encodes else nullcontext():
                response = await run_in_thread(render, made) if in_thread(made) else render(made)
            record.encode = perf_counter() - started
        services.metrics.encode_seconds.labels(label).observe(record.encode, exemplar())
        response.headers.update(headers_of(task.model))
        return response

    response = await supervise(request, twice(services, attempt), deadline)
    response.headers.update(headers)
    return response
