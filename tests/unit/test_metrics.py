"""Metrics of the gateway: whose fault it was, what is there from the start, models that come and go."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.api.errors.problems import PROBLEMS
from service.telemetry.metrics import GOLDEN_MATCHES, MODEL_STATES, Metrics, ModelStanding, fault_of


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Values by name and label values, labels in order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        ("ok", "none"),
        ("not-modified", "none"),
        ("cancelled", "none"),
        ("disconnected", "client"),
        ("invalid-request", "client"),
        ("rate-limited", "client"),
        ("queue-full", "server"),
        ("deadline-exceeded", "server"),
        ("inference-failed", "server"),
    ],
)
def test_whose_fault_it_was(outcome: str, fault: str) -> None:
    assert fault_of(outcome) == fault


def test_every_problem_is_somebodys_fault() -> None:
    assert {fault_of(slug) for slug in PROBLEMS} == {"client", "server"}


def test_what_is_counted_of_requests() -> None:
    metrics = Metrics()
    assert samples(metrics)["ganserve_internal_errors_total",] == 0
    assert samples(metrics)["ganserve_rejected_total", "none", "queue-full"] == 0
    for outcome in ("ok", "ok", "internal-error", "not-found"):
        metrics.count_request("generate", "toy", outcome)
    found = samples(metrics)
    assert found["ganserve_internal_errors_total",] == 1
    assert found["ganserve_requests_total", "none", "toy", "generate", "ok"] == 2
    assert found["ganserve_requests_total", "server", "toy", "generate", "internal-error"] == 1
    assert found["ganserve_requests_total", "client", "toy", "generate", "not-found"] == 1


def test_models_come_and_go() -> None:
    metrics = Metrics()
    metrics.show_models(
        {"a": ModelStanding("1", "READY", "exact"), "b": ModelStanding(None, "FAILING", None)}
    )
    found = samples(metrics)
    assert [found["ganserve_model_state", "a", state] for state in MODEL_STATES] == [1, 0, 0, 0]
    assert [found["ganserve_model_state", "b", state] for state in MODEL_STATES] == [0, 0, 0, 1]
    assert [found["ganserve_model_golden", match, "a"] for match in GOLDEN_MATCHES] == [1, 0, 0]
    assert [found["ganserve_model_golden", match, "b"] for match in GOLDEN_MATCHES] == [0, 0, 0]
    assert found["ganserve_models",] == 1
    assert found["ganserve_model_info", "a", "1"] == 1
    assert ("ganserve_model_info", "b", "") not in found
    assert (found["ganserve_breaker_state", "a"], found["ganserve_breaker_state", "b"]) == (0, 1)
    assert found["ganserve_rejected_total", "a", "triton-queue-full"] == 0

    # A new version is refused, the older one serves on.
    metrics.show_models({"a": ModelStanding("1", "REFUSED", "exact")})
    found = samples(metrics)
    assert (found["ganserve_model_state", "a", "REFUSED"], found["ganserve_model_info", "a", "1"]) == (1, 1)
    assert not [
        key for key in found if key[0].startswith(("ganserve_model", "ganserve_break")) and "b" in key
    ]


def test_the_certificate_and_queues() -> None:
    metrics = Metrics()
    name = "ganserve_signing_certificate_expires_timestamp_seconds"
    assert (name,) not in samples(metrics)
    for second in (1, 2):
        metrics.watch_certificate(datetime.fromtimestamp(second, timezone.utc))
    metrics.watch_queue("toy", lambda: 7, 64)
    found = samples(metrics)
    assert found[name,] == 2
    assert (found["ganserve_queue_depth", "toy"], found["ganserve_queue_limit", "toy"]) == (7, 64)
