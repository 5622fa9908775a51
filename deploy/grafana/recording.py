"""Recording rules: for every objective what was asked, how fast the budget burns, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.grafana.clock import Clock
from deploy.grafana.objectives import BUDGET_WINDOW, OBJECTIVES, PAGED, TICKETED, Objective

SUMMED = ("1d", "3d", BUDGET_WINDOW)
"""Windows so long that they are summed from the rates of five minutes."""

_BURNS = (*PAGED, *TICKETED)
WINDOWS = tuple(
    dict.fromkeys([burn.short for burn in _BURNS] + [burn.long for burn in _BURNS] + [BUDGET_WINDOW])
)


@dataclass(frozen=True)
class Recording:
    """One recorded series.

    Attributes:
        name: `level:metric:operation`, as is usual.
        expression: PromQL.
        labels: Put on it.
    """

    name: str
    expression: str
    labels: dict[str, str] = field(default_factory=dict)


def recordings(clock: Clock) -> list[Recording]:
    """All of them, each after those that it reads.

    Args:
        clock: Of the windows.
    """
    return [rule for objective in OBJECTIVES for rule in _of(objective, clock)]


def _of(objective: Objective, clock: Clock) -> list[Recording]:
    labels = {"objective": objective.name}
    spent = f"{1 - objective.goal:.6g}"
    rules = [
        Recording(f"ganserve:slo_{what}:rate5m", query.replace("WINDOW", clock("5m")), labels)
        for what, query in (("requests", objective.all), ("bad", objective.bad))
    ]
    for window in WINDOWS:
        if window in SUMMED:
            every, bad = (
                f'sum_over_time(ganserve:slo_{what}:rate5m{{objective="{objective.name}"}}[{clock(window)}])'
                for what in ("requests", "bad")
            )
        else:
            every, bad = (query.replace("WINDOW", clock(window)) for query in (objective.all, objective.bad))
        # Where nothing was asked there is nothing to tell.
        burn = f"({bad}) / ({every} > 0) / {spent}"
        rules.append(Recording(f"ganserve:slo_burn:rate{window}", burn, labels))
    budget = f'ganserve:slo_burn:rate{BUDGET_WINDOW}{{objective="{objective.name}"}}'
    rules += [
        Recording(f"ganserve:slo_good:ratio{BUDGET_WINDOW}", f"1 - {budget} * {spent}", labels),
        Recording(f"ganserve:slo_budget:left{BUDGET_WINDOW}", f"1 - {budget}", labels),
    ]
    return rules
