"""Traces of batch jobs, by OpenTelemetry's API: spans that cost nothing until an SDK is there to record them.

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
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, Literal

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.telemetry.metrics import package_version

SpanName = Literal["job.create", "job.expand", "job.chunk", "job.item", "job.webhook"]

_PREFIX: Final = "ganserve."
_W3C: Final = TraceContextTextMapPropagator()
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_LAST_SECONDS: Final = 3.0


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
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    asked = bool(exporter) or any(os.environ.get(name) for name in _ENDPOINTS)
    if not asked or exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return lambda: None
    if exporter not in ("", "otlp", "console"):
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


def traceparent_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace that a request belongs to.

    Args:
        headers: Of the ASGI scope: lower-case names, and values.

    Returns:
        Its `traceparent` header; None if there is none, several or an invalid one.
    """
    found = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
    if len(found) != 1:
        return None
    span = trace.get_current_span(_context(found[0]))
    return _traceparent(span) if span.get_span_context().is_valid else None


def current_traceparent() -> str | None:
    """The trace and span that this task works in, in W3C's form; None if it works in none."""
    return _traceparent(trace.get_current_span())


@contextlib.contextmanager
def span(
    name: SpanName, *, parent: str | None = None, **attributes: str | int | float | None
) -> Iterator[trace.Span]:
    """Work that is a span while it lasts; what is logged meanwhile carries its ids.

    An exception makes it a failed span, a cancellation one with the attribute `ganserve.cancelled`.

    Args:
        name: What is done.
        parent: A `traceparent`, such as that of the job's row; without it the span that is current.
        attributes: Of the span, as `ganserve.<name>`; those that are None are left out.
    """
    context = _context(parent) if parent else None
    with _tracer().start_as_current_span(name, context=context, attributes=_named(attributes)) as current:
        try:
            yield current
        except asyncio.CancelledError:
            current.set_attribute(f"{_PREFIX}cancelled", True)
            raise


def record_job(
    parent: str | None,
    created: datetime,
    ended: datetime,
    *,
    failed: bool,
    **attributes: str | int | float | None,
) -> None:
    """Writes the span `job`, which is as long as the job was.

    Args:
        parent: The `traceparent` of the job's row.
        created: With a time zone.
        ended: With a time zone.
        failed: Whether the job as such failed.
        attributes: As for `span`: job, operation, model, state, items, failed items.
    """
    current = _tracer().start_span(
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


def _tracer() -> trace.Tracer:
    return trace.get_tracer("ganserve", package_version())


def _context(traceparent: str) -> Context:
    return _W3C.extract({"traceparent": traceparent}, context=Context())


def _traceparent(span: trace.Span) -> str | None:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def _named(attributes: dict[str, str | int | float | None]) -> dict[str, str | int | float]:
    return {f"{_PREFIX}{name}": value for name, value in attributes.items() if value is not None}


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
