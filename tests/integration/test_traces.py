"""Traces of the whole service: what `ganserve up` sends, and its Triton, is read by the test itself."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.image_files import saved
from tests.jobs_service import wait_ended, wait_usable
from tests.otlp_receiver import OtlpReceiver, Span, tree
from tests.toy_image_models import write_toy_image_model
from tests.toy_repository import write_toy_repository
from tests.triton_process import free_ports
from tests.up_process import Up
from tests.webhook_receiver import Receiver

PARENT = "b7ad6b7169203331"
TRIES = 6
PICTURE = saved(Image.new("RGB", (12, 8), "red"), "PNG")
_NUMBERS = itertools.count(1)


class Traced:
    """A service and the collector that it sends its spans to."""

    def __init__(self, folder: Path) -> None:
        self.collector, self.hook = OtlpReceiver(), Receiver()
        (self.worker_port,) = free_ports(1)
        repository = write_toy_image_model(write_toy_repository(folder / "models"), "doubler", 2)
        environment = {
            **{name: "" for name in os.environ if name.startswith("OTEL_")},
            **self.collector.environment(),
            "GANSERVE_WORKER_PORT": str(self.worker_port),
            "GANSERVE_WEBHOOK_ALLOW": '["127.0.0.1"]',
            "GANSERVE_LOG_FORMAT": "json",
        }
        self.up = Up(repository, folder / "log", environment, [])
        self.up.wait_until_ready()
        self.http = httpx.Client(base_url=self.up.url, trust_env=False, timeout=60)
        wait_usable(self.http)

    def close(self) -> None:
        self.http.close()
        self.up.close()
        self.hook.close()
        self.collector.close()

    def asked(self, method: str, path: str, **options: Any) -> tuple[httpx.Response, str]:
        """A request in a trace of its own, and the id of that."""
        trace = f"{next(_NUMBERS):032x}"
        headers = {"traceparent": f"00-{trace}-{PARENT}-01", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options), trace

    def finished(self, trace: str, computed: int = 0, seconds: float = 60) -> list[Span]:
        """The spans of a request once all have come: its own, and of Triton those of so many requests."""
        return self.collector.wait(
            trace,
            lambda spans: (
                any(span.kind == "server" and span.service == "ganserve-gateway" for span in spans)
                and sum(span.name == "compute" for span in spans) == computed
            ),
            seconds,
        )

    def followed(
        self, method: str, path: str, *, computed: int, **options: Any
    ) -> tuple[httpx.Response, str, list[Span]]:
        """An answer, its trace and all spans of that, Triton's as well.

        Triton 2.51 takes one request of twenty, whoever sends it, for one that brought no trace, so there are
        several tries.
        """
        for _ in range(TRIES - 1):
            answer, trace = self.asked(method, path, **options)
            with contextlib.suppress(AssertionError):
                return answer, trace, self.finished(trace, computed, seconds=8)
        answer, trace = self.asked(method, path, **options)
        return answer, trace, self.finished(trace, computed)

    def lines(self, trace: str) -> list[dict[str, Any]]:
        """What was logged within a trace."""
        found = re.findall(r"\{.*\}", self.up.output)
        return [line for line in map(json.loads, found) if line.get("trace_id") == trace]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    service = Traced(tmp_path_factory.mktemp("traced"))
    yield service
    service.close()


def server_span(spans: list[Span]) -> Span:
    (found,) = (span for span in spans if span.kind == "server" and span.service == "ganserve-gateway")
    assert found.parent == PARENT
    return found


def inferred(model: str, *, depth: int) -> list[str]:
    """The lines of a tree that are one request to Triton."""
    names = ["infer", "InferRequest", model, "compute"]
    return ["  " * (depth + further) + name for further, name in enumerate(names)]


def exemplars(url: str, histogram: str) -> set[str]:
    """The trace ids beside the values of a histogram."""
    answer = httpx.get(url, headers={"accept": "application/openmetrics-text"}, trust_env=False)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if family.name == histogram and sample.exemplar
    }


def test_generating_is_one_tree_from_the_request_to_tritons_computation(traced: Traced) -> None:
    body = {"model": "toy", "seeds": [1, 2]}
    answer, trace, spans = traced.followed("POST", "/v1/generate", json=body, computed=2)
    assert answer.status_code == 200
    assert tree(spans) == [
        "POST /v1/generate",
        "  queue",
        *inferred("toy-mapping", depth=1),
        *inferred("toy-synthesis", depth=1),
        "  encode",
    ]
    assert {span.service for span in spans if span.name in ("InferRequest", "compute")} == {"ganserve-triton"}
    request = server_span(spans)
    said = request.attributes
    assert (said["http.request.method"], said["http.route"], said["http.response.status_code"]) == (
        "POST",
        "/v1/generate",
        200,
    )
    assert (said["ganserve.model"], said["ganserve.outcome"]) == ("toy", "ok")
    assert said["ganserve.request_id"] == answer.headers["x-request-id"]
    assert not any(span.failed for span in spans)
    ours = [span for span in spans if span.service == "ganserve-gateway"]
    assert all(request.start <= span.start <= span.end <= request.end for span in ours)
    mapping, synthesis = (span for span in spans if span.name == "infer")
    assert mapping.end <= synthesis.start
    assert (synthesis.kind, synthesis.attributes["ganserve.rows"]) == ("client", 2)
    (line,) = traced.lines(trace)
    assert (line["event"], line["request_id"]) == ("request", answer.headers["x-request-id"])
    assert line["span_id"] == request.id


def test_super_resolution_shows_decoding_tiles_and_encoding(traced: Traced) -> None:
    files, data = {"image": ("a.png", PICTURE)}, {"model": "doubler"}
    answer, _, spans = traced.followed("POST", "/v1/super-resolution", files=files, data=data, computed=1)
    assert answer.status_code == 200
    assert tree(spans) == [
        "POST /v1/super-resolution",
        "  decode",
        "  queue",
        *inferred("doubler", depth=1),
        "  encode",
    ]


def test_a_stream_lasts_until_its_last_byte(traced: Traced) -> None:
    body = {"model": "toy", "keyframes": [{"seed": 1}, {"seed": 2}], "frames": 3, "space": "z"}
    accept = {"accept": "text/event-stream"}
    answer, _, spans = traced.followed("POST", "/v1/interpolate", json=body, headers=accept, computed=2)
    assert answer.text.count("event: frame") == 3
    request = server_span(spans)
    encoded = [span for span in spans if span.name == "encode"]
    assert len(encoded) == 3
    assert max(span.end for span in encoded) <= request.end
    assert {span.parent for span in spans if span.name in ("queue", "infer", "encode")} == {request.id}


def test_refused_requests_are_failed_spans_of_the_problems_type(traced: Traced) -> None:
    for path, body, slug in (
        ("/v1/generate", {"model": "nobody", "seed": 1}, "model-not-found"),
        ("/v1/generate", {"model": "toy", "seed": -1}, "invalid-request"),
        ("/v1/nowhere", {}, "not-found"),
    ):
        answer, trace = traced.asked("POST", path, json=body)
        assert answer.json()["type"].endswith(slug)
        (span,) = traced.finished(trace)
        said = span.attributes
        assert span.failed
        assert (said["error.type"], said["ganserve.outcome"]) == (slug, slug)
        assert said["http.response.status_code"] == answer.status_code
        assert span.name == ("POST" if slug == "not-found" else "POST /v1/generate")


def test_a_job_is_one_trace_from_its_request_to_its_webhook(traced: Traced) -> None:
    job = {
        "operation": "super-resolution",
        "model": "doubler",
        "webhook": {"url": traced.hook.url(), "secret": "whsec_" + "c2VjcmV0" * 4},
    }
    parts = [("job", (None, json.dumps(job))), ("files", ("a.png", PICTURE))]
    wanted = {"job", "job.item", "job.chunk", "job.webhook"}
    for last in [False] * (TRIES - 1) + [True]:  # see `Traced.followed`
        answer, trace = traced.asked("POST", "/v1/jobs", files=parts)
        assert answer.status_code == 202, answer.text
        assert wait_ended(traced.http, answer.json()["id"])["state"] == "succeeded"
        spans = traced.collector.wait(trace, lambda spans: wanted <= {span.name for span in spans})
        with contextlib.nullcontext() if last else contextlib.suppress(AssertionError):
            spans = traced.collector.wait(trace, lambda spans: "compute" in {span.name for span in spans}, 8)
            break
    lines = tree(spans)
    assert lines[:2] == ["POST /v1/jobs", "  job.create"]
    begins = lines.index("    job.chunk")
    assert lines[begins : begins + 11] == [
        "    job.chunk",
        "      job.item",
        "        read",
        "        queue",
        "        decode",
        "        queue",
        *inferred("doubler", depth=4),
        "        encode",
    ]
    assert lines[begins + 11] == "        write"
    assert {"    job", "    job.webhook"} <= set(lines)
    by_name = {span.name: span for span in spans}
    assert by_name["job.item"].service == "ganserve-worker"
    webhook = by_name["job.webhook"]
    received = traced.hook.received[-1]
    assert received.headers["traceparent"] == f"00-{trace}-{webhook.id}-01"
    assert webhook.attributes["http.response.status_code"] == 204
    metrics = f"http://127.0.0.1:{traced.worker_port}/metrics"
    for name in ("ganserve_job_item_seconds", "ganserve_infer_seconds"):
        assert trace in exemplars(metrics, name), name


def test_latencies_lead_to_traces(traced: Traced) -> None:
    _, trace = traced.asked("POST", "/v1/generate", json={"model": "toy", "seeds": [1]})
    url = f"{traced.up.url}/metrics"
    for name in ("request", "queue", "infer", "encode"):
        assert trace in exemplars(url, f"ganserve_{name}_seconds"), name
    plain = httpx.get(url, trust_env=False)
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text


def test_probes_and_scrapes_are_no_requests_to_trace(traced: Traced) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert traced.http.get(path).status_code == 200
    _, trace = traced.asked("GET", "/v1/models")  # what came before it has been sent once this has
    traced.finished(trace)
    roots = {(span.service, span.name) for span in traced.collector.all() if not span.parent}
    # Those of requests that brought no `traceparent`; no library adds any of its own, nor does Triton.
    assert roots <= {("ganserve-gateway", f"GET /v1/{of}") for of in ("models", "jobs", "jobs/{job}")}
