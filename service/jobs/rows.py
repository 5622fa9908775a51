"""Rows of the tables as records, and records as rows."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.jobs.records import (
    Counts,
    Item,
    ItemSource,
    ItemState,
    Job,
    JobSpec,
    JobState,
    Output,
    Seed,
    StoredObject,
    UploadedFile,
    ZipEntry,
)

_SOURCE: TypeAdapter[UploadedFile | ZipEntry | StoredObject | Seed] = TypeAdapter(ItemSource)


def job_of(row: sa.RowMapping, running: int) -> Job:
    """A row of the table of jobs.

    Args:
        row: All columns.
        running: How many items are, which is counted in the other table.

    Returns:
        The job.
    """
    done = row["succeeded"] + row["failed"] + row["cancelled"]
    counts = Counts(
        row["total"],
        max(0, row["total"] - done - running),
        running,
        row["succeeded"],
        row["failed"],
        row["cancelled"],
    )
    return Job(
        key=row["key"],
        id=row["id"],
        owner=row["owner"],
        spec=JobSpec.model_validate_json(row["spec"]),
        priority=row["priority"],
        state=JobState(row["state"]),
        cancelling=row["cancelling"],
        listed=row["listed"],
        counts=counts,
        revision=row["revision"],
        round=row["round"],
        chunk_size=row["chunk_size"],
        created_at=row["created_at"] / 1000,
        started_at=_seconds(row["started_at"]),
        ended_at=_seconds(row["ended_at"]),
        expires_at=_seconds(row["expires_at"]),
        problem=_loaded(row["problem"]),
        traceparent=row["traceparent"],
        idempotency_key=row["idempotency_key"],
    )


def item_of(row: sa.RowMapping) -> Item:
    """A row of the table of items.

    Args:
        row: All columns.

    Returns:
        The item.
    """
    output = _loaded(row["output"])
    return Item(
        n=row["n"],
        name=row["name"],
        source=_SOURCE.validate_json(row["source"]),
        state=ItemState(row["state"]),
        attempts=row["attempts"],
        suspect=row["suspect"],
        output_name=row["output_name"],
        output=None if output is None else Output(*output),
        problem=_loaded(row["problem"]),
        timings=_loaded(row["timings"]) or {},
        started_at=_seconds(row["started_at"]),
        ended_at=_seconds(row["ended_at"]),
        revision=row["revision"],
    )


def dumped_output(output: Output | None) -> str | None:
    """An output as it is stored: a list, since names would be most of it."""
    if output is None:
        return None
    return dumped(
        [
            output.size,
            output.media_type,
            output.width,
            output.height,
            output.pixels_sha256,
            output.model_digest,
        ]
    )


def dumped(value: Any) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
