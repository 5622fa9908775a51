"""The progress bar of commands that make many files; on stderr, so that stdout can be piped."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text


class _RateColumn(ProgressColumn):
    """Files a second and the time that is left.

    Over the whole run: files come in bursts, of which Rich's own estimate makes thousands a second.
    """

    def render(self, task: Task) -> Text:
        if not task.completed or not task.elapsed:
            return Text("")
        rate = task.completed / task.elapsed
        text = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        if task.remaining:
            text += f", {timedelta(seconds=round(task.remaining / rate))} left"
        return Text(text, style="progress.remaining")


class _FailedColumn(ProgressColumn):
    """How many failed, if any did."""

    def render(self, task: Task) -> Text:
        failed = task.fields.get("failed", 0)
        return Text(f"{failed:,} failed", style="red") if failed else Text("")


def progress_bar() -> Progress:
    """A bar with count, rate, the time that is left, and the task's field `failed`."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        _FailedColumn(),
        console=Console(stderr=True),
    )


def print_beside(progress: Progress, message: str) -> None:
    """A line above the bar.

    Args:
        progress: The bar.
        message: Plain text.
    """
    progress.console.print(message, markup=False, highlight=False, soft_wrap=True)
