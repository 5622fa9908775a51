"""What is promised of the service, and when a broken promise wakes somebody: one table each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deploy.grafana.promql import pick

BUDGET_WINDOW: Final = "30d"
NOT_SERVED: Final = "healthz|readyz|metrics|docs|studio|studio-file|problem|problems|load|unload"
"""Operations that are no service to clients: probes, pages, and what operators do."""

DRAWN: Final = "generate|image|latents"
WORKED_ON: Final = "translate|super-resolution|style-mix|verify"


@dataclass(frozen=True)
class Objective:
    """A promise about requests.

    Attributes:
        name: Value of the label `objective`.
        title: For people.
        goal: Share of requests that are good.
        description: What is counted, and what is good.
        all: PromQL of the requests that count, a second, over `{window}`.
        bad: Of those that are not good.
    """

    name: str
    title: str
    goal: float
    description: str
    all: str
    bad: str


def _rate(metric: str, *matchers: str) -> str:
    return f"sum by (namespace) (rate({pick(metric, *matchers)}[WINDOW]))"


def _fast(name: str, operations: str, seconds: float, goal: float) -> Objective:
    served = f'operation=~"{operations}"'
    every = _rate("ganserve_request_seconds_count", served)
    good = _rate("ganserve_request_seconds_bucket", served, f'le="{seconds}"')
    return Objective(
        name,
        f"Answered within {seconds:g} s ({operations.replace('|', ', ')})",
        goal,
        f"Requests to {operations.replace('|', ', ')} that were answered to the last byte within "
        f"{seconds:g} s. Refused ones are counted, too, and are answered fast.",
        every,
        f"{every} - {good}",
    )


_SERVED: Final = f'operation!~"{NOT_SERVED}"'
_ALL: Final = _rate("ganserve_requests_total", _SERVED, 'fault!="client"')
_FAILED: Final = _rate("ganserve_requests_total", _SERVED, 'fault="server"')

OBJECTIVES: Final = (
    Objective(
        "availability",
        "Answered as asked",
        0.999,
        "Requests that ended well, of all but those that failed by the client's own fault (4xx, hung up).",
        _ALL,
        # Before the first failure there is no series of failures.
        f"({_FAILED} or 0 * {_ALL})",
    ),
    _fast("latency", DRAWN, 1.0, 0.99),
    _fast("latency-pictures", WORKED_ON, 10.0, 0.95),
)


@dataclass(frozen=True)
class Burn:
    """A pace at which the budget is spent, of 1 if all of it goes within its window.

    Attributes:
        long: Over which it has to have been as fast as that.
        short: And still is.
        rate: Times the pace that the budget allows.
    """

    long: str
    short: str
    rate: float


PAGED: Final = (Burn("1h", "5m", 14.4), Burn("6h", "30m", 6.0))
"""2 % of the budget in an hour, 5 % in six: somebody is woken."""

TICKETED: Final = (Burn("1d", "2h", 3.0), Burn("3d", "6h", 1.0))
"""10 % in a day, or in three: somebody looks at it in working hours."""

LEAST_REQUESTS: Final = 20
"""Fewer in the long window prove nothing: one that fails of two is not half an outage."""
