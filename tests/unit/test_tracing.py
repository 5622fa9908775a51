"""Spans of jobs: whose children they are, what they say, what logs carry, and when they are sent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.telemetry.tracing import (
    TracingSetupError,
    configure_tracing,
    current_traceparent,
    otlp_traces_url,
    record_job,
    span,
    traceparent_of,
)
from tests.webhook_receiver import Receiver, answering

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {each.name: each for each in spans.get_finished_spans()}


def parent_id(each: ReadableSpan) -> str:
    assert each.parent is not None
    return trace.format_span_id(each.parent.span_id)


def own_id(each: ReadableSpan) -> str:
    return trace.format_span_id(each.get_span_context().span_id)


def test_what_is_done_for_a_job_belongs_to_the_trace_of_its_request(spans: InMemorySpanExporter) -> None:
    with span("job.create", parent=traceparent_of([(b"traceparent", PARENT.encode())]), job="job_1"):
        kept = current_traceparent()  # what goes into the job's row
    assert kept is not None

    async def item(n: int) -> None:
        with span("job.item", job="job_1", item=n, attempt=1, model=None):
            await asyncio.sleep(0)

    async def work() -> None:
        with span("job.chunk", parent=kept, job="job_1", items=2):
            await asyncio.gather(item(0), item(1))

    asyncio.run(work())
    created = datetime(2026, 1, 1, tzinfo=timezone.utc)
    record_job(kept, created, created + timedelta(hours=2), failed=False, job="job_1", state="succeeded")

    finished = spans.get_finished_spans()
    assert {trace.format_trace_id(each.get_span_context().trace_id) for each in finished} == {TRACE}
    named = by_name(spans)
    assert parent_id(named["job.create"]) == "b7ad6b7169203331"
    assert kept == f"00-{TRACE}-{own_id(named['job.create'])}-01"
    for name in ("job.chunk", "job"):
        assert parent_id(named[name]) == own_id(named["job.create"])
    items = [each for each in finished if each.name == "job.item"]
    assert [parent_id(each) for each in items] == [own_id(named["job.chunk"])] * 2
    assert sorted(each.attributes["ganserve.item"] for each in items if each.attributes) == [0, 1]
    assert dict(items[0].attributes or {}).keys() == {"ganserve.job", "ganserve.item", "ganserve.attempt"}
    job = named["job"]
    assert job.end_time is not None
    assert job.start_time is not None
    assert job.end_time - job.start_time == 2 * 3600 * 10**9
    assert job.start_time == int(created.timestamp()) * 10**9


def test_a_span_without_a_parent_begins_a_trace(spans: InMemorySpanExporter) -> None:
    with span("job.expand", parent=None, job="job_1"):
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", current_traceparent() or "")
    assert current_traceparent() is None
    (finished,) = spans.get_finished_spans()
    assert finished.parent is None


def test_failures_and_cancellations_are_told_apart(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="poison"), span("job.item"):
        raise ValueError("poison of postgresql://me:secret@there/jobs")
    (failed,) = spans.get_finished_spans()
    assert failed.status.status_code is trace.StatusCode.ERROR
    (event,) = failed.events
    assert (event.name, (event.attributes or {})["exception.type"]) == ("exception", "ValueError")
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert "secret" not in failed.to_json()
    spans.clear()

    async def cancelled() -> None:
        async def work() -> None:
            with span("job.item"):
                await asyncio.sleep(30)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    (stopped,) = spans.get_finished_spans()
    assert stopped.status.status_code is not trace.StatusCode.ERROR
    assert (stopped.attributes or {})["ganserve.cancelled"] is True
    now = datetime.now(timezone.utc)
    spans.clear()
    record_job(None, now, now, failed=True)
    assert by_name(spans)["job"].status.status_code is trace.StatusCode.ERROR


def test_without_an_sdk_the_trace_of_the_request_is_kept() -> None:
    with span("job.create", parent=PARENT):
        assert current_traceparent() == PARENT
    with span("job.create"):
        assert current_traceparent() is None
    record_job(PARENT, datetime.now(timezone.utc), datetime.now(timezone.utc), failed=False)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["nonsense"],
        [f"ff-{TRACE}-b7ad6b7169203331-01"],
        [f"00-{'0' * 32}-b7ad6b7169203331-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE.upper()[:-1]}-b7ad6b7169203331-01"],
        [PARENT + "\r\nx: y"],
        [PARENT, PARENT],
        ["é" * 10_000],
    ],
)
def test_traceparents_that_are_none(values: list[str]) -> None:
    headers = [(b"host", b"x"), *((b"traceparent", value.encode()) for value in values)]
    assert traceparent_of(headers) is None
    with span("job.create", parent=values[0] if values else None):  # nor does it harm in a job's row
        pass


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**outside, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


LOGGING = f"""
import structlog
from service.telemetry.logs import configure_logging
from service.telemetry.tracing import span
import logging
configure_logging("info", "json")
with span("job.item", parent="{PARENT}"):
    structlog.get_logger("x").info("inside")
    logging.getLogger("y").info("inside")
structlog.get_logger("x").info("outside")
"""


def test_log_lines_within_a_span_carry_its_ids() -> None:
    inside, standard, outside = map(json.loads, run(LOGGING).stderr.splitlines())
    for line in (inside, standard):
        assert (line["event"], line["trace_id"], line["span_id"]) == ("inside", TRACE, "b7ad6b7169203331")
    assert "trace_id" not in outside


SENDING = """
import sys
from service.telemetry.tracing import configure_tracing, span
send = configure_tracing("ganserve-worker")
with span("job.item", job="job_77"):
    pass
send()
print("opentelemetry.sdk.trace" in sys.modules)
"""


def test_spans_are_sent_where_the_environment_says() -> None:
    receiver = Receiver(answering(200, "content-type: application/x-protobuf"))
    try:
        run(SENDING, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}", no_proxy="*")
    finally:
        receiver.close()
    (request,) = receiver.received
    assert request.line == "POST /v1/traces HTTP/1.1"
    for text in (b"job.item", b"job_77", b"ganserve-worker", b"service.version"):
        assert text in request.body


def test_nothing_is_loaded_or_sent_unless_asked_for() -> None:
    assert run(SENDING).stdout.strip() == "False"
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert run(SENDING, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **off).stdout.strip() == "False"


def test_spans_can_be_written_to_the_console() -> None:
    done = run(SENDING, OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="mine")
    assert '"job.item"' in done.stdout
    assert '"mine"' in done.stdout


def test_a_collector_that_is_away_does_not_hold_the_process() -> None:
    code = "import time\nbegan = time.monotonic()\n" + SENDING + "print(time.monotonic() - began)"
    done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", no_proxy="*")
    assert float(done.stdout.split()[-1]) < 6


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318/"}, "http://a:4318/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/x"},
            "http://b/x",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, None),
    ],
)
def test_triton_sends_to_where_we_send(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str | None
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert otlp_traces_url() == url


def test_what_cannot_be_sent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(TracingSetupError, match="zipkin"):
        configure_tracing("x")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingSetupError, match=r"ganserve\[serve,tracing\]"):
        configure_tracing("x")
