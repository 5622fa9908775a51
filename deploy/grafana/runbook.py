"""The runbook: every alert with what it means and what to do, as a page."""

from __future__ import annotations

from deploy.grafana.alerts import GROUPS

_TITLES = {
    "objectives": "Objectives",
    "gateways": "Gateways",
    "models": "Models and Triton",
    "jobs": "Batch jobs",
    "training": "Training",
}


def runbook() -> str:
    """Markdown, with one heading an alert."""
    lines = [
        "<!-- Written by `make dashboards` from deploy/grafana: change it there. -->",
        "# Runbook",
        "",
        "One section an alert: when it fires, what it means, what to do. `page` wakes somebody, `ticket` "
        "waits for",
        "the morning.",
    ]
    for group, alerts in GROUPS.items():
        lines += ["", f"## {_TITLES[group]}"]
        for alert in alerts:
            after = "at once" if alert.hold.startswith("0") else f"after {alert.hold}"
            lines += [
                "",
                f"### {alert.name}",
                "",
                f"*{alert.severity}, {after}; dashboard `{alert.dashboard}`.* {_plain(alert.summary)}.",
                "",
                _plain(alert.description),
                "",
                *(f"{n}. {_plain(step)}" for n, step in enumerate(alert.steps, 1)),
                "",
                "```promql",
                alert.rule_expression,
                "```",
            ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Without the templates of annotations."""
    for name in ("model", "operation", "objective", "instance", "job", "run", "namespace", "gpu_uuid"):
        text = text.replace(f"{{{{ $labels.{name} }}}}", f"*{name}*")
    while "{{" in text:
        before, _, rest = text.partition("{{")
        text = before + "*N*" + rest.partition("}}")[2]
    return text
