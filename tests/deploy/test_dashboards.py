"""Dashboards and rules as files: what is committed is what is generated, and Grafana can import it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.absent import ABSENT_WITHOUT_GPU
from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.files import generated
from deploy.grafana.panels import Dashboard
from deploy.grafana.promql import metrics, selectors
from deploy.grafana.schema import faults
from service.embedded.tritonserver import find_wheel

ROOT = Path(__file__).parents[2]


def test_what_is_committed_is_what_is_generated() -> None:
    files = generated()
    for path, text in files.items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is out of date: make dashboards"
    for folder in {path.parent for path in files if path.name != "runbook.md"}:
        assert {path for path in files if path.parent == folder} == {
            path.relative_to(ROOT) for path in (ROOT / folder).iterdir()
        }


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_can_be_imported(dashboard: Dashboard) -> None:
    found = dashboard.as_json()
    assert faults(found) == []
    assert json.loads(json.dumps(found)) == found
    assert len({panel.title + row.title for row in dashboard.rows for panel in row.panels}) == len(
        list(dashboard.panels())
    )


def test_dashboards_have_names_of_their_own() -> None:
    assert len({dashboard.uid for dashboard in DASHBOARDS}) == len(DASHBOARDS) == 4


def test_latency_panels_show_traces() -> None:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels():
            asked = [query for query in panel.queries if "request_seconds_bucket" in query.expression]
            if asked:
                assert any(query.exemplars for query in asked), panel.title


def _broken(path: str, value: Any) -> dict[str, Any]:
    found: Any = copy.deepcopy(DASHBOARDS[0].as_json())
    *parents, last = path.split(".")
    place = found
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return dict(found)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("panels.1.description", "", "the description says too little"),
        ("panels.1.id", 3, "two panels have one id"),
        ("panels.2.gridPos", {"x": 1, "y": 1, "w": 4, "h": 5}, "lies on"),
        ("panels.2.gridPos", {"x": 22, "y": 90, "w": 4, "h": 5}, "beside the grid"),
        ("panels.1.fieldConfig.defaults.unit", "furlongs", "the unit 'furlongs'"),
        ("panels.1.targets", [], "each with a refId of its own"),
        ("panels.1.datasource", {"uid": "mine"}, "is not the one that is chosen"),
        ("panels.1.fieldConfig.defaults.thresholds.steps", [{"value": 1, "color": "red"}], "begin with null"),
        ("templating.list", [{"name": "datasource"}], "the variable namespace is not there"),
        ("schemaVersion", 16, "another schemaVersion"),
        ("unheard", 1, "unheard is unknown"),
    ],
)
def test_what_is_wrong_with_a_dashboard_is_seen(path: str, value: Any, complaint: str) -> None:
    assert any(complaint in fault for fault in faults(_broken(path, value)))


def test_triton_knows_the_metrics_that_no_test_can_scrape() -> None:
    (library,) = find_wheel().libraries.glob("libtritonserver*.so*")
    content = library.read_bytes()
    for name in ABSENT_WITHOUT_GPU:
        if name.startswith("nv_"):  # the compiler takes longer texts apart
            assert name.encode()[:16] in content, name
    assert b"nv_gpu_memory_of" not in content


def test_metrics_are_found_in_promql() -> None:
    asked = (
        'sum by (le, model) (rate(a_bucket{job=~"x|b{c}", le="1.0"}[$__rate_interval] offset 1m)) / '
        "on (model) group_left (team) (max(up) > bool 0) or "
        'label_replace(b:c, "d", "$1", "e", "f_g") unless time() > 1e6'
    )
    assert selectors(asked) == ['a_bucket{job=~"x|b{c}", le="1.0"}', "up", "b:c"]
    assert metrics("histogram_quantile(0.9, sum(rate(x_bucket[5m])) by (le)) and y") == {"x_bucket", "y"}
