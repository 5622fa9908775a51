"""Ten seconds of what `make soak` does for ten minutes."""

import pytest

from tests.benchmarks.soak import Plan, soak
from tests.benchmarks.soak_report import report


@pytest.mark.thorough
def test_everything_at_once() -> None:
    soaked = soak(Plan(seconds=10, clients=24, reload_seconds=3, sample_seconds=0.5))
    text = report(soaked)
    assert not soaked.wrong, text
    assert soaked.reloads >= 1, text
    answered = {name for name, outcomes in soaked.outcomes.items() if outcomes["200"] or name == "bad input"}
    # In ten seconds at saturation a rare call of many images may have met nothing but honest refusals.
    assert len(soaked.outcomes.keys() - answered) <= 2, text
    assert sum(outcomes["hung up"] for outcomes in soaked.outcomes.values()) > 0, text
    assert soaked.growth("gateway") < 20e6, text
