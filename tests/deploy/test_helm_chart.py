"""The Helm chart: what it accepts, and that Kubernetes accepts what it makes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from deploy.helm.values_schema import schema
from tests.deploy.helm_chart import (
    CHART,
    NEWEST,
    OLDEST,
    VALUE_FILES,
    VERSIONS,
    RenderError,
    find,
    helm,
    pod_of,
    problems,
    rendered,
)

ROOT = CHART.parents[2]


@pytest.mark.parametrize("values", VALUE_FILES)
def test_lint_has_nothing_to_say(values: str) -> None:
    helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{values}.yaml"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUE_FILES)
def test_every_object_is_valid_in_every_version_of_kubernetes(values: str, version: str) -> None:
    if values == "model-volume" and version == OLDEST:
        with pytest.raises(RenderError, match=r"image\.mount: volume needs Kubernetes 1\.33"):
            rendered(values, version=version)
        return
    assert problems(rendered(values, version=version), version) == []


def test_what_is_wrong_is_seen() -> None:
    """The validation itself: of core kinds and of custom ones."""
    objects = rendered("gpu-production")
    gateway = json.loads(json.dumps(find(objects, "Deployment", "-gateway")))
    gateway["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    route = json.loads(json.dumps(find(objects, "HTTPRoute", "ganserve")))
    route["spec"]["rules"][0]["timeouts"]["request"] = "60"
    found = problems((gateway, route), NEWEST)
    assert len(found) == 2
    assert "livenessprobe" in found[0]
    assert "timeouts.request" in found[1]


def test_the_schema_of_values_is_the_generated_one() -> None:
    written = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert written == schema(), (
        "python -m deploy.helm.values_schema > deploy/helm/ganserve/values.schema.json"
    )


def test_the_version_of_the_app_is_that_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert version is not None
    assert chart["appVersion"] == version[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("gatway.replicas=1", "additional properties 'gatway' not allowed"),
        ("settings.QUEUE_LIMITS=3", "additional properties 'QUEUE_LIMITS' not allowed"),
        ("settings.DATABASE_URL=postgresql://u:p@h/n", "additional properties 'DATABASE_URL' not allowed"),
        ("settings.PORT=80", "additional properties 'PORT' not allowed"),
        ("topology=sidecar", "value must be one of 'shared', 'paired'"),
        ("gateway.replicas=0", "minimum: got 0, want 1"),
        ("gateway.resources.limits.memory=lots", "'lots' does not match pattern"),
        ("triton.resources.limits=null", "missing property 'limits'"),
        ("images.gateway.digest=sha256:12", "does not match pattern"),
        ("worker.shutdown.stopTimeoutSeconds=5", "minimum: got 5, want 10"),
    ],
)
def test_values_that_do_not_exist_or_cannot_be_are_refused(change: str, said: str) -> None:
    with pytest.raises(RenderError, match=re.escape(said)):
        rendered("cpu-minimal", sets=(change,))


@pytest.mark.parametrize(
    ("values", "change", "said"),
    [
        ("cpu-minimal", "images.registry=", "images.registry: name the registry"),
        ("cpu-minimal", "images.gateway.tag=latest", "a tag that moves"),
        ("cpu-minimal", "auth.allowOpen=false", "auth: without keys"),
        ("cpu-minimal", "gateway.replicas=2", "several gateways share their jobs in PostgreSQL"),
        ("cpu-minimal", "gateway.shutdown.stopTimeoutSeconds=30", "a rollout cuts calls off"),
        ("cpu-minimal", "ingress.enabled=true", "ingress.host"),
        ("cpu-minimal", "gateway.service.type=LoadBalancer", "networkPolicy.clients"),
        ("gpu-production", "settings.OPEN_METRICS=false", "Prometheus is given no key"),
        ("gpu-production", "certificates.existingConfigMap=", "which has that file"),
        ("cpu-minimal", "httpRoute.enabled=true", "httpRoute.parentRefs"),
        ("cpu-minimal", "models.source=pvc", "models.pvc.existingClaim"),
        ("model-volume", "artifacts.url=", "one place for files of jobs"),
        ("model-volume", "models.image.digest=", "models have versions of their own"),
        ("model-volume", "gateway.maxSurge=0", "nothing could ever be replaced"),
        ("gpu-production", "gateway.autoscaling.queueDepth=20", "more gateways do not shorten the queue"),
        ("gpu-production", "gateway.autoscaling.cpuUtilization=0", "no signal"),
        ("paired", "worker.autoscaling.minReplicas=0", "only keda scales to 0"),
        ("gpu-production", "settings.DEFAULT_DEADLINE_SECONDS=85", "a rollout cuts calls off"),
        ("paired", "triton.flavour=cpu", "reads no object store"),
        ("training", "training.enabled=false", "nothing to install"),
        ("training", "training.runs.existingClaim=", "training.runs.existingClaim"),
    ],
)
def test_values_that_make_no_sense_together_are_refused_with_a_reason(
    values: str, change: str, said: str
) -> None:
    with pytest.raises(RenderError, match=re.escape(said)):
        rendered(values, sets=(change,))


def test_rules_and_dashboards_are_taken_as_they_are(tmp_path: Path) -> None:
    """Their braces are Prometheus's and Grafana's, not Helm's."""
    chart = tmp_path / "ganserve"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    rule = {"alert": "Full", "expr": "up == 0", "annotations": {"summary": "{{ $labels.model }} is full"}}
    (chart / "files/rules").mkdir(parents=True)
    (chart / "files/rules/a.yaml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": [rule]}]}))
    (chart / "files/rules/b.yaml").write_text(yaml.safe_dump({"groups": [{"name": "b", "rules": []}]}))
    (chart / "files/dashboards").mkdir()
    dashboard = {"title": "Overview", "templating": "{{model}} $__rate_interval"}
    (chart / "files/dashboards/overview.json").write_text(json.dumps(dashboard, indent=2))
    objects = rendered("gpu-production", chart=chart)
    groups = find(objects, "PrometheusRule", "ganserve")["spec"]["groups"]
    assert [group["name"] for group in groups] == ["a", "b"]
    assert groups[0]["rules"] == [rule]
    shown = find(objects, "ConfigMap", "-overview")
    assert json.loads(shown["data"]["overview.json"]) == dashboard
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert problems(objects, NEWEST) == []


def test_rules_and_dashboards_that_are_shipped_are_all_there() -> None:
    objects = rendered("gpu-production")
    names = [
        group["name"]
        for path in sorted(CHART.glob("files/rules/*.yaml"))
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    ]
    made = [each for each in objects if each["kind"] == "PrometheusRule"]
    assert [group["name"] for each in made for group in each["spec"]["groups"]] == names
    dashboards = {path.name: path.read_text("utf-8") for path in CHART.glob("files/dashboards/*.json")}
    shown = {
        name: text
        for each in objects
        if each["kind"] == "ConfigMap" and "grafana_dashboard" in each["metadata"]["labels"]
        for name, text in each["data"].items()
    }
    assert {name: json.loads(text) for name, text in shown.items()} == {
        name: json.loads(text) for name, text in dashboards.items()
    }
    assert all(len(text) < 900_000 for text in shown.values()), "an object has 1 MiB at most"


def test_alerts_link_to_where_the_runbook_can_be_read() -> None:
    objects = rendered("gpu-production", sets=("monitoring.prometheusRule.runbookUrl=https://example.com/r",))
    (made,) = (each for each in objects if each["kind"] == "PrometheusRule")
    rules = [rule for group in made["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(rules) > 30
    for rule in rules:
        link = rule["annotations"]["runbook_url"]
        assert link == f"https://example.com/r#{rule['alert'].lower()}"


def test_a_release_called_like_the_chart_has_short_names() -> None:
    objects = rendered("cpu-minimal", release="ganserve")
    gateway = find(objects, "Deployment", "-gateway")
    assert gateway["metadata"]["name"] == "ganserve-gateway"
    # Kubernetes would set GANSERVE_PORT=tcp://… for a Service of that name.
    assert pod_of(gateway)["spec"]["enableServiceLinks"] is False


def test_notes_say_where_to_go_on() -> None:
    notes = helm(
        "install", "x", str(CHART), "--namespace", "images", "--dry-run=client", "--values",
        str(CHART / "ci" / "paired.yaml"),
    )  # fmt: skip
    assert "https://images.example.com/v1/models" in notes
