"""Alerts about what is promised to clients."""

from __future__ import annotations

from deploy.grafana.alert import Alert, Case
from deploy.grafana.objectives import BUDGET_WINDOW, LEAST_REQUESTS, PAGED, TICKETED, Burn

OVERVIEW = "ganserve-overview"


def _burning(burns: tuple[Burn, ...]) -> str:
    pairs = [
        f"(ganserve:slo_burn:rate{burn.long} > {burn.rate:g} and "
        f"ganserve:slo_burn:rate{burn.short} > {burn.rate:g})"
        for burn in burns
    ]
    within = burns[0].long
    seconds = {"1h": 3600, "1d": 86400}[within]
    enough = f"avg_over_time(ganserve:slo_requests:rate5m[{within}]) * {seconds} > {LEAST_REQUESTS}"
    return f"({' or '.join(pairs)})\nand {enough}"


def _burn_case(rates: dict[str, float], requests: float, fires: bool, value: str = "") -> Case:
    series = {
        f'ganserve:slo_burn:rate{window}{{objective="availability", namespace="gan"}}': f"{rate}+0x40"
        for window, rate in rates.items()
    }
    series['ganserve:slo_requests:rate5m{objective="availability", namespace="gan"}'] = f"{requests}+0x40"
    labels = {"objective": "availability", "namespace": "gan"} if fires else None
    return Case(series, labels=labels, value=value)


_LOOK = (
    "Open the dashboard: errors by outcome name the problem type, the latency panels the part that is slow."
)

OBJECTIVE_ALERTS = (
    Alert(
        "GanserveErrorBudgetBurnsFast",
        "page",
        f"ganserve:slo_burn:rate{PAGED[0].long}",
        f"> {PAGED[0].rate:g}",
        "2m",
        "The error budget of {{ $labels.objective }} burns {{ $value | humanize }} times too fast",
        "At this pace the errors allowed for 30 days are used up within days: clients see failures, or wait, "
        "now. The objective is {{ $labels.objective }}.",
        (
            _LOOK,
            "Outcome triton-unavailable, model-unavailable or inference-failed: go on with "
            "GanserveTritonDown "
            "or GanserveModelFailing.",
            "Outcome queue-full or deadline-exceeded: go on with GanserveQueueSaturated.",
            "Did it begin with a rollout or a new model version (marked on the dashboard)? Take that back.",
        ),
        OVERVIEW,
        (
            _burn_case({"1h": 20, "5m": 30, "6h": 4, "30m": 25}, 1, True, "20"),
            _burn_case({"1h": 2, "5m": 9, "6h": 7, "30m": 8}, 1, True, "7"),
            _burn_case({"1h": 20, "5m": 0.2, "6h": 4, "30m": 8}, 1, False),
            _burn_case({"1h": 20, "5m": 30, "6h": 4, "30m": 25}, 0.001, False),
        ),
        expression=_burning(PAGED),
    ),
    Alert(
        "GanserveErrorBudgetBurnsSlowly",
        "ticket",
        f"ganserve:slo_burn:rate{TICKETED[1].long}",
        f"> {TICKETED[1].rate:g}",
        "15m",
        "The error budget of {{ $labels.objective }} burns {{ $value | humanize }} times too fast",
        "Nobody has to get up, but at this pace the objective {{ $labels.objective }} is missed this month.",
        (
            _LOOK,
            "Compare models and operations: one of them alone often does it; its queue limit, its "
            "instances or its "
            "batch size can be changed without the others.",
            "If it is load, add capacity: deploy/README.md has the arithmetic.",
        ),
        OVERVIEW,
        (
            _burn_case({"1d": 4, "2h": 3.5, "3d": 0.5, "6h": 2}, 1, True, "4"),
            _burn_case({"1d": 2, "2h": 2, "3d": 1.5, "6h": 1.2}, 1, True, "1.5"),
            _burn_case({"1d": 4, "2h": 0.1, "3d": 0.9, "6h": 2}, 1, False),
        ),
        expression=_burning(TICKETED),
    ),
    Alert(
        "GanserveErrorBudgetSpent",
        "ticket",
        f"ganserve:slo_budget:left{BUDGET_WINDOW}",
        "< 0",
        "15m",
        "The error budget of {{ $labels.objective }} is spent",
        "Over the last 30 days more requests failed the objective {{ $labels.objective }} than were "
        "allowed to; "
        "{{ $value | humanizePercentage }} of the budget is left.",
        (
            "Put off what risks more of it: rollouts, new model versions, experiments.",
            "Find what spent it: the burn rate panel over 30 days shows when.",
            "If the goal is not what users need, change it in deploy/grafana/objectives.py.",
        ),
        OVERVIEW,
        (
            Case(
                {'ganserve:slo_budget:left30d{objective="latency", namespace="gan"}': "-0.2+0x40"},
                labels={"objective": "latency", "namespace": "gan"},
                value="-20%",
            ),
            Case({'ganserve:slo_budget:left30d{objective="latency", namespace="gan"}': "0.01+0x40"}),
        ),
    ),
)
