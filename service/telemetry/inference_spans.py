"""Spans of requests to Triton, those that several calls share among them.

A request of one call is a span `infer` below that call's own, and Triton's spans are below it. A request that
calls share cannot be below each of theirs. So each call has a span `infer` of its own, for its part, and the
request is a span `infer.joined`: below the `infer` of the first call that is recorded, linked to all of them,
and all of them are linked to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
from opentelemetry import trace

from service.telemetry.tracing import carried, error_type, mark_failed, tracer

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_METHOD: Final = "inference.GRPCInferenceService/ModelInfer"
_NOTHING: Final = contextlib.nullcontext(None)


@dataclass(frozen=True)
class _Sharing:
    """Calls that share a request.

    Attributes:
        parts: Spans of those that are recorded.
        calls: How many there are.
    """

    parts: Sequence[trace.Span]
    calls: int


_shared_by: ContextVar[_Sharing | None] = ContextVar("shared_by", default=None)


def request_to_triton(
    model: str, version: str, rows: int
) -> contextlib.AbstractContextManager[Metadata | None]:
    """The span of one request to Triton, if it belongs to a trace that is kept.

    Args:
        model: Triton's name of it.
        version: Of the model.
        rows: Of the batch.

    Returns:
        Its context gives metadata of the call, by which Triton continues the trace; None if there is nothing
        to continue, for Triton records whatever it is given.
    """
    current = trace.get_current_span()
    if current is trace.INVALID_SPAN or not current.get_span_context().trace_flags.sampled:
        return _NOTHING
    return _request_to_triton(model, version, rows)


@contextlib.contextmanager
def _request_to_triton(model: str, version: str, rows: int) -> Iterator[Metadata | None]:
    sharing = _shared_by.get()
    parts = sharing.parts if sharing is not None else ()
    with tracer().start_as_current_span(
        "infer" if sharing is None else "infer.joined",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "rpc.system.name": "grpc",
            "rpc.method": _METHOD,
            "ganserve.triton_model": model,
            "ganserve.triton_version": version,
            "ganserve.rows": rows,
            **({} if sharing is None else {"ganserve.calls": sharing.calls}),
        },
        links=[trace.Link(part.get_span_context()) for part in parts],
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        for part in parts:
            part.add_link(span.get_span_context())
        try:
            yield carried()
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            span.set_attribute("rpc.response.status_code", code)
            mark_failed(span, code, error.details())
            raise
        except BaseException as error:
            _end_badly(span, error)
            raise
        span.set_attribute("rpc.response.status_code", "OK")


class CallTrace:
    """The trace of one call that may share its request with others."""

    def __init__(self) -> None:
        """That of the task which makes the call; it begins to wait now."""
        self.span = trace.get_current_span()
        self._since = time.time_ns() if self.span.is_recording() else None
        self._part: trace.Span | None = None

    def waited(self) -> None:
        """It has waited for requests before it, and is sent now: the span `queue` of that."""
        if self._since is not None:
            waiting = tracer().start_span(
                "queue",
                trace.set_span_in_context(self.span),
                start_time=self._since,
                attributes={"ganserve.waits_for": "request"},
            )
            waiting.end()

    def begin_part(self, model: str, rows: int) -> trace.Span:
        """The span of its part in a request that calls share.

        Args:
            model: Triton's name of it.
            rows: Of this call.
        """
        self._part = tracer().start_span(
            "infer",
            trace.set_span_in_context(self.span),
            attributes={"ganserve.triton_model": model, "ganserve.rows": rows, "ganserve.joined": True},
        )
        return self._part

    def end_part(self, error: BaseException | None = None) -> None:
        """Ends that span, if there is one that has not ended: the call has its answer, or leaves.

        Args:
            error: What it ends with instead of an answer.
        """
        part, self._part = self._part, None
        if part is not None:
            if error is not None:
                _end_badly(part, error)
            part.end()


def request_for(
    calls: Sequence[tuple[CallTrace, int]], model: str
) -> contextlib.AbstractContextManager[object]:
    """A request to Triton that is sent for some calls, from whichever task; around `Triton.infer`.

    Args:
        calls: The trace and the rows of each, one or more.
        model: Triton's name of it.
    """
    if len(calls) == 1:
        return _within(calls[0][0].span)
    return _shared(calls, model)


@contextlib.contextmanager
def _shared(calls: Sequence[tuple[CallTrace, int]], model: str) -> Iterator[None]:
    parts = [call.begin_part(model, rows) for call, rows in calls if call.span.is_recording()]
    leading = parts[0] if parts else calls[0][0].span
    token = _shared_by.set(_Sharing(parts, len(calls)))
    try:
        with _within(leading):
            yield
    except BaseException as error:
        for call, _ in calls:
            call.end_part(error)
        raise
    finally:
        _shared_by.reset(token)


def _within(span: trace.Span) -> contextlib.AbstractContextManager[object]:
    if span is trace.get_current_span():
        return _NOTHING
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def _end_badly(span: trace.Span, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute("ganserve.cancelled", True)
    else:
        mark_failed(span, error_type(error), str(error))
