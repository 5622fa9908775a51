"""Rule files as Prometheus reads them, and promtool's tests of them."""

from __future__ import annotations

from typing import Any

import yaml

from deploy.grafana.alert import RUNBOOK, Alert, Case
from deploy.grafana.alerts import GROUPS
from deploy.grafana.clock import Clock
from deploy.grafana.recording import recordings

INTERVAL = "30s"
_HEAD = "# Written by `make dashboards` from deploy/grafana: change it there.\n"


def recording_file(clock: Clock | None = None, interval: str = INTERVAL) -> str:
    """The recording rules.

    Args:
        clock: Of their windows.
        interval: Between two evaluations.
    """
    rules = [
        {"record": rule.name, "expr": rule.expression, "labels": dict(rule.labels)}
        for rule in recordings(clock or Clock())
    ]
    return dumped({"groups": [{"name": "ganserve-slo", "interval": interval, "rules": rules}]})


def alert_file(
    group: str, clock: Clock | None = None, interval: str = INTERVAL, runbook: str = RUNBOOK
) -> str:
    """The alerts of a group.

    Args:
        group: A key of `GROUPS`.
        clock: Of how long things have to last.
        interval: Between two evaluations.
        runbook: URL of the runbook.
    """
    rules = [alert.rule(clock or Clock(), runbook) for alert in GROUPS[group]]
    return dumped({"groups": [{"name": f"ganserve-{group}", "interval": interval, "rules": rules}]})


def alert_tests(group: str, rules: str) -> str:
    """Cases of every alert of a group, for `promtool test rules`.

    Args:
        group: A key of `GROUPS`.
        rules: Path of the file with its alerts, as seen from the file with tests.
    """
    tests = [_test(alert, case) for alert in GROUPS[group] for case in alert.cases]
    return dumped({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests})


def recording_tests(rules: str) -> str:
    """What is recorded of a service where one request in a hundred fails, for `promtool test rules`."""
    labels = 'operation="generate", namespace="gan"'
    requests = f'ganserve_requests_total{{model="toy", outcome="%s", fault="%s", {labels}}}'
    series = {
        requests % ("ok", "none"): "0+99x400",
        requests % ("queue-full", "server"): "0+1x400",
        requests % ("invalid-request", "client"): "0+500x400",
        'ganserve_requests_total{fault="none", operation="healthz", namespace="gan"}': "0+60x400",
        f'ganserve_request_seconds_count{{model="toy", {labels}}}': "0+100x400",
        f'ganserve_request_seconds_bucket{{model="toy", le="1.0", {labels}}}': "0+98x400",
        f'ganserve_request_seconds_bucket{{model="toy", le="+Inf", {labels}}}': "0+100x400",
    }

    def expected(name: str, **values: float) -> dict[str, Any]:
        samples = [
            {"labels": f'{name}{{namespace="gan", objective="{objective}"}}', "value": value}
            for objective, value in values.items()
        ]
        # Sums of floats differ in the last digits; what is asked for is rounded.
        query = f"round({name}, 0.001)"
        for sample in samples:
            sample["labels"] = str(sample["labels"]).removeprefix(name)
        return {"expr": query, "eval_time": "390m", "exp_samples": samples}

    checks = [
        expected(f"ganserve:slo_burn:rate{window}", availability=10, latency=2)
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    ]
    checks += [
        expected("ganserve:slo_requests:rate5m", availability=1.667, latency=1.667),
        expected("ganserve:slo_good:ratio30d", availability=0.99, latency=0.98),
        expected("ganserve:slo_budget:left30d", availability=-9, latency=-1),
    ]
    quiet = {
        requests % ("ok", "none"): "0+10x20 200+0x40",
        f'ganserve_request_seconds_count{{model="toy", {labels}}}': "0+10x20 200+0x40",
        f'ganserve_request_seconds_bucket{{model="toy", le="1.0", {labels}}}': "0+10x20 200+0x40",
    }
    nothing = {"expr": "ganserve:slo_burn:rate5m", "eval_time": "51m", "exp_samples": []}
    no_failure = {
        "expr": 'ganserve:slo_burn:rate5m{objective="availability"}',
        "eval_time": "15m",
        "exp_samples": [
            {
                "labels": 'ganserve:slo_burn:rate5m{namespace="gan", objective="availability"}',
                "value": 0,
            }
        ],
    }
    tests = [
        {
            "name": "one in a hundred fails, two are slow",
            "interval": "1m",
            "input_series": _series(series),
            "promql_expr_test": checks,
        },
        {
            "name": "no failure yet, then no requests: nothing burns",
            "interval": "1m",
            "input_series": _series(quiet),
            "promql_expr_test": [no_failure, nothing],
        },
    ]
    return dumped({"rule_files": [rules], "evaluation_interval": "3m", "tests": tests})


def dumped(content: dict[str, Any]) -> str:
    """YAML for people: keys as they come, long texts in blocks."""
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _test(alert: Alert, case: Case) -> dict[str, Any]:
    expected: list[dict[str, Any]] = []
    if case.labels is not None:
        labels = {"severity": alert.severity, **alert.labels, **case.labels}
        expected.append({"exp_labels": labels, "exp_annotations": alert.told(case)})
    return {
        "name": f"{alert.name} {'fires' if expected else 'does not fire'}",
        "interval": "1m",
        "input_series": _series(case.series),
        "alert_rule_test": [{"eval_time": case.at, "alertname": alert.name, "exp_alerts": expected}],
    }


def _series(series: Any) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
