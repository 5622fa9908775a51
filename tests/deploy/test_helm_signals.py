"""By what pods are scaled, and from where metrics are scraped."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.telemetry.jobs import BacklogCollector, Standing
from service.telemetry.metrics import Metrics
from tests.deploy.helm_chart import (
    CHART,
    VALUE_FILES,
    Object,
    containers,
    find,
    pod_of,
    rendered,
    workloads,
)
from tests.operator_tools import tool

ADAPTER = CHART.parent / "prometheus-adapter.values.yaml"


def _signals() -> dict[str, str]:
    """Every query that pods are scaled by."""
    queries = {
        f"{values} {trigger['name']}": trigger["metadata"]["query"]
        for values in VALUE_FILES
        for each in rendered(values, sets=_SCALED.get(values, ()))
        if each["kind"] == "ScaledObject"
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    }
    rules = yaml.safe_load(ADAPTER.read_text("utf-8"))["rules"]
    for rule in (*rules["custom"], *rules["external"]):
        query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="images"')
        queries[rule["name"]["as"]] = query.replace("<<.GroupBy>>", "namespace")
        queries[f"{rule['name']['as']} is there"] = rule["seriesQuery"]
    return queries


_SCALED = {"paired": ("gateway.autoscaling.engine=keda", "worker.autoscaling.engine=keda")}


def test_pods_are_scaled_by_metrics_that_exist(tmp_path: Path) -> None:
    metrics = Metrics()
    collector = BacklogCollector(CollectorRegistry(), Standing)
    asyncio.run(collector.refresh())
    exported = {
        f"{family.name}{suffix}"
        for family in (*metrics.registry.collect(), *collector.collect())
        for suffix in (("_bucket", "_sum", "_count") if family.type == "histogram" else ("", "_total"))
    }
    queries = _signals()
    assert {
        "gpu-production pending-items",
        "gpu-production oldest-pending",
        "paired queue-depth",
        "paired queue-wait",
    } <= set(queries)
    for name, query in queries.items():
        asked = set(re.findall(r"\bganserve_[a-z_]+", query))
        assert asked, name
        assert asked <= exported, (name, asked - exported)
    # And they are PromQL.
    rules = [{"record": f"signal:{n}", "expr": query} for n, query in enumerate(queries.values())]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "signals", "rules": rules}]}))
    done = subprocess.run(
        [tool("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_signals_have_the_values_they_should(tmp_path: Path) -> None:
    """By Prometheus itself, of two gateways that show one backlog."""
    series = [
        (f'{name}{{namespace="images",service="x-ganserve",pod="{pod}",{label}}}', value)
        for pod in ("a", "b")
        for name, label, value in (
            ("ganserve_jobs_pending_items", 'operation="generate"', 100),
            ("ganserve_jobs_pending_items", 'operation="translate"', 20),
            ("ganserve_jobs_running_items", 'operation="generate"', 8),
            ("ganserve_jobs_running_items", 'operation="translate"', 0),
            ("ganserve_jobs_unlisted", 'operation="translate"', 1),
            ("ganserve_jobs_oldest_pending_seconds", 'operation="generate"', 90),
            ("ganserve_jobs_oldest_pending_seconds", 'operation="translate"', 400),
            ("ganserve_queue_depth", 'model="terrain"', 7),
            ("ganserve_queue_seconds_bucket", 'model="terrain",le="0.5"', 3),
            ("ganserve_queue_seconds_bucket", 'model="terrain",le="+Inf"', 3),
        )
    ]
    expected = {
        "gpu-production pending-items": 129,
        "gpu-production oldest-pending": 400,
        "paired queue-depth": 14,
        "paired queue-wait": 0,  # nobody came lately
        "ganserve_jobs_backlog_items": 129,
        "ganserve_jobs_oldest_pending_seconds": 400,
        "ganserve_queue_depth": 14,  # grouped by the namespace here, by the pod there
        "ganserve_queue_wait_seconds": 0,
    }
    queries = _signals()
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": f"{value}x40"} for name, value in series],
        "promql_expr_test": [
            {
                "expr": f"sum({queries[name]})",
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for name, value in expected.items()
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    rules = yaml.safe_load(ADAPTER.read_text("utf-8"))["rules"]
    given = {kind: {rule["name"]["as"] for rule in rules[kind]} for kind in ("custom", "external")}
    asked: dict[str, set[str]] = {"custom": set(), "external": set()}
    for each in rendered("paired"):
        if each["kind"] != "HorizontalPodAutoscaler":
            continue
        for metric in each["spec"]["metrics"]:
            if metric["type"] == "Pods":
                asked["custom"].add(metric["pods"]["metric"]["name"])
            if metric["type"] == "External":
                asked["external"].add(metric["external"]["metric"]["name"])
                labels: dict[str, Any] = metric["external"]["metric"]["selector"]["matchLabels"]
                # The label that the ServiceMonitor's target has.
                assert labels == {
                    "service": find(rendered("paired"), "Service", "x-ganserve")["metadata"]["name"]
                }
    assert asked == given
    depth = find(rendered("paired"), "HorizontalPodAutoscaler", "-gateway")["spec"]["metrics"]
    assert [each["pods"]["target"]["averageValue"] for each in depth if each["type"] == "Pods"] == [
        "24",
        "500m",
    ]


@pytest.mark.parametrize("values", ["gpu-production", "paired", "training", "cpu-minimal"])
def test_everything_that_has_metrics_is_scraped_once(values: str) -> None:
    objects = rendered(values, sets=("monitoring.serviceMonitor.enabled=true",))
    services = [each for each in objects if each["kind"] == "Service"]
    scraped = []
    for workload in workloads(objects):
        pod = pod_of(workload)
        labels = pod["metadata"]["labels"].items()
        for each in objects:
            if each["kind"] == "PodMonitor" and _matches(each["spec"]["selector"], dict(labels)):
                scraped += [
                    (workload["metadata"]["name"], end["port"]) for end in each["spec"]["podMetricsEndpoints"]
                ]
            if each["kind"] == "ServiceMonitor":
                for service in services:
                    if (
                        _matches(each["spec"]["selector"], service["metadata"]["labels"])
                        and service["spec"]["selector"].items() <= labels
                    ):
                        named = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
                        scraped += [
                            (workload["metadata"]["name"], named[end["port"]])
                            for end in each["spec"]["endpoints"]
                        ]
    there = {
        (workload["metadata"]["name"], port["name"])
        for workload in workloads(objects)
        for each in containers(pod_of(workload))
        for port in each.get("ports", ())
        if port["name"] == "http" or port["name"].endswith("-metrics")
    }
    # A PodMonitor keeps only the pods that have such a port.
    assert sorted(set(scraped) & there) == sorted(there)
    assert all(scraped.count(each) == 1 for each in there)


def _matches(selector: Object, labels: dict[str, str]) -> bool:
    return selector["matchLabels"].items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )
