"""The progress bar of commands that make many files; on stderr, so that stdout can be piped."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(
            f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="progress.data.speed"
        )


def progress_bar() -> Progress:
    """A bar with count, rate and the time that is left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def print_beside(progress: Progress, message: str) -> None:
    """A line above the bar.

    Args:
        progress: The bar.
        message: Plain text.
    """
    progress.console.print(message, markup=False, highlight=False, soft_wrap=True)
