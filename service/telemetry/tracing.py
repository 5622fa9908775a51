"""Traces, by OpenTelemetry's API: spans that cost next to nothing until an SDK is there to record them.

The span of a request is made by `http_spans`, those of what is with Triton by `inference_spans`; what lies
between is a `stage`, and a span only within a request or an item that is recorded.

A job is worked on for a long time, by several processes, some of which die. So no span of it waits for the
others: the gateway keeps the trace of the request in the job's row, and everything done for the job is a
child of that. `job.create` is the request's part, `job.expand`, `job.chunk`, `job.item` and `job.webhook` are
work while it is done, and `job` is written when the job ends, from its creation to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.telemetry.metrics import package_version
from service.telemetry.redaction import redacted

SpanName = Literal["job.create", "job.expand", "job.chunk", "job.item", "job.webhook"]
StageName = Literal["queue", "read", "decode", "encode", "write"]
Attribute: TypeAlias = str | int | float | None

_PREFIX: Final = "ganserve."
_CARRIED: Final = (b"traceparent", b"tracestate")
_W3C: Final = TraceContextTextMapPropagator()
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_DEFAULT_ENDPOINT: Final = "http://localhost:4318"
_LAST_SECONDS: Final = 3.0
_NO_STAGE: Final = contextlib.nullcontext(trace.INVALID_SPAN)


class TracingSetupError(Exception):
    """The OTEL_* environment asks for traces that cannot be sent; the message says why."""


def configure_tracing(service: str) -> Callable[[], None]:
    """Records and sends spans if the standard OTEL_* environment says so; the SDK reads its details there.

    They are sent where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, by HTTP,
    unless OTEL_TRACES_EXPORTER is `none` or OTEL_SDK_DISABLED is `true`; OTEL_TRACES_EXPORTER=console writes
    them.

    Args:
        service: Name of this kind of process, where OTEL_SERVICE_NAME says none.

    Returns:
        Sends what is left; call it before the process ends. It takes three seconds at most.

    Raises:
        TracingSetupError: The extra `tracing` is not installed, or the exporter is another one.
    """
    exporter = _exporter()
    if exporter is None:
        return lambda: None
    if exporter not in ("otlp", "console"):
        raise TracingSetupError(f"OTEL_TRACES_EXPORTER={exporter}: otlp, console and none are known")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
    except ImportError as error:
        raise TracingSetupError(
            "the OTEL_* environment asks for traces, which need: pip install 'ganserve[serve,tracing]'"
        ) from error
    sink: SpanExporter = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    attributes = {"service.version": package_version()}
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = service
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(sink))
    trace.set_tracer_provider(provider)

    def send_the_rest() -> None:
        # The SDK itself tries for longer, and whoever stops this process does not wait for that.
        sending = threading.Thread(target=provider.shutdown, daemon=True)
        sending.start()
        sending.join(_LAST_SECONDS)

    return send_the_rest


def otlp_traces_url() -> str | None:
    """Where the environment says that spans are sent, for others than this process; None if nowhere.

    Returns:
        The whole URL, as OTLP by HTTP has it.
    """
    if _exporter() != "otlp":
        return None
    if url := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return url
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT_ENDPOINT
    return f"{endpoint.rstrip('/')}/v1/traces"


def _exporter() -> str | None:
    """The exporter that the environment asks for, None if none."""
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    asked = bool(exporter) or any(os.environ.get(name) for name in _ENDPOINTS)
    if not asked or exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    return exporter or "otlp"


def is_on() -> bool:
    """Whether there is an SDK that spans go to."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def tracer() -> trace.Tracer:
    """What makes the spans of this package."""
    provider = trace.get_tracer_provider()
    known = _known_tracer.get(provider)
    if known is None:
        _known_tracer.clear()  # there is one provider in a process, but for tests
        known = _known_tracer[provider] = provider.get_tracer("ganserve", package_version())
    return known


_known_tracer: Final[dict[trace.TracerProvider, trace.Tracer]] = {}


def context_of(headers: Iterable[tuple[bytes, bytes]]) -> Context | None:
    """The trace that a request belongs to, as the parent of its span.

    Args:
        headers: Of the ASGI scope: lower-case names, and values.

    Returns:
        None if it has no `traceparent` header, several or an invalid one.
    """
    found = [(name, value) for name, value in headers if name in _CARRIED]
    if not found:
        return None
    if sum(name == b"traceparent" for name, _ in found) != 1:
        return None
    carrier = {name.decode(): value.decode("latin-1") for name, value in found}
    context = _W3C.extract(carrier, context=Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def traceparent_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace that a request belongs to.

    Args:
        headers: Of the ASGI scope: lower-case names, and values.

    Returns:
        Its `traceparent` header; None if there is none, several or an invalid one.
    """
    context = context_of(headers)
    return None if context is None else _traceparent(trace.get_current_span(context))


def current_traceparent() -> str | None:
    """The trace and span that this task works in, in W3C's form; None if it works in none."""
    return _traceparent(trace.get_current_span())


def carried() -> tuple[tuple[str, str], ...] | None:
    """The headers that make what is called a part of this task's trace; None if it works in none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return tuple(carrier.items()) or None


@contextlib.contextmanager
def span(
    name: SpanName,
    *,
    parent: str | None = None,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    **attributes: Attribute,
) -> Iterator[trace.Span]:
    """Work that is a span while it lasts; what is logged meanwhile carries its ids.

    An exception makes it a failed span, a cancellation one with the attribute `ganserve.cancelled`. Within an
    async generator nothing may be yielded meanwhile.

    Args:
        name: What is done.
        parent: A `traceparent`, such as that of the job's row; without it the span that is current.
        kind: `CLIENT` where another service is called.
        attributes: Of the span, as `ganserve.<name>`; those that are None are left out.
    """
    context = _context(parent) if parent else None
    with _current(name, context, kind, _named(attributes)) as current:
        yield current


def stage(name: StageName, **attributes: Attribute) -> contextlib.AbstractContextManager[trace.Span]:
    """A part of the work that this task does; a span if what it is a part of is recorded, else nothing.

    Args:
        name: Which part.
        attributes: As for `span`.
    """
    if not trace.get_current_span().is_recording():
        return _NO_STAGE
    return _current(name, None, trace.SpanKind.INTERNAL, _named(attributes))


@contextlib.contextmanager
def _current(
    name: str, context: Context | None, kind: trace.SpanKind, attributes: dict[str, str | int | float]
) -> Iterator[trace.Span]:
    with tracer().start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except asyncio.CancelledError:
            current.set_attribute(f"{_PREFIX}cancelled", True)
            raise
        except Exception as error:
            mark_failed(current, error_type(error), str(error))
            if not hasattr(error, "problem"):  # which says it all
                note_exception(current, error)
            raise


def begin_stage(name: StageName, **attributes: Attribute) -> trace.Span:
    """The same for what other parts of the work run beside; nothing belongs to it, and the caller ends it.

    Args:
        name: Which part.
        attributes: As for `span`.

    Returns:
        The span, or one that records nothing.
    """
    if not trace.get_current_span().is_recording():
        return trace.INVALID_SPAN
    return tracer().start_span(name, attributes=_named(attributes))


def failed(kind: str) -> None:
    """Makes the span that is current a failed one.

    Args:
        kind: The slug of a problem type.
    """
    mark_failed(trace.get_current_span(), kind)


def mark_failed(current: trace.Span, kind: str, reason: str | None = None) -> None:
    """Makes a span a failed one.

    Args:
        current: The span.
        kind: Its `error.type`: the slug of a problem type, a status, or the name of an exception.
        reason: For people.
    """
    current.set_attribute("error.type", kind)
    current.set_status(trace.StatusCode.ERROR, redacted(reason) if reason else None)


def note_exception(current: trace.Span, error: BaseException) -> None:
    """Adds what was raised, and where, to a span, without what must not be read in it.

    Args:
        current: The span.
        error: The exception.
    """
    if current.is_recording():
        attributes = {
            "exception.type": type(error).__qualname__,
            "exception.message": redacted(str(error)),
            "exception.stacktrace": redacted("".join(traceback.format_exception(error))),
        }
        current.add_event("exception", attributes)


def error_type(error: BaseException) -> str:
    """What `error.type` says of an exception: the slug of a problem, else the name of its class."""
    problem = getattr(error, "problem", None)
    return str(getattr(problem, "slug", type(error).__name__))


def exemplar() -> dict[str, str] | None:
    """What leads from a measured value to the trace in which it was measured.

    Returns:
        The labels of an exemplar; None if this task works in no trace, or in one that is not kept.
    """
    current = trace.get_current_span()
    if not current.is_recording():
        return None
    context = current.get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def record_job(
    parent: str | None,
    created: datetime,
    ended: datetime,
    *,
    failed: bool,
    **attributes: Attribute,
) -> None:
    """Writes the span `job`, which is as long as the job was.

    Args:
        parent: The `traceparent` of the job's row.
        created: With a time zone.
        ended: With a time zone.
        failed: Whether the job as such failed.
        attributes: As for `span`: job, operation, model, state, items, failed items.
    """
    current = tracer().start_span(
        "job",
        context=_context(parent) if parent else None,
        start_time=_ns(created),
        attributes=_named(attributes),
    )
    if failed:
        current.set_status(trace.StatusCode.ERROR)
    current.end(_ns(ended))


def trace_ids(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A step of structlog that adds `trace_id` and `span_id` to lines written within a span."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        event["trace_id"] = trace.format_trace_id(current.trace_id)
        event["span_id"] = trace.format_span_id(current.span_id)
    return event


def _context(traceparent: str) -> Context:
    return _W3C.extract({"traceparent": traceparent}, context=Context())


def _traceparent(span: trace.Span) -> str | None:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def _named(attributes: dict[str, Attribute]) -> dict[str, str | int | float]:
    return {f"{_PREFIX}{name}": value for name, value in attributes.items() if value is not None}


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
