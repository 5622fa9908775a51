"""Items in the database: handed out, finished once, paged through, and followed while they change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.records import Finished, Item, ItemState, Job, Operation
from service.jobs.rows import dumped, dumped_output, item_of
from service.jobs.tables import ITEMS, JOBS, WORKERS

_COUNTED: Final = {
    ItemState.SUCCEEDED: "succeeded",
    ItemState.FAILED: "failed",
    ItemState.CANCELLED: "cancelled",
}

_OPEN: Final = (ItemState.QUEUED.value, ItemState.RUNNING.value)


# Statements that are executed for every few items are put together once.
_GIVEN_UP: Final = sa.select(WORKERS.c.id).where(
    WORKERS.c.id == sa.bindparam("of_worker"), WORKERS.c.state == "lost"
)
_ATTEMPTS: Final = sa.select(ITEMS.c.n, ITEMS.c.attempts, ITEMS.c.state).where(
    ITEMS.c.job == sa.bindparam("of_job"), ITEMS.c.n.in_(sa.bindparam("of_items", expanding=True))
)
_COUNT: Final = (
    sa.update(JOBS)
    .where(JOBS.c.key == sa.bindparam("of_job"))
    .values({name: JOBS.c[name] + sa.bindparam(f"more_{name}") for name in _COUNTED.values()})
)
_NEXT_REVISION: Final = (
    sa.update(JOBS)
    .where(JOBS.c.key == sa.bindparam("of_job"))
    .values(revision=JOBS.c.revision + 1)
    .returning(JOBS.c.revision)
)


class ItemNotFoundError(LookupError):
    """The job has no item of that number."""


@dataclass(frozen=True)
class Claim:
    """That a worker begins one more attempt at an item.

    Attributes:
        job: Key of the job.
        n: The item.
        attempt: Number of the attempt, one more than the item has had.
    """

    job: int
    n: int
    attempt: int


@dataclass(frozen=True)
class Backlog:
    """What waits to be done, for those who decide how many workers there are.

    Attributes:
        operation: Of the jobs.
        pending: Items that are listed and not done, running ones among them.
        running: Items being done.
        unlisted: Jobs whose items are not all listed yet.
        oldest_seconds: Since the oldest job that is not done was made.
        jobs: That have not ended.
        stalled_seconds: Since the begun job that stands still for longest had an item begin or end.
    """

    operation: Operation
    pending: int
    running: int
    unlisted: int
    oldest_seconds: float
    jobs: int
    stalled_seconds: float


class ItemStore:
    """What is done with items; every call is one transaction, and blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        one = sa.and_(ITEMS.c.job == sa.bindparam("of_job"), ITEMS.c.n == sa.bindparam("of_n"))
        put_back = sa.bindparam("put_back", type_=sa.Boolean)
        self._begin = (
            sa.update(ITEMS)
            .where(
                one,
                ITEMS.c.attempts == sa.bindparam("before"),
                sa.or_(*(ITEMS.c.state == state for state in _OPEN)),
            )
            .values(
                state=ItemState.RUNNING.value,
                # One that was running all along was left by a worker that is no more.
                suspect=sa.or_(ITEMS.c.suspect, ITEMS.c.state == ItemState.RUNNING.value),
                attempts=ITEMS.c.attempts + 1,
                worker=sa.bindparam("of_worker"),
                started_at=database.now,
                revision=sa.bindparam("now_revision"),
            )
        )
        self._finish = (
            sa.update(ITEMS)
            .where(one)
            .values(
                state=sa.bindparam("new_state"),
                output=sa.bindparam("new_output"),
                problem=sa.bindparam("new_problem"),
                timings=sa.bindparam("new_timings"),
                # One that was put back before it had shown that it is harmless is suspected still.
                suspect=sa.and_(ITEMS.c.suspect, put_back),
                attempts=sa.bindparam("new_attempts"),
                ended_at=sa.case((put_back, sa.null()), else_=database.now),
                revision=sa.bindparam("now_revision"),
            )
        )

    def chunk(self, job: Job, first: int, count: int, worker: str) -> tuple[list[Item], int]:
        """Items of a chunk that are not done.

        Args:
            job: The job.
            first: The first item.
            count: How many the chunk has.
            worker: Who asks.

        Returns:
            Those that are queued, or were left running by a worker that is no more, or by the one that asks;
            and how many others a worker is at that lives.
        """
        at_it = (
            sa.select(WORKERS.c.id)
            .where(
                WORKERS.c.id == ITEMS.c.worker,
                WORKERS.c.id != worker,
                WORKERS.c.state.in_(["running", "draining"]),
                # One that was restarted under its name is not at what it had begun before.
                WORKERS.c.started_at <= ITEMS.c.started_at,
            )
            .exists()
        )
        query = (
            sa.select(ITEMS, sa.and_(ITEMS.c.state == ItemState.RUNNING.value, at_it).label("held"))
            .where(
                ITEMS.c.job == job.key,
                ITEMS.c.n >= first,
                ITEMS.c.n < first + count,
                ITEMS.c.state.in_(_OPEN),
            )
            .order_by(ITEMS.c.n)
        )
        rows = self._rows(query)
        free = [item_of(row) for row in rows if not row["held"]]
        return free, len(rows) - len(free)

    def open_chunks(self, job: Job, size: int, start: int, limit: int) -> list[int]:
        """Chunks that hold items to be done.

        Args:
            job: The job.
            size: Items in a chunk.
            start: The first chunk that is looked at.
            limit: At most so many are returned.

        Returns:
            Their numbers, ascending; the items of chunk c are those from c · size.
        """
        number = (ITEMS.c.n / size) if not self._database.sqlite else sa.cast(ITEMS.c.n / size, sa.Integer)
        query = (
            sa.select(sa.cast(sa.func.floor(number), sa.BigInteger).label("chunk"))
            .where(
                ITEMS.c.job == job.key,
                ITEMS.c.n >= start * size,
                ITEMS.c.n < (start + limit) * size,
                ITEMS.c.state.in_(_OPEN),
            )
            .distinct()
            .order_by("chunk")
        )
        return [row["chunk"] for row in self._rows(query)]

    def claim(self, claims: Sequence[Claim], worker: str) -> set[Claim]:
        """Notes that attempts begin; see `record`."""
        return self.record(claims, {}, worker)[0]

    def finish(self, job: int, ends: Sequence[Finished]) -> set[int]:
        """Notes how attempts at items of one job ended; see `record`."""
        return self.record((), {job: ends}, "")[1][job]

    def record(
        self, claims: Sequence[Claim], ends: Mapping[int, Sequence[Finished]], worker: str
    ) -> tuple[set[Claim], dict[int, set[int]]]:
        """Notes in one transaction which attempts begin, and how others ended.

        Each item is counted once, whoever else thought to be doing it.

        Args:
            claims: Of any jobs.
            ends: By the key of the job, one an item.
            worker: Who begins what begins.

        Returns:
            Claims that begin: not those of items that somebody else has begun or ended, and none of a worker
            that the others have given up. And by job, items of which the ends were still those of the
            attempts, and that ended so; other ends are ignored.
        """
        jobs = {claim.job for claim in claims} | {job for job, of_job in ends.items() if of_job}

        def work(connection: sa.Connection) -> tuple[set[Claim], dict[int, set[int]]]:
            revisions = self._next_revisions(connection, jobs)
            begun = self._begun(connection, claims, worker, revisions)
            ended = {
                job: self._ended(connection, job, of_job, revisions[job]) if job in revisions else set[int]()
                for job, of_job in ends.items()
            }
            return begun, ended

        return self._database.run(work) if jobs else (set(), {job: set() for job in ends})

    def _begun(
        self, connection: sa.Connection, claims: Sequence[Claim], worker: str, revisions: Mapping[int, int]
    ) -> set[Claim]:
        known = [claim for claim in claims if claim.job in revisions]
        if not known or connection.execute(_GIVEN_UP, {"of_worker": worker}).first() is not None:
            return set()
        begun = connection.execute(
            self._begin,
            [
                {
                    "of_job": claim.job,
                    "of_n": claim.n,
                    "before": claim.attempt - 1,
                    "of_worker": worker,
                    "now_revision": revisions[claim.job],
                }
                for claim in known
            ],
        )
        if begun.rowcount == len(known):
            return set(known)
        # Somebody else's, or begun by this very call, which is made again since its answer was lost.
        ours = {
            Claim(*row)
            for job in revisions
            for row in connection.execute(
                sa.select(ITEMS.c.job, ITEMS.c.n, ITEMS.c.attempts).where(
                    ITEMS.c.job == job,
                    ITEMS.c.n.in_([claim.n for claim in known if claim.job == job]),
                    ITEMS.c.state == ItemState.RUNNING.value,
                    ITEMS.c.worker == worker,
                )
            )
        }
        return ours & set(known)

    def _ended(
        self, connection: sa.Connection, job: int, ends: Sequence[Finished], revision: int
    ) -> set[int]:
        of_item = {end.n: end for end in ends}
        rows = connection.execute(_ATTEMPTS, {"of_job": job, "of_items": list(of_item)})
        states = {row[0]: row[2] for row in rows if of_item[row[0]].attempt == row[1]}
        # Those that have ended so already ended by this very call, of which the answer was lost.
        so = {n for n, state in states.items() if state in _OPEN or state == of_item[n].state.value}
        accepted = [of_item[n] for n in so if states[n] in _OPEN]
        if not accepted:
            return so
        connection.execute(
            self._finish,
            [
                {
                    "of_job": job,
                    "of_n": end.n,
                    "new_state": end.state.value,
                    # What was put back was not tried.
                    "new_attempts": end.attempt - (end.state is ItemState.QUEUED),
                    "put_back": end.state is ItemState.QUEUED,
                    "new_output": dumped_output(end.output),
                    "new_problem": None if end.problem is None else dumped(end.problem),
                    "new_timings": None
                    if not end.timings
                    else dumped({stage: round(taken, 4) for stage, taken in end.timings.items()}),
                    "now_revision": revision,
                }
                for end in accepted
            ],
        )
        counted = Counter(_COUNTED[end.state] for end in accepted if end.state in _COUNTED)
        if counted:
            more = {f"more_{name}": counted[name] for name in _COUNTED.values()}
            connection.execute(_COUNT, {"of_job": job, **more})
        return so

    def doubtful(self, job: Job) -> list[str]:
        """Names of outputs that may be there although their items did not succeed.

        An attempt may have stored its output and died then, or storage may not have said that it had it.

        Args:
            job: The job, of which nothing runs any more.
        """
        more_than_one = sa.or_(ITEMS.c.attempts > 1, ITEMS.c.problem.contains("/storage-unavailable"))
        query = sa.select(ITEMS.c.output_name).where(
            ITEMS.c.job == job.key,
            sa.or_(
                sa.and_(ITEMS.c.state == ItemState.CANCELLED.value, ITEMS.c.attempts > 0),
                sa.and_(ITEMS.c.state == ItemState.FAILED.value, more_than_one),
            ),
        )
        return [row["output_name"] for row in self._rows(query)]

    def get(self, job: Job, n: int) -> Item:
        """An item.

        Args:
            job: The job.
            n: Its number.

        Raises:
            ItemNotFoundError: If there is none.
        """
        rows = self._rows(sa.select(ITEMS).where(ITEMS.c.job == job.key, ITEMS.c.n == n))
        if not rows:
            raise ItemNotFoundError(n)
        return item_of(rows[0])

    def page(
        self, job: Job, *, states: Sequence[ItemState] = (), after: int = -1, limit: int = 100
    ) -> list[Item]:
        """Items by their number.

        Args:
            job: The job.
            states: Only in these states; all if empty.
            after: The last of the page before.
            limit: At most so many.
        """
        query = sa.select(ITEMS).where(ITEMS.c.job == job.key, ITEMS.c.n > after)
        if states:
            query = query.where(ITEMS.c.state.in_([state.value for state in states]))
        return [item_of(row) for row in self._rows(query.order_by(ITEMS.c.n).limit(limit))]

    def changed(self, job: Job, after: int, limit: int = 200) -> list[Item]:
        """Items that changed after a revision, the one that changed longest ago first.

        Args:
            job: The job.
            after: The revision; 0 gives every item.
            limit: About so many: all items of the last revision are among them.
        """
        query = (
            sa.select(ITEMS)
            .where(ITEMS.c.job == job.key, ITEMS.c.revision > after)
            .order_by(ITEMS.c.revision, ITEMS.c.n)
        )
        rows = list(self._rows(query.limit(limit)))
        if len(rows) == limit:
            last = rows[-1]
            # Sorted here: told of the order, SQLite would look through all items of the job for the few.
            same = sa.select(ITEMS).where(ITEMS.c.job == job.key, ITEMS.c.revision == last["revision"])
            rest = (row for row in self._rows(same) if row["n"] > last["n"])
            rows += sorted(rest, key=lambda row: int(row["n"]))
        return [item_of(row) for row in rows]

    def backlog(self) -> list[Backlog]:
        """What waits, by operation.

        Returns:
            One an operation that has jobs which have not ended.
        """
        running = (
            sa.select(ITEMS.c.job, sa.func.count().label("running"))
            .where(
                ITEMS.c.state == ItemState.RUNNING.value,
                ITEMS.c.job.in_(sa.select(JOBS.c.key).where(JOBS.c.ended_at.is_(None))),
            )
            .group_by(ITEMS.c.job)
            .subquery()
        )
        # What moved last has the highest revision; of a job that has not begun, no item has a time.
        moved = (
            sa.select(sa.func.coalesce(ITEMS.c.ended_at, ITEMS.c.started_at))
            .where(ITEMS.c.job == JOBS.c.key)
            .order_by(ITEMS.c.revision.desc())
            .limit(1)
            .correlate(JOBS)
            .scalar_subquery()
        )
        pending = JOBS.c.total - JOBS.c.succeeded - JOBS.c.failed - JOBS.c.cancelled
        query = (
            sa.select(
                JOBS.c.operation,
                sa.func.sum(pending).label("pending"),
                sa.func.sum(sa.func.coalesce(running.c.running, 0)).label("running"),
                sa.func.sum(sa.case((JOBS.c.listed, 0), else_=1)).label("unlisted"),
                (self._database.now - sa.func.min(JOBS.c.created_at)).label("age"),
                sa.func.count().label("jobs"),
                (self._database.now - sa.func.min(moved)).label("still"),
            )
            .select_from(JOBS.outerjoin(running, running.c.job == JOBS.c.key))
            .where(JOBS.c.ended_at.is_(None))
            .group_by(JOBS.c.operation)
        )
        return [
            Backlog(
                row["operation"],
                int(row["pending"]),
                int(row["running"]),
                int(row["unlisted"]),
                max(0, row["age"]) / 1000,
                int(row["jobs"]),
                max(0, row["still"] or 0) / 1000,
            )
            for row in self._rows(query)
        ]

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        return self._database.read(lambda connection: connection.execute(query).mappings().all())

    @staticmethod
    def _next_revisions(connection: sa.Connection, jobs: Collection[int]) -> dict[int, int]:
        """Raises the revisions of jobs, which locks them, in an order that cannot deadlock."""
        revisions: dict[int, int] = {}
        for key in sorted(jobs):
            revision = connection.execute(_NEXT_REVISION, {"of_job": key}).scalar()
            if revision is not None:
                revisions[key] = revision
        return revisions
