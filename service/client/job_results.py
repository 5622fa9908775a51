"""What calls about batch jobs return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ENDED = ("succeeded", "failed", "cancelled")
"""States of jobs and items that nothing more will happen to by itself."""


@dataclass(frozen=True)
class JobCounts:
    """Items of a job by state; `total` grows until the job is `listed`."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int

    @property
    def done(self) -> int:
        """Items that nothing more will happen to."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True)
class Job:
    """A batch job as it is now.

    Attributes:
        id: Its name.
        operation: `super-resolution`, `translate` or `generate`.
        model: Name of the model.
        state: `queued`, `running`, `succeeded` (if anything did), `failed` or `cancelled`.
        cancelling: What runs is being stopped.
        listed: Whether all its sources have become items.
        counts: Of items.
        priority: `high`, `normal` or `low`.
        created_at: When it was accepted, with its time zone.
        started_at: When a worker took it up.
        ended_at: When its last item was done.
        expires_at: When it is deleted with its files.
        destination: URL that outputs are written below; None if they are kept with the job.
        metadata: As it was sent.
        problem: Why the job as a whole failed, as RFC 9457 has it.
        report: Everything the server says, as plain JSON values.
    """

    id: str
    operation: str
    model: str
    state: str
    cancelling: bool
    listed: bool
    counts: JobCounts
    priority: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    destination: str | None
    metadata: Mapping[str, str]
    problem: Mapping[str, Any] | None
    report: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class ItemOutput:
    """What became of an item.

    Attributes:
        name: Below the job's destination, or among its outputs.
        url: On storage; None if it is kept with the job, as `job_output` gets it.
        size: In bytes.
        media_type: Such as `image/png`.
        width: In pixels.
        height: In pixels.
        pixels_sha256: sha256 of the raw pixels.
        model_digest: Identifies the weights.
    """

    name: str
    url: str | None
    size: int
    media_type: str
    width: int
    height: int
    pixels_sha256: str
    model_digest: str


@dataclass(frozen=True)
class JobItem:
    """One item of a job as it is now.

    Attributes:
        n: Its number, from 0: files in the order in which they were sent, then what was found elsewhere.
        name: As it was sent or found; the seed, for generation.
        state: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        attempts: How often it was begun.
        output: What became of it, when it succeeded.
        problem: Why it failed, as RFC 9457 has it.
        timings: Seconds by stage.
        started_at: When the last attempt began.
        ended_at: When it was done.
        report: Everything the server says, as plain JSON values.
    """

    n: int
    name: str
    state: str
    attempts: int
    output: ItemOutput | None
    problem: Mapping[str, Any] | None
    timings: Mapping[str, float]
    started_at: datetime | None
    ended_at: datetime | None
    report: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in ENDED

    @property
    def reason(self) -> str:
        """Why it failed, in words; empty if it has not."""
        return reason_of(self.problem)


@dataclass(frozen=True)
class JobEvent:
    """Something about a job has changed.

    Attributes:
        id: What `job_events` can be asked to go on after.
        job: The job, if this tells of it.
        item: The item, if this tells of one.
    """

    id: str
    job: Job | None = None
    item: JobItem | None = None


@dataclass(frozen=True)
class SavedFile:
    """A file written to disk while it arrived.

    Attributes:
        path: Where it is.
        size: In bytes.
        media_type: As the server says.
    """

    path: Path
    size: int
    media_type: str


def reason_of(problem: Mapping[str, Any] | None) -> str:
    """A problem in one line.

    Args:
        problem: As the server says it; None if there is none.

    Returns:
        Its title and detail.
    """
    if problem is None:
        return ""
    parts = (str(problem.get(member) or "").rstrip(".") for member in ("title", "detail"))
    return ". ".join(part for part in parts if part) or "no reason was given"


def job_of(members: Mapping[str, Any]) -> Job:
    """A job from a JSON answer.

    Args:
        members: One object.
    """
    counts = members["counts"]
    return Job(
        id=members["id"],
        operation=members["operation"],
        model=members["model"],
        state=members["state"],
        cancelling=members["cancelling"],
        listed=members["listed"],
        counts=JobCounts(**{name: counts[name] for name in JobCounts.__dataclass_fields__}),
        priority=members["priority"],
        created_at=_moment(members["created_at"]),
        started_at=_time(members["started_at"]),
        ended_at=_time(members["ended_at"]),
        expires_at=_time(members["expires_at"]),
        destination=members["destination"],
        metadata=members["metadata"],
        problem=members["problem"],
        report=members,
    )


def item_of(members: Mapping[str, Any]) -> JobItem:
    """An item from a JSON answer.

    Args:
        members: One object.
    """
    output = members["output"]
    return JobItem(
        n=members["n"],
        name=members["name"],
        state=members["state"],
        attempts=members["attempts"],
        output=None
        if output is None
        else ItemOutput(
            name=output["name"],
            url=output.get("url"),
            size=output["size"],
            media_type=output["media_type"],
            width=output["width"],
            height=output["height"],
            pixels_sha256=output["pixels_sha256"],
            model_digest=output["model_digest"],
        ),
        problem=members["problem"],
        timings=members["timings"],
        started_at=_time(members["started_at"]),
        ended_at=_time(members["ended_at"]),
        report=members,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)


def _moment(text: str) -> datetime:
    # Python 3.10 reads no Z.
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
