"""How a batch went: what is kept count of, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from service.client.job_results import reason_of


@dataclass(frozen=True)
class Failure:
    """An image that could not be made.

    Attributes:
        name: As the server was told, or as it found it.
        problem: Why, as RFC 9457 has it.
        job: Id of the job; None if it was never sent.
        n: Its number in the job.
    """

    name: str
    problem: Mapping[str, Any]
    job: str | None = None
    n: int | None = None

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return reason_of(self.problem)

    def report(self) -> dict[str, Any]:
        """As `--report` and `--json` write it."""
        return {
            "name": self.name,
            "reason": self.reason,
            "problem": dict(self.problem),
            "job": self.job,
            "n": self.n,
        }


@dataclass
class Outcome:
    """How a batch went; right at any moment.

    Attributes:
        made: Results that are where they belong now, and were not when the command began.
        kept: Those that had been.
        failures: Images that could not be made, in this run or an earlier one.
        failed_before: How many of those were of an earlier run.
        cancelled: Images of jobs that somebody cancelled.
        jobs: Ids of the jobs that were worked on.
        stopped: Why the command ended before its time; None if it did not.
        passes: Whether the same command may well succeed later, if it did.
        seconds: How long it took.
    """

    made: int = 0
    kept: int = 0
    failures: list[Failure] = field(default_factory=list)
    failed_before: int = 0
    cancelled: int = 0
    jobs: list[str] = field(default_factory=list)
    stopped: str | None = None
    passes: bool = True
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything is there."""
        return not self.failures and not self.cancelled and self.stopped is None

    def report(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "made": self.made,
            "kept": self.kept,
            "failed": len(self.failures),
            "cancelled": self.cancelled,
            "seconds": round(self.seconds, 3),
            "rate": round(self.made / self.seconds, 3) if self.seconds else None,
            "stopped": self.stopped,
            "jobs": self.jobs,
            "failures": [failure.report() for failure in self.failures],
        }

    def sentence(self, out: str | Path) -> str:
        """The last line on the terminal.

        Args:
            out: Where results are, as typed.
        """
        text = f"{self.made:,} {'image' if self.made == 1 else 'images'} in {out}"
        if self.made and self.seconds >= 1:
            text += f" ({self.made / self.seconds:.1f}/s, {_duration(self.seconds)})"
        if self.kept:
            text += f", {self.kept:,} {'was' if self.kept == 1 else 'were'} there already"
        if self.cancelled:
            text += f", {self.cancelled:,} cancelled"
        return f"{text}, {len(self.failures):,} failed" if self.failures else text


class Watcher(Protocol):
    """Is told how a batch goes."""

    def total(self, count: int) -> None:
        """How many images there are to make, as far as is known."""

    def done(self, count: int) -> None:
        """How many of them nothing more will be done about."""

    def failed(self, failure: Failure) -> None:
        """One cannot be made."""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
