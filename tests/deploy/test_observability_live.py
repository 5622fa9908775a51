"""Dashboards and rules against the service itself, under a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.grafana.absent import ABSENT_WITHOUT_GPU
from deploy.grafana.alerts import ALERTS
from deploy.grafana.clock import Clock
from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import variables
from deploy.grafana.promql import metrics, selectors
from deploy.grafana.recording import recordings
from tests.observed_service import ObservedService
from tests.toy_repository import toy_golden, write_toy_repository

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "ganserve"
PATIENCE_SECONDS = 120

# They tell how fast the machine is that the tests run on.
OF_SPEED = {"GanserveTritonQueueing", "GanserveQueueSaturated", "GanserveWorkerSilent"}
# A scrape here has one second; on a busy machine a few in a row may take longer.
OF_SLOW_SCRAPES = {"GanserveGatewayDown", "GanserveTargetDown"}
# Shown once something has fired, which the tests see to.
OF_PROMETHEUS = {"ALERTS"}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedService]:
    service = ObservedService(tmp_path_factory.mktemp("observed"))
    yield service
    service.close()


def panel_queries() -> dict[str, str]:
    """Every query of every panel and variable, as Grafana sends it, by where it stands."""
    found = {}
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels():
            for n, query in enumerate(panel.queries):
                found[f"{dashboard.uid}: {panel.title} [{n}]"] = filled_in(query.expression)
    return found


def rule_queries() -> dict[str, str]:
    """What every rule looks at, whether or not it is alarming."""
    found = {alert.name: alert.value for alert in ALERTS}
    return found | {f"{rule.name} {rule.labels}": rule.name for rule in recordings(Clock())}


def filled_in(expression: str) -> str:
    """With all variables at `All`."""
    expression = expression.replace("$__rate_interval", "10s")
    for name in variables(expression):
        expression = expression.replace(f"${name}", ".*")
    return expression


def until(check: Callable[[], object], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, what()
        time.sleep(0.25)


def test_every_panel_and_every_rule_has_data(observed: ObservedService) -> None:
    missing = {
        name: query
        for name, query in {**panel_queries(), **rule_queries()}.items()
        if not metrics(query) & ABSENT_WITHOUT_GPU.keys()
    }
    assert len(missing) > 150

    def all_there() -> bool:
        for name, query in list(missing.items()):
            if observed.prometheus.values(query):
                del missing[name]
        return not missing

    until(all_there, lambda: missing)


def test_every_rule_is_evaluated(observed: ObservedService) -> None:
    rules = observed.prometheus.rules()
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == {alert.name for alert in ALERTS}
    until(
        lambda: all(rule["health"] == "ok" for rule in observed.prometheus.rules()),
        lambda: [rule for rule in observed.prometheus.rules() if rule["health"] != "ok"],
    )


def chart_queries() -> str:
    """What the chart scales by."""
    return "\n".join(path.read_text() for path in (CHART / "templates").rglob("*scaling*"))


def test_every_metric_and_label_that_is_named_is_scraped(observed: ObservedService) -> None:
    names = observed.prometheus.names()
    asked = list({**panel_queries(), **rule_queries()}.values()) + [alert.rule_expression for alert in ALERTS]
    for expression in asked:
        for selector in selectors(expression):
            name, _, matchers = selector.partition("{")
            if name in ABSENT_WITHOUT_GPU.keys() | OF_PROMETHEUS:
                continue
            assert name in names, expression
            labels = set().union(*(series.keys() for series in observed.prometheus.series(name)))
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers)) <= labels, expression
    for name in re.findall(r"\bganserve_\w+(?=\{)", chart_queries()):
        assert name in names, f"the chart scales by {name}"


def test_every_choice_of_a_dashboard_has_values(observed: ObservedService) -> None:
    for dashboard in DASHBOARDS:
        for variable in dashboard.variables:
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.values)
            assert asked is not None, variable
            selector, label = filled_in(asked[1]), asked[2]
            assert any(label in series for series in observed.prometheus.series(selector)), variable


def test_what_is_said_to_be_absent_is(observed: ObservedService) -> None:
    assert names_of_all() >= ABSENT_WITHOUT_GPU.keys()
    assert not ABSENT_WITHOUT_GPU.keys() & observed.prometheus.names()


def names_of_all() -> set[str]:
    return set().union(*(metrics(query) for query in {**panel_queries(), **rule_queries()}.values()))


def test_latencies_have_their_traces(observed: ObservedService) -> None:
    since = {"start": str(time.time() - 600), "end": str(time.time() + 600)}

    def trace_ids(metric: str) -> list[str]:
        found = observed.prometheus.ask("query_exemplars", query=metric, **since)
        return [exemplar["labels"]["trace_id"] for one in found for exemplar in one["exemplars"]]

    for metric in ("request", "queue", "infer", "encode"):
        name = f"ganserve_{metric}_seconds_bucket"
        until(lambda name=name: trace_ids(name), lambda name=name: name)  # type: ignore[misc]


def test_what_clients_make_up_makes_no_series(observed: ObservedService) -> None:
    with observed.service.client() as client:

        def series_after(attempt: int) -> set[str]:
            for n in range(20):
                made_up = f"x{attempt}-{n}"
                client.post("/v1/generate", json={"model": made_up, "seeds": [1]})
                client.get(f"/v1/models/{made_up}/images/1.{made_up}")
                client.get(f"/{made_up}?{made_up}", headers={"x-request-id": made_up, "x-api-key": made_up})
                client.request(made_up.upper().replace("-", ""), "/v1/generate")
                client.get(f"/v1/jobs/{made_up}/items/{n}")
            lines = client.get("/metrics").text.splitlines()
            return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

        first, second = series_after(0), series_after(1)
    assert not any("x0-" in name or "x1-" in name for name in second)
    assert len(second - first) <= 40, second - first  # of what the driver did meanwhile
    assert not [name for name in second - first if "generate" not in name and "job" not in name]


def alarmed(observed: ObservedService) -> set[str]:
    """Names of the alerts that are told now."""
    return {
        alert["labels"]["alertname"]
        for alert in observed.alertmanager.alerts()
        if alert["status"]["state"] == "active"
        and alert["labels"]["alertname"] not in OF_SPEED
        and not alert["labels"].get("objective", "").startswith("latency")
    }


def put_wrong_model(models: Path) -> None:
    """Puts other weights under the name `other`, with the golden images of the right ones."""
    write_toy_repository(models, name="other", patterns=2)
    wrong, right = toy_golden(2), toy_golden(1)
    for config in models.glob("other-*/config.pbtxt"):
        text = config.read_text()
        for part in ("pixels_sha256", "thumbnails"):
            for seed in right[part]:
                text = text.replace(wrong[part][seed], right[part][seed])
        config.write_text(text)


def test_the_right_alert_fires_and_resolves(observed: ObservedService) -> None:
    until(lambda: not alarmed(observed), lambda: alarmed(observed))
    observed.driver.rest()
    until(
        lambda: observed.prometheus.values("sum(ganserve_jobs_open)") == [0],
        lambda: observed.prometheus.values("ganserve_jobs_open"),
    )
    before = len(observed.notifications())

    observed.triton.kill()
    until(lambda: alarmed(observed) == {"GanserveTritonDown"}, lambda: alarmed(observed))
    told = ("pager", "firing", "GanserveTritonDown")
    until(lambda: told in observed.notifications()[before:], observed.notifications)
    others = {name for _, _, name in observed.notifications()[before:]} - OF_SPEED - OF_SLOW_SCRAPES
    assert others <= {"GanserveTritonDown", "GanserveErrorBudgetBurnsFast"}, others
    assert observed.prometheus.values('ALERTS{alertstate="firing", alertname="GanserveTritonDown"}') == [1]
    until(
        lambda: any(
            alert["labels"]["alertname"] == "GanserveTargetDown" and alert["status"]["inhibitedBy"]
            for alert in observed.alertmanager.alerts()
        ),
        observed.alertmanager.alerts,
    )

    # It comes back with another model in the place of one, whose card says the pixels of the right one.
    models = observed.triton.repository
    put_wrong_model(models)
    observed.triton.start()
    until(lambda: alarmed(observed) == {"GanserveModelRefused"}, lambda: alarmed(observed))
    until(
        lambda: ("pager", "resolved", "GanserveTritonDown") in observed.notifications()[before:],
        observed.notifications,
    )
    # What nobody was told of is not told to have ended either.
    until(
        lambda: ("pager", "firing", "GanserveModelRefused") in observed.notifications()[before:],
        observed.notifications,
    )
    query = 'max by (model) (ganserve_model_state{state="REFUSED"}) == 1'
    (refused,) = observed.prometheus.ask("query", query=query)["result"]
    assert refused["metric"] == {"model": "other"}

    write_toy_repository(models, name="other")
    with observed.service.client() as client:
        loaded = client.post("/v1/models/other/load")
        assert loaded.status_code == 200, loaded.text
    until(lambda: not alarmed(observed), lambda: alarmed(observed))
    until(
        lambda: ("pager", "resolved", "GanserveModelRefused") in observed.notifications()[before:],
        observed.notifications,
    )
