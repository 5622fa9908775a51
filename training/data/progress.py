"""How far the checking of a dataset is, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from training.data.store import Progress as Report
from training.data.store import no_progress


@contextmanager
def reading(console: Console | None) -> Iterator[Report]:
    """A callback that shows one bar for each thing it is told of; silent without a console."""
    if console is None:
        yield no_progress
        return
    with Progress(console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield report
