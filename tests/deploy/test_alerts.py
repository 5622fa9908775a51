"""Rules as promtool reads them, each with a case in which it fires and one in which it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana.alerts import ALERTS, GROUPS
from deploy.grafana.clock import Clock
from deploy.grafana.objectives import OBJECTIVES
from deploy.grafana.recording import recordings
from tests.operator_tools import tool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "helm" / "ganserve" / "files" / "rules"
PROMETHEUS = ROOT / "deploy" / "prometheus"


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [tool("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_the_rules() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.iterdir()))
    assert said.count("SUCCESS") == len(GROUPS) + 1


@pytest.mark.parametrize("group", [*GROUPS, "recording"])
def test_rules_do_what_they_say(group: str) -> None:
    promtool("test", "rules", PROMETHEUS / "tests" / f"{group}_test.yaml")


def test_every_alert_has_both_cases() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        fires = [case.labels is not None for case in alert.cases]
        assert {True, False} <= set(fires), alert.name


def test_a_case_that_does_not_hold_is_seen(tmp_path: Path) -> None:
    """What the tests above rely on: promtool looks at labels and annotations, too."""
    for change in ("severity: page", "No gateway answers"):
        text = (PROMETHEUS / "tests" / "gateways_test.yaml").read_text()
        text = text.replace("../../helm/ganserve/files/rules", str(RULES))
        assert change in text
        (tmp_path / "test.yaml").write_text(text.replace(change, change + "s"))
        with pytest.raises(AssertionError, match="FAILED"):
            promtool("test", "rules", tmp_path / "test.yaml")


def test_everybody_who_is_told_learns_what_to_do() -> None:
    runbook = (PROMETHEUS / "runbook.md").read_text()
    for alert in ALERTS:
        assert f"\n### {alert.name}\n" in runbook
        assert len(alert.steps) >= 2, alert.name
        assert all(step.endswith((".", "?")) for step in (*alert.steps, alert.description)), alert.name
        told = alert.annotations("https://example.com/runbook.md")
        assert told["runbook_url"] == f"https://example.com/runbook.md#{alert.name.lower()}"
        assert not told["summary"].endswith(".")
    assert "{{" not in runbook


def test_examples_are_in_order() -> None:
    assert "SUCCESS" in promtool("check", "config", PROMETHEUS / "prometheus.yml")
    checked = subprocess.run(
        [tool("amtool"), "check-config", PROMETHEUS / "alertmanager.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_inhibition_names_alerts_that_there_are() -> None:
    names = {alert.name for alert in ALERTS}
    config = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, value = matcher.partition("=")
            if label == "alertname":
                for name in value.strip("~").strip('"').replace(".*", "Fast").split("|"):
                    assert name in names, matcher


def test_objectives_can_be_measured() -> None:
    recorded = {rule.labels["objective"] for rule in recordings(Clock())}
    assert recorded == {objective.name for objective in OBJECTIVES}
    assert all(0.5 < objective.goal < 1 for objective in OBJECTIVES)


def test_a_scaled_clock() -> None:
    fast = Clock(1 / 60, shortest=5)
    assert (fast("1h"), fast("5m"), fast("30s"), fast.hold("30s"), fast.hold("0m")) == (
        "60s",
        "5s",
        "5s",
        "0s",
        "0s",
    )
    assert Clock()("30d") == "30d"
