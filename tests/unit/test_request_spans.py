"""Spans of HTTP requests: what they are called, whose children they are, what they say, and when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from service.telemetry.metrics import Metrics
from service.telemetry.records import ASKED_METHOD, record_of
from service.telemetry.requests import TelemetryMiddleware
from service.telemetry.tracing import carried, stage, trace_ids

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def scope_of(path: str = "/v1/generate", *headers: tuple[bytes, bytes], **changes: Any) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "scheme": "http",
        "http_version": "1.1",
        "query_string": b"",
        "headers": list(headers),
        "client": ("10.0.0.7", 4711),
        "server": ("127.0.0.1", 8080),
        **changes,
    }


def routed(scope: Scope, path: str, name: str) -> None:
    scope["route"] = SimpleNamespace(name=name, path=path)


def handled(app: App, scope: Scope, metrics: Metrics | None = None) -> list[Message]:
    """Has one request answered, and returns what was sent."""
    sent: list[Message] = []

    def failure(path: str, request_id: str) -> Response:
        return PlainTextResponse("", 500)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    middleware = TelemetryMiddleware(app, metrics or Metrics(), failure, failure)
    asyncio.run(middleware(scope, receive, send))
    return sent


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    routed(scope, "/v1/models/{model}", "model")
    record_of(scope).model = "emoji"
    await PlainTextResponse("ok")(scope, receive, send)


def only(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, Any]]:
    (span,) = spans.get_finished_spans()
    return span, dict(span.attributes or {})


def test_a_request_is_named_by_its_route_and_continues_the_trace_it_brings(
    spans: InMemorySpanExporter,
) -> None:
    scope = scope_of(
        "/v1/models/emoji",
        (b"traceparent", PARENT.encode()),
        (b"x-request-id", b"mine"),
        (b"user-agent", b"curl/8"),
        query_string=b"key=gsk_0123456789ab_" + b"a" * 43,
        method="GET",
    )
    handled(fine, scope)
    span, said = only(spans)
    assert (span.name, span.kind) == ("GET /v1/models/{model}", trace.SpanKind.SERVER)
    assert span.parent is not None
    assert trace.format_trace_id(span.context.trace_id) == TRACE
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"
    assert span.status.status_code is trace.StatusCode.UNSET
    assert "a" * 20 not in said.pop("url.query")
    assert said == {
        "http.request.method": "GET",
        "http.route": "/v1/models/{model}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/v1/models/emoji",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "client.address": "10.0.0.7",
        "user_agent.original": "curl/8",
        "ganserve.request_id": "mine",
        "ganserve.operation": "model",
        "ganserve.model": "emoji",
        "ganserve.outcome": "ok",
    }


@pytest.mark.parametrize(
    ("asked", "name", "method"),
    [("HEAD", "HEAD /v1/models/{model}", "HEAD"), ("BREW", "HTTP /v1/models/{model}", "_OTHER")],
)
def test_methods_are_those_that_were_asked_and_few(
    spans: InMemorySpanExporter, asked: str, name: str, method: str
) -> None:
    handled(fine, scope_of(method="GET", **{ASKED_METHOD: asked}))
    span, said = only(spans)
    assert (span.name, said["http.request.method"]) == (name, method)
    assert said.get("http.request.method_original") == (asked if method == "_OTHER" else None)


def test_what_matches_no_route_has_no_name_of_a_clients_making(spans: InMemorySpanExporter) -> None:
    async def lost(scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).outcome = "not-found"
        await PlainTextResponse("", 404)(scope, receive, send)

    handled(lost, scope_of("/secret/thing"))
    span, said = only(spans)
    assert (span.name, said["error.type"]) == ("POST", "not-found")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "http.route" not in said


def test_a_fault_of_ours_is_a_failed_span_with_the_exception(spans: InMemorySpanExporter) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("poison")

    handled(broken, scope_of())
    span, said = only(spans)
    assert (said["error.type"], said["http.response.status_code"]) == ("internal-error", 500)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_who_hangs_up_fails_nothing(spans: InMemorySpanExporter) -> None:
    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    handled(left, scope_of())
    span, said = only(spans)
    assert said["ganserve.outcome"] == "disconnected"
    assert "http.response.status_code" not in said
    assert span.status.status_code is trace.StatusCode.UNSET


def test_a_stream_is_covered_and_its_stages_are_its_children(spans: InMemorySpanExporter) -> None:
    async def streamed(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, False):
            with stage("encode", format="webp"):
                await asyncio.to_thread(lambda: None)
            assert not spans.get_finished_spans() or spans.get_finished_spans()[-1].name == "encode"
            await send({"type": "http.response.body", "body": b"x", "more_body": more})

    handled(streamed, scope_of())
    first, second, request = spans.get_finished_spans()
    assert request.kind is trace.SpanKind.SERVER
    for encoded in (first, second):
        assert encoded.parent == request.context
        assert encoded.attributes == {"ganserve.format": "webp"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_have_no_spans(spans: InMemorySpanExporter, path: str) -> None:
    async def probed(scope: Scope, receive: Receive, send: Send) -> None:
        with stage("encode"):
            await fine(scope, receive, send)

    handled(probed, scope_of(path, (b"traceparent", PARENT.encode())))
    assert not spans.get_finished_spans()


def test_what_is_logged_meanwhile_carries_the_ids(spans: InMemorySpanExporter) -> None:
    lines: list[dict[str, Any]] = []

    def note(logger: Any, method: str, event: Any) -> Any:
        lines.append(dict(trace_ids(logger, method, event)))
        raise structlog.DropEvent

    async def chatty(scope: Scope, receive: Receive, send: Send) -> None:
        structlog.get_logger("chatty").info("inside")
        await asyncio.to_thread(structlog.get_logger("chatty").info, "in a thread")
        await fine(scope, receive, send)

    known = structlog.get_config()["processors"]
    structlog.configure(processors=[note])
    try:
        handled(chatty, scope_of("/v1/x", (b"traceparent", PARENT.encode())))
    finally:
        structlog.configure(processors=known)
    assert [line["event"] for line in lines] == ["inside", "in a thread", "request"]
    span, _ = only(spans)
    assert {(line["trace_id"], line["span_id"]) for line in lines} == {
        (TRACE, trace.format_span_id(span.context.span_id))
    }


def test_without_an_sdk_a_trace_is_passed_on_and_nothing_is_made() -> None:
    passed: list[Any] = []

    async def calling(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(carried())
        with stage("encode") as nothing:
            assert not nothing.is_recording()
        await fine(scope, receive, send)

    handled(calling, scope_of())
    handled(calling, scope_of("/v1/x", (b"traceparent", PARENT.encode()), (b"tracestate", b"a=1")))
    assert passed == [None, (("traceparent", PARENT), ("tracestate", "a=1"))]


@pytest.mark.parametrize("state", [b"a=\xff", b"=", b"a=b\r\nc", b"a" * 4096, b"a=1," * 40])
def test_a_tracestate_that_is_none_does_no_harm(spans: InMemorySpanExporter, state: bytes) -> None:
    async def calling(scope: Scope, receive: Receive, send: Send) -> None:
        for _, value in carried() or ():
            assert value.isascii()
            assert value.isprintable()
        await fine(scope, receive, send)

    handled(calling, scope_of("/v1/x", (b"traceparent", PARENT.encode()), (b"tracestate", state)))
    span, said = only(spans)
    assert trace.format_trace_id(span.context.trace_id) == TRACE
    assert said["ganserve.outcome"] == "ok"


def exemplars(metrics: Metrics) -> list[str]:
    """The trace ids beside the latencies of requests."""
    text, media_type = asyncio.run(metrics.scrape("application/openmetrics-text; version=1.0.0"))
    assert media_type.startswith("application/openmetrics-text")
    (family,) = (
        each
        for each in text_string_to_metric_families(text.decode())
        if each.name == "ganserve_request_seconds"
    )
    return [sample.exemplar.labels["trace_id"] for sample in family.samples if sample.exemplar]


def test_only_traces_that_are_kept_are_exemplars(spans: InMemorySpanExporter) -> None:
    metrics = Metrics()
    handled(fine, scope_of("/v1/x", (b"traceparent", PARENT[:-1].encode() + b"0")), metrics)
    assert exemplars(metrics) == []
    assert not spans.get_finished_spans()
    handled(fine, scope_of("/v1/x", (b"traceparent", PARENT.encode())), metrics)
    assert exemplars(metrics) == [TRACE]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html,*/*;q=0.1", "text/plain"),
        ("image/png", "text/plain"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("application/openmetrics-text;version=nonsense", "application/openmetrics-text"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "text/plain;version=1.0.0;q=0.4,*/*;q=0.1",
            "application/openmetrics-text",
        ),
        ("application/openmetrics-text;q=0.1,text/plain", "text/plain"),
    ],
)
def test_metrics_are_plain_text_unless_openmetrics_is_liked_better(accept: str, wanted: str) -> None:
    text, media_type = asyncio.run(Metrics().scrape(accept))
    assert media_type.startswith(wanted)
    assert text.endswith(b"# EOF\n") == (wanted != "text/plain")
