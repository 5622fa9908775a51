"""What an alert is: its rule, what it means, what to do, and the cases it is tested with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from deploy.grafana.clock import Clock

Severity = Literal["page", "ticket"]
RUNBOOK: Final = "deploy/prometheus/runbook.md"

_TEMPLATE: Final = re.compile(r"\{\{ *\$(labels\.)?(\w+)[^}]*\}\}")


@dataclass(frozen=True)
class Case:
    """Series as promtool writes them, and whether the alert fires on them.

    Attributes:
        series: Values by selector, a minute apart, such as `1x30` or `0+5x30`.
        at: When it is looked.
        labels: Of the alert that then fires; None if none does.
        value: What `$value` is shown as in the annotations.
    """

    series: Mapping[str, str]
    at: str = "30m"
    labels: Mapping[str, str] | None = None
    value: str = ""


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        name: Begins with `Ganserve` or `Gantrain`.
        severity: `page` wakes somebody, `ticket` waits for the morning.
        value: PromQL that always has a value while the service is watched, whether or not it is alarming.
        alarming: Comparison that makes it an alert, such as `> 0.8`.
        hold: For how long it has to be so.
        summary: One line; may name `{{ $labels.x }}` and `{{ $value | humanize }}`, as the description may.
        description: What it means for clients.
        steps: What to do, in order.
        dashboard: uid of the dashboard to look at.
        cases: At least one that fires and one that does not.
        also: PromQL joined to it by a set operator, such as `and on (namespace) (…)`.
        expression: Instead of value and comparison, where those say too little.
    """

    name: str
    severity: Severity
    value: str
    alarming: str
    hold: str
    summary: str
    description: str
    steps: Sequence[str]
    dashboard: str
    cases: Sequence[Case]
    also: str = ""
    expression: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule_expression(self) -> str:
        """What Prometheus evaluates."""
        return self.expression or f"{self.value} {self.alarming}" + (f"\n{self.also}" if self.also else "")

    @property
    def anchor(self) -> str:
        """Of its section in the runbook."""
        return self.name.lower()

    def annotations(self, runbook: str) -> dict[str, str]:
        """What whoever is told reads.

        Args:
            runbook: URL of the runbook, without an anchor.
        """
        return {
            "summary": self.summary,
            "description": self.description,
            "action": " ".join(f"{n}. {step}" for n, step in enumerate(self.steps, 1)),
            "runbook_url": f"{runbook}#{self.anchor}",
            "dashboard": f"/d/{self.dashboard}",
        }

    def rule(self, clock: Clock, runbook: str = RUNBOOK) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.rule_expression,
            "for": clock.hold(self.hold),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": self.annotations(runbook),
        }

    def told(self, case: Case, runbook: str = RUNBOOK) -> dict[str, str]:
        """The annotations as they are filled in for a case that fires."""
        labels = case.labels or {}

        def filled(match: re.Match[str]) -> str:
            return labels.get(match[2], "") if match[1] else case.value

        return {name: _TEMPLATE.sub(filled, text) for name, text in self.annotations(runbook).items()}
