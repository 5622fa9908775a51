"""The outermost layer: request ids, timing, metrics, traces, the access log, a 500 for what nobody caught."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from time import perf_counter

import structlog
from opentelemetry import trace
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.http_spans import describe_answer, request_span
from service.telemetry.metrics import Metrics
from service.telemetry.records import ASKED_METHOD, RequestRecord, attach_record
from service.telemetry.tracing import exemplar, note_exception

_USABLE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_QUIET = frozenset(("healthz", "readyz", "metrics"))

log = structlog.get_logger("ganserve.access")


class TelemetryMiddleware:
    """Gives every request a record and writes down what became of it.

    Plain ASGI: a wrapper that re-creates request and response would copy every image once more.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        on_failure: Callable[[str, str], Response],
        on_shutdown: Callable[[str, str], Response],
    ) -> None:
        """Wraps an application.

        Args:
            app: What handles the requests.
            metrics: Where they are counted.
            on_failure: Makes the answer to an exception nobody caught, of path and request id.
            on_shutdown: Makes the answer to a call that is cut off because the server stops, of the same.
        """
        self.app = app
        self.metrics = metrics
        self.on_failure = on_failure
        self.on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = RequestRecord(_request_id(scope))
        attach_record(scope, record)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                headers.append((b"x-request-id", record.request_id.encode()))
                headers.append((b"server-timing", record.server_timing().encode()))
            await send(message)

        self.metrics.in_flight.inc()
        try:
            with (
                structlog.contextvars.bound_contextvars(request_id=record.request_id),
                request_span(scope, record) as span,
            ):
                try:
                    await self.app(scope, receive, send_with_headers)
                except ClientDisconnect:
                    if record.outcome == "ok":  # or it has been said why the answer was broken off
                        record.outcome = "disconnected"
                except Exception as error:
                    record.outcome = "internal-error"
                    note_exception(span, error)
                    log.exception("request failed", path=scope["path"])
                    if status:
                        raise  # too late for an answer: the server closes the connection
                    response = self.on_failure(scope["path"], record.request_id)
                    await response(scope, receive, send_with_headers)
                except asyncio.CancelledError:  # by the server, which has waited as long as it may
                    record.outcome = "shutting-down"
                    if status:
                        raise
                    response = self.on_shutdown(scope["path"], record.request_id)
                    await response(scope, receive, send_with_headers)
                finally:
                    self._write_down(scope, record, status, span)
        finally:
            self.metrics.in_flight.dec()

    def _write_down(self, scope: Scope, record: RequestRecord, status: int, span: trace.Span) -> None:
        seconds = perf_counter() - record.started
        route = scope.get("route")
        if route is not None:
            record.operation, record.route = route.name, route.path
        self.metrics.count_request(record.operation, record.model, record.outcome)
        self.metrics.request_seconds.labels(record.operation, record.model).observe(seconds, exemplar())
        describe_answer(span, scope, record, status)
        if record.caller:
            self.metrics.calls.labels(record.caller, record.outcome).inc()
        (log.debug if record.operation in _QUIET else log.info)(
            "request",
            method=scope.get(ASKED_METHOD, scope["method"]),
            path=scope["path"],
            status=status,
            operation=record.operation,
            model=record.model,
            outcome=record.outcome,
            caller=record.caller,
            milliseconds=round(seconds * 1e3, 2),
            client=scope["client"][0] if scope.get("client") else None,
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _USABLE_ID.fullmatch(value):
            return str(value, "ascii")
    return RequestRecord.new_id()
