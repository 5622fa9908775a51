"""The span of an HTTP request, after OpenTelemetry's stable conventions for HTTP servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from starlette.types import Scope

from service.telemetry.records import ASKED_METHOD, RequestRecord
from service.telemetry.redaction import redacted
from service.telemetry.tracing import Attribute, context_of, is_on, mark_failed, tracer

_UNTRACED: Final = frozenset(("/healthz", "/readyz", "/metrics"))
_METHODS: Final = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
)
_NO_PROBLEM: Final = frozenset(("ok", "not-modified", "disconnected"))
_NO_SPAN: Final = contextlib.nullcontext(trace.INVALID_SPAN)
_LONGEST: Final = 1024  # characters of what clients write themselves


def request_span(scope: Scope, record: RequestRecord) -> contextlib.AbstractContextManager[trace.Span]:
    """The span of a request while it is handled, to the last byte of its answer.

    It continues the trace that the request names. Without an SDK nothing is recorded, but what is logged
    carries that trace's ids all the same. Probes and scrapes have no span.

    Args:
        scope: Of the request.
        record: Of the request.

    Returns:
        Its context gives the span, for `describe_answer`.
    """
    if scope["path"] in _UNTRACED:
        return _NO_SPAN
    parent = context_of(scope["headers"])
    if is_on():
        return _recorded(scope, record, parent)
    return _NO_SPAN if parent is None else trace.use_span(trace.get_current_span(parent))


@contextlib.contextmanager
def _recorded(scope: Scope, record: RequestRecord, parent: Context | None) -> Iterator[trace.Span]:
    span = tracer().start_span(
        _method(scope),
        context=Context() if parent is None else parent,
        kind=trace.SpanKind.SERVER,
        attributes=_asked(scope, record),
    )
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield span


def describe_answer(span: trace.Span, scope: Scope, record: RequestRecord, status: int) -> None:
    """Says how a request ended.

    Args:
        span: From `request_span`.
        scope: Of the request.
        record: Of the request, complete.
        status: Of the answer; 0 if there was none.
    """
    if not span.is_recording():
        return
    if record.route:
        span.update_name(f"{_method(scope)} {record.route}")
    span.set_attributes(
        _present(
            {
                "http.route": record.route or None,
                "http.response.status_code": status or None,
                "ganserve.operation": record.operation,
                "ganserve.model": record.model or None,
                "ganserve.outcome": record.outcome,
                "ganserve.caller": record.caller or None,
            }
        )
    )
    if record.outcome not in _NO_PROBLEM:
        mark_failed(span, record.outcome)


def _asked(scope: Scope, record: RequestRecord) -> dict[str, str | int | float]:
    asked = scope.get(ASKED_METHOD, scope["method"])
    headers = dict(scope["headers"])
    host, port = scope.get("server") or (None, None)
    query = scope.get("query_string", b"").decode("latin-1")
    return _present(
        {
            "http.request.method": asked if asked in _METHODS else "_OTHER",
            "http.request.method_original": None if asked in _METHODS else asked[:_LONGEST],
            "url.scheme": scope["scheme"],
            "url.path": redacted(scope["path"][:_LONGEST]),
            "url.query": redacted(query[:_LONGEST]) if query else None,
            "network.protocol.version": scope.get("http_version"),
            "server.address": host,
            "server.port": port,
            "client.address": scope["client"][0] if scope.get("client") else None,
            "user_agent.original": headers.get(b"user-agent", b"").decode("latin-1")[:_LONGEST] or None,
            "ganserve.request_id": record.request_id,
        }
    )


def _method(scope: Scope) -> str:
    """The method in a span's name, of which there may be few."""
    asked = scope.get(ASKED_METHOD, scope["method"])
    return asked if asked in _METHODS else "HTTP"


def _present(attributes: dict[str, Attribute]) -> dict[str, str | int | float]:
    return {name: value for name, value in attributes.items() if value is not None}
