"""Inserting items, each with an output name of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from service.api.errors.problems import ProblemError, stored_problem
from service.jobs.database import Database
from service.jobs.naming import Named, output_names
from service.jobs.records import ItemState, JobSpec, NewItem, Seed
from service.jobs.rows import dumped
from service.jobs.tables import ITEMS, JOBS

ITEMS_A_REVISION: Final = 50
"""Most items that change at one revision, however many change together.

Whoever follows a job gets the items of a revision at once, and can be interrupted between revisions only.
"""

_ROWS_AT_ONCE: Final = 500


def last_revision(before: int, count: int) -> int:
    """The revision of a job of which items change together, the first ones at `before + 1`.

    Args:
        before: The revision until now.
        count: How many items there are, changed or not.
    """
    return before + 1 + max(0, count - 1) // ITEMS_A_REVISION


def insert_items(
    connection: sa.Connection, database: Database, key: int, spec: JobSpec, items: Sequence[NewItem]
) -> None:
    """Appends items to a job, within a transaction in which nobody else does.

    Args:
        connection: Of the transaction.
        database: For its clock.
        key: Of the job.
        spec: Of the job, which names the outputs.
        items: What is appended, in this order.
    """
    first, revision = connection.execute(
        sa.select(JOBS.c.total, JOBS.c.revision).where(JOBS.c.key == key)
    ).one()
    failed = 0
    for start in range(0, len(items), _ROWS_AT_ONCE):
        page = items[start : start + _ROWS_AT_ONCE]
        numbered = list(enumerate(page, first + start))
        names = _output_names(connection, key, spec, numbered)
        problems = [
            _UNNAMED if name is None else item.problem for item, name in zip(page, names, strict=True)
        ]
        failed += sum(problem is not None for problem in problems)
        connection.execute(
            sa.insert(ITEMS),
            [
                {
                    "job": key,
                    "n": n,
                    "name": item.name,
                    "source": item.source.model_dump_json(),
                    "state": (ItemState.QUEUED if problem is None else ItemState.FAILED).value,
                    "attempts": 0,
                    "suspect": False,
                    "output_name": f"~{n}" if name is None else name,
                    "problem": None if problem is None else dumped(problem),
                    "revision": last_revision(revision, n - first + 1),
                }
                for (n, item), name, problem in zip(numbered, names, problems, strict=True)
            ],
        )
    connection.execute(
        sa.update(JOBS)
        .where(JOBS.c.key == key)
        .values(
            total=first + len(items),
            failed=JOBS.c.failed + failed,
            input_bytes=JOBS.c.input_bytes + sum(getattr(item.source, "size", 0) for item in items),
            revision=last_revision(revision, len(items)),
        )
    )


def _output_names(
    connection: sa.Connection, key: int, spec: JobSpec, numbered: Sequence[tuple[int, NewItem]]
) -> list[str | None]:
    """A name for each that no other item of the job has; None where there can be none."""

    def taken_among(names: Collection[str]) -> set[str]:
        query = sa.select(ITEMS.c.output_name).where(ITEMS.c.job == key, ITEMS.c.output_name.in_(list(names)))
        return set(connection.execute(query).scalars())

    return output_names(spec.naming, [_named(n, item, spec) for n, item in numbered], taken_among)


def _named(n: int, item: NewItem, spec: JobSpec) -> Named:
    if isinstance(item.source, Seed):
        return Named(n, "", {**spec.names, "seed": item.source.seed})
    return Named(n, item.name, spec.names)


_UNNAMED = stored_problem(ProblemError("input-unreadable", "The file's name cannot be that of an output."))
