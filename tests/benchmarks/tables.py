"""What a measurement is asked for, and how its result is shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    images: int
    repositories: tuple[Path, ...]
    seconds: float = 4
    rounds: int = 5


@dataclass(frozen=True)
class Row:
    """One line of a table: milliseconds per image.

    Attributes:
        name: What was measured.
        p50: Median latency.
        p95: 95th percentile of the latency.
        cpu: CPU time of the process measured, None if it is not known.
        baseline: Whether the other rows are shown as ratios to this one.
    """

    name: str
    p50: float
    p95: float
    cpu: float | None = None
    baseline: bool = False


@dataclass(frozen=True)
class Table:
    """Rows that belong together, the baseline first."""

    title: str
    rows: list[Row]


def show(table: Table | str) -> None:
    """Prints a table, every row beside its ratio to the baseline.

    Args:
        table: What was measured; or a line of a table of another shape.
    """
    if isinstance(table, str):
        print(table, flush=True)
        return
    baseline = next((row for row in table.rows if row.baseline), None)
    print(f"\n{table.title}")
    print(f"  {'milliseconds per image':28} {'p50':>8} {'p95':>8} {'CPU':>8} {'adds':>8} {'p50 ratio':>10}")
    for row in table.rows:
        cpu = "" if row.cpu is None else f"{row.cpu:.2f}"
        ratio = "" if baseline is None else f"{row.p50 / baseline.p50:.2f}"
        known = baseline is not None and baseline.cpu is not None and row.cpu is not None and not row.baseline
        adds = f"{row.cpu - baseline.cpu:+.2f}" if known else ""
        print(f"  {row.name:28} {row.p50:8.2f} {row.p95:8.2f} {cpu:>8} {adds:>8} {ratio:>10}")
    sys.stdout.flush()
