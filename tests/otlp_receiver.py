"""A collector of spans for tests: OTLP by HTTP, protobuf and JSON, in a thread of the test's process."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

_ERROR = 2
KINDS = {0: "unspecified", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Span:
    """A span as it was received; ids are hexadecimal, `parent` is empty for a root, times are nanoseconds."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    events: tuple[str, ...]
    failed: bool


class OtlpReceiver:
    """Listens on 127.0.0.1 until it is closed, and keeps all spans."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = 200 if self.path == "/v1/traces" else 404
                if status == 200:
                    is_json = "json" in self.headers["content-type"]
                    receiver._take(_from_json(body) if is_json else _from_protobuf(body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def environment(self) -> dict[str, str]:
        """What has a process send its spans here, and soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def all(self) -> list[Span]:
        """Everything so far, in the order in which it came."""
        with self._changed:
            return list(self._spans)

    def of(self, trace: str) -> list[Span]:
        """The spans of a trace so far, in the order of their beginnings."""
        with self._changed:
            return sorted((span for span in self._spans if span.trace == trace), key=lambda span: span.start)

    def wait(self, trace: str, met: Callable[[list[Span]], object], seconds: float = 60) -> list[Span]:
        """The spans of a trace, once they are as wanted."""
        deadline = time.monotonic() + seconds
        while not met(found := self.of(trace)):
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds} s the trace is:\n{tree(found)}\n{found}")
            with self._changed:
                self._changed.wait(0.5)
        return found

    def _take(self, spans: list[Span]) -> None:
        with self._changed:
            self._spans += spans
            self._changed.notify_all()


def tree(spans: list[Span]) -> list[str]:
    """Their names, each below its parent and further to the right."""
    known = {span.id for span in spans}
    lines: list[str] = []

    def write(span: Span, depth: int) -> None:
        lines.append("  " * depth + span.name)
        for child in spans:
            if child.parent == span.id:
                write(child, depth + 1)

    for span in spans:
        if span.parent not in known:
            write(span, 0)
    return lines


def _from_protobuf(body: bytes) -> list[Span]:
    return [
        Span(
            service=_attributes(group.resource.attributes).get("service.name", ""),
            name=span.name,
            kind=KINDS[span.kind],
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            events=tuple(event.name for event in span.events),
            failed=span.status.code == _ERROR,
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _attributes(values: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in values}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


def _from_json(body: bytes) -> list[Span]:
    return [
        Span(
            service=_json_attributes(group["resource"]).get("service.name", ""),
            name=span["name"],
            kind=KINDS[span.get("kind", 0)],
            trace=span["traceId"],
            id=span["spanId"],
            parent=span.get("parentSpanId", ""),
            start=int(span["startTimeUnixNano"]),
            end=int(span["endTimeUnixNano"]),
            attributes=_json_attributes(span),
            links=tuple((link["traceId"], link["spanId"]) for link in span.get("links", ())),
            events=tuple(event["name"] for event in span.get("events", ())),
            failed=span.get("status", {}).get("code") == _ERROR,
        )
        for group in json.loads(body)["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


def _json_attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in holder.get("attributes", ())}
