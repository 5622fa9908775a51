"""What a soak found, as text."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WARM_UP = 0.25
"""Part of a soak after which memory should grow no more."""

WINDOW = 10.0
"""Seconds over which rates are taken."""

_MEGABYTE = 1e6
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Sample:
    """Resident memory at a time, in bytes: of the gateway, of Triton, and of all its models' processes."""

    seconds: float
    gateway: int
    triton: int
    models: int


@dataclass(frozen=True)
class Soaked:
    """What was done, and what was found.

    Attributes:
        seconds: The soak took.
        clients: That called at a time.
        queue_limit: Images of one model admitted at a time.
        outcomes: How calls ended, by their kind.
        latencies: Seconds that the gateway took for each answer with 200, by kind and model.
        waited: Seconds that clients waited for these.
        done: When images (or tiles) were answered, of which model, and how many.
        wrong: Answers that should not have been; empty if all is well.
        samples: Memory, in the order of time.
        reloads: How often models were changed.
        checked: How many different answers are known.
    """

    seconds: float
    clients: int
    queue_limit: int
    outcomes: dict[str, Counter[str]]
    latencies: dict[tuple[str, str], list[float]]
    waited: list[float]
    done: list[tuple[float, str, int]]
    wrong: list[str]
    samples: list[Sample]
    reloads: int
    checked: int

    def slope(self, who: str) -> float:
        """Bytes a minute by which a process grew after the warm-up: least squares."""
        points = [(s.seconds / 60, getattr(s, who)) for s in self._warm()]
        if len(points) < 3:
            return 0.0
        return statistics.linear_regression(*zip(*points, strict=True)).slope

    def growth(self, who: str) -> float:
        """Bytes between the medians of the first and the last quarter after the warm-up."""
        values = [getattr(sample, who) for sample in self._warm()]
        part = max(1, len(values) // 4)
        return statistics.median(values[-part:]) - statistics.median(values[:part])

    def bound(self, model: str) -> float:
        """Seconds that a full queue takes at the slowest rate at which the model was served in any window."""
        windows = max(1, int(self.seconds / WINDOW))
        served = [0] * windows
        for at, name, units in self.done:
            if name == model and at < windows * WINDOW:
                served[int(at / WINDOW)] += units
        return self.queue_limit * min(WINDOW, self.seconds) / max(1, min(served))

    def _warm(self) -> list[Sample]:
        start = WARM_UP * self.samples[-1].seconds
        return [sample for sample in self.samples if sample.seconds >= start]


def percentile(values: Sequence[float], percent: int) -> float:
    """Of some values, by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def report(soaked: Soaked) -> str:
    """The tables."""
    lines = [_head(soaked), "", *_latencies(soaked), "", *_outcomes(soaked), "", *_memory(soaked), ""]
    lines += [f"WRONG: {text}" for text in soaked.wrong[:50]]
    return "\n".join(lines).rstrip() + "\n"


def _head(soaked: Soaked) -> str:
    total = sum(outcome.total() for outcome in soaked.outcomes.values())
    answered = sum(len(values) for values in soaked.latencies.values())
    return (
        f"{soaked.seconds:.0f} s at saturation: {soaked.clients} clients, queue limit {soaked.queue_limit} "
        f"images a model, {soaked.reloads} times one model got other weights and one was unloaded.\n"
        f"{total} calls ({total / soaked.seconds:.0f}/s), {answered} answers with pixels, each compared with "
        f"one of {soaked.checked} answers known before: {len(soaked.wrong)} wrong."
    )


def _latencies(soaked: Soaked) -> list[str]:
    columns = " ".join(f"{column:>7}" for column in ("p50", "p95", "p99", "bound"))
    lines = [f"{'milliseconds in the gateway':34} {'model':22} {'count':>6} {columns}"]
    within = True
    for (name, model), values in sorted(soaked.latencies.items()):
        cells = " ".join(f"{percentile(values, percent) * 1e3:7.0f}" for percent in (50, 95, 99))
        bound = ""
        if model and not name.startswith("interpolate"):
            bound = f"{soaked.bound(model) * 1e3:7.0f}"
            if percentile(values, 99) > soaked.bound(model):
                within, bound = False, bound + " exceeded"
        lines.append(f"  {name:32} {model:22} {len(values):6} {cells} {bound}".rstrip())
    waited = " / ".join(f"{percentile(soaked.waited, percent) * 1e3:.0f}" for percent in (50, 95, 99))
    lines += [
        f"  bound: a queue of {soaked.queue_limit} images at the slowest rate at which images of the model",
        f"  were answered over {WINDOW:.0f} s; {'every' if within else 'not every'} p99 is within it. "
        "Animations take several turns and have none.",
        f"  The clients, which decode and compare what they get on the same cores, waited {waited} ms.",
    ]
    return lines


def _outcomes(soaked: Soaked) -> list[str]:
    kinds = sorted({kind for outcome in soaked.outcomes.values() for kind in outcome})
    lines = [f"{'outcomes':34} " + " ".join(f"{kind:>13}" for kind in kinds)]
    for name, outcome in sorted(soaked.outcomes.items()):
        lines.append(f"  {name:32} " + " ".join(f"{outcome[kind] or '':>13}" for kind in kinds))
    return lines


def _memory(soaked: Soaked) -> list[str]:
    lines = [f"{'resident memory, MB':34} {'start':>7} {'warm':>7} {'end':>7} {'slope a minute':>15}"]
    for who, title in (("gateway", "gateway"), ("triton", "Triton"), ("models", "its models' processes")):
        values = [getattr(sample, who) / _MEGABYTE for sample in soaked.samples]
        warm = values[int(len(values) * WARM_UP)]
        slope = soaked.slope(who) / _MEGABYTE
        lines.append(f"  {title:32} {values[0]:7.0f} {warm:7.0f} {values[-1]:7.0f} {slope:+15.2f}")
        lines.append(f"    {_sparkline(values)}")
    return lines


def _sparkline(values: Sequence[float], width: int = 80) -> str:
    """Medians of equal parts, from 0 to the largest."""
    parts = min(width, len(values))
    cuts = [len(values) * index // parts for index in range(parts + 1)]
    top = max(values)
    return "".join(_BARS[round(statistics.median(values[a:b]) / top * 8)] for a, b in pairwise(cuts))
