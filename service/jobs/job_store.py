"""Jobs in the database: made once, found, cancelled, tried anew, and deleted when their time has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.item_rows import ITEMS_A_REVISION, insert_items, last_revision
from service.jobs.records import ItemState, Job, JobSpec, JobState, NewItem, Priority
from service.jobs.rows import dumped, job_of
from service.jobs.tables import ITEMS, JOBS, UPLOADS

_RUNNING: Final = (
    sa.select(sa.func.count())
    .select_from(ITEMS)
    .where(ITEMS.c.job == JOBS.c.key, ITEMS.c.state == ItemState.RUNNING.value)
    .scalar_subquery()
    .label("running")
)
_WITH_RUNNING: Final = sa.select(JOBS, _RUNNING)
_DELETED_AT_ONCE: Final = 10_000


class JobNotFoundError(LookupError):
    """There is no such job, or it is somebody else's."""


class IdempotencyConflictError(Exception):
    """The key was used for another job; the text is that job's id."""


class JobStateError(Exception):
    """The job is in no state for that; the text says in which."""


class UploadExpiredError(Exception):
    """The files that were sent are gone: nobody had spoken of them for too long."""


@dataclass(frozen=True)
class NewJob:
    """A job before it is in the database.

    Attributes:
        id: From `new_job_id`.
        owner: Name of the API key.
        spec: What was asked for.
        priority: Among jobs.
        items: Uploaded files; what else there is, the first worker lists.
        idempotency_key: From the request.
        fingerprint: Digest of all that was asked for; what the same idempotency key has to come with again.
        webhook_secret: Signs what the webhook is told.
        traceparent: Of the request.
        uploaded: Whether files were sent, and so `UploadStore.begin` was called for the id.
    """

    id: str
    owner: str
    spec: JobSpec
    priority: Priority
    items: Sequence[NewItem] = ()
    idempotency_key: str | None = None
    fingerprint: str | None = None
    webhook_secret: str | None = None
    traceparent: str | None = None
    uploaded: bool = False


Enqueue = Callable[[sa.Connection, str, int, Priority], None]
"""Enqueues the workflow of a job (connection, id, round, priority) in the transaction it is given."""


class JobStore:
    """What is done with whole jobs; every call is one transaction, and blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewJob, enqueue: Enqueue) -> tuple[Job, bool]:
        """Puts a job, its uploaded items and its workflow into the database: all or nothing.

        Args:
            new: The job.
            enqueue: Enqueues its workflow.

        Returns:
            The job, and whether it is new: with an idempotency key that was used before it is that job.

        Raises:
            IdempotencyConflictError: The key was used for another job.
            UploadExpiredError: The files that were sent are gone.
            DatabaseAwayError: The database is.
        """

        def work(connection: sa.Connection) -> tuple[Job, bool]:
            if new.idempotency_key is not None:
                # Of one whose time is over, though no worker has deleted it yet.
                connection.execute(
                    sa.update(JOBS)
                    .where(
                        JOBS.c.owner == new.owner,
                        JOBS.c.idempotency_key == new.idempotency_key,
                        _expired(self._database),
                    )
                    .values(idempotency_key=None)
                )
            if (row := _same(connection, new)) is not None:
                if row["id"] != new.id and row["fingerprint"] != new.fingerprint:
                    raise IdempotencyConflictError(row["id"])
                return job_of(row, row["running"]), row["id"] == new.id
            if new.uploaded:
                ours = sa.delete(UPLOADS).where(UPLOADS.c.id == new.id, ~UPLOADS.c.abandoned)
                if not connection.execute(ours).rowcount:
                    raise UploadExpiredError(new.id)
            key = connection.execute(
                sa.insert(JOBS)
                .values(
                    id=new.id,
                    owner=new.owner,
                    operation=new.spec.operation,
                    spec=new.spec.model_dump_json(),
                    webhook_secret=new.webhook_secret,
                    listed=not new.spec.sources,
                    idempotency_key=new.idempotency_key,
                    fingerprint=new.fingerprint,
                    priority=new.priority,
                    state=JobState.QUEUED.value,
                    created_at=self._database.now,
                    traceparent=new.traceparent,
                )
                .returning(JOBS.c.key)
            ).scalar_one()
            insert_items(connection, self._database, key, new.spec, new.items)
            enqueue(connection, new.id, 0, new.priority)
            row = connection.execute(_WITH_RUNNING.where(JOBS.c.key == key)).mappings().one()
            return job_of(row, 0), True

        try:
            return self._database.run(work)
        except sa.exc.IntegrityError:  # the same key at the same moment: the other one was first
            return self._database.run(work)

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """A job.

        Args:
            job_id: Its name.
            owner: Whose it must be; None for anybody's.

        Raises:
            JobNotFoundError: If there is none.
            DatabaseAwayError: The database is.
        """
        query = _WITH_RUNNING.where(JOBS.c.id == job_id, ~_expired(self._database))
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        row = self._database.read(lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise JobNotFoundError(job_id)
        return job_of(row, row["running"])

    def unended(self, owner: str) -> int:
        """How many jobs of somebody have not ended.

        Args:
            owner: Name of the API key.

        Raises:
            DatabaseAwayError: The database is.
        """
        query = (
            sa.select(sa.func.count())
            .select_from(JOBS)
            .where(JOBS.c.owner == owner, JOBS.c.state.in_([JobState.QUEUED.value, JobState.RUNNING.value]))
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def webhook_secret(self, job_id: str) -> str | None:
        """What signs the job's webhook; None for the operator's."""
        query = sa.select(JOBS.c.webhook_secret).where(JOBS.c.id == job_id)
        return self._database.read(lambda connection: connection.execute(query).scalar())

    def page(
        self,
        *,
        owner: str | None = None,
        states: Sequence[JobState] = (),
        operation: str | None = None,
        idempotency_key: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """Jobs, the newest first.

        Args:
            owner: Whose; None for everybody's.
            states: Only in these states; all if empty.
            operation: Only of this operation.
            idempotency_key: Only the one made with it.
            before: Only older ones than the job of this key, which is the last of the page before.
            limit: At most so many.

        Raises:
            DatabaseAwayError: The database is.
        """
        query = _WITH_RUNNING.where(~_expired(self._database)).order_by(JOBS.c.key.desc()).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if states:
            query = query.where(JOBS.c.state.in_([state.value for state in states]))
        if operation is not None:
            query = query.where(JOBS.c.operation == operation)
        if idempotency_key is not None:
            query = query.where(JOBS.c.idempotency_key == idempotency_key)
        if before is not None:
            query = query.where(JOBS.c.key < before)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [job_of(row, row["running"]) for row in rows]

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Asks for a job to be cancelled; one that has ended stays as it is.

        Args:
            job_id: Its name.
            owner: Whose it must be; None for anybody's.

        Returns:
            The job now.

        Raises:
            JobNotFoundError: If there is none.
            DatabaseAwayError: The database is.
        """
        self.get(job_id, owner)
        self._database.run(
            lambda connection: connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.ended_at.is_(None), ~JOBS.c.cancelling)
                .values(cancelling=True, revision=JOBS.c.revision + 1)
            )
        )
        return self.get(job_id, owner)

    def retry(self, job_id: str, enqueue: Enqueue, owner: str | None = None) -> Job:
        """Queues all items of an ended job again that failed or were cancelled.

        Args:
            job_id: Its name.
            enqueue: Enqueues its workflow anew.
            owner: Whose it must be; None for anybody's.

        Returns:
            The job now.

        Raises:
            JobNotFoundError: If there is none.
            JobStateError: It has not ended, or all its items succeeded.
            DatabaseAwayError: The database is.
        """
        before = self.get(job_id, owner)
        is_over = sa.select(JOBS.c.key).where(JOBS.c.id == job_id, _expired(self._database))

        def work(connection: sa.Connection) -> None:
            row = connection.execute(_locked(job_id)).mappings().first()
            if row is None or connection.execute(is_over).first() is not None:
                raise JobNotFoundError(job_id)  # or its files might be deleted while it is tried again
            if row["round"] > before.round:
                return  # carried out already
            if row["ended_at"] is None:
                raise JobStateError(f"the job is {row['state']}; only one that has ended can be tried again")
            if row["listed"] and not row["failed"] + row["cancelled"]:
                raise JobStateError("no item of the job failed")
            connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.key == row["key"])
                .values(
                    state=JobState.QUEUED.value,
                    cancelling=False,
                    failed=0,
                    cancelled=0,
                    ended_at=None,
                    expires_at=None,
                    problem=None,
                    round=row["round"] + 1,
                    revision=last_revision(row["revision"], row["total"]),
                )
            )
            connection.execute(
                sa.update(ITEMS)
                .where(
                    ITEMS.c.job == row["key"],
                    ITEMS.c.state.in_([ItemState.FAILED.value, ItemState.CANCELLED.value]),
                )
                .values(
                    state=ItemState.QUEUED.value,
                    attempts=0,
                    suspect=False,
                    problem=None,
                    ended_at=None,
                    revision=_spread(row["revision"]),
                )
            )
            enqueue(connection, job_id, row["round"] + 1, row["priority"])

        self._database.run(work)
        return self.get(job_id, owner)

    def expire(self, job_id: str, owner: str | None = None) -> None:
        """Lets an ended job disappear now; a worker deletes what it left behind.

        Args:
            job_id: Its name.
            owner: Whose it must be; None for anybody's.

        Raises:
            JobNotFoundError: If there is none.
            JobStateError: It has not ended.
            DatabaseAwayError: The database is.
        """
        job = self.get(job_id, owner)
        if job.ended_at is None:
            raise JobStateError(f"the job is {job.state.value}; it has to be cancelled first")
        self._database.run(
            lambda connection: connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.ended_at.is_not(None))
                .values(expires_at=self._database.now, idempotency_key=None)
            )
        )

    def start(self, job_id: str) -> Job | None:
        """Notes that a worker has taken a job up.

        Args:
            job_id: Its name.

        Returns:
            The job; None if it is gone.
        """

        def work(connection: sa.Connection) -> Job | None:
            connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.state == JobState.QUEUED.value)
                .values(
                    state=JobState.RUNNING.value,
                    started_at=sa.func.coalesce(JOBS.c.started_at, self._database.now),
                    revision=JOBS.c.revision + 1,
                )
            )
            row = connection.execute(_WITH_RUNNING.where(JOBS.c.id == job_id)).mappings().first()
            return None if row is None else job_of(row, row["running"])

        return self._database.run(work)

    def add_page(self, job: Job, listed: int, items: Sequence[NewItem], cursor: str, last: bool) -> bool:
        """Adds a page of items that a source was found to have.

        Args:
            job: The job.
            listed: How many it has; nothing happens if that has changed, since another worker goes on then.
            items: The page.
            cursor: Where the next page begins.
            last: Whether there is none.

        Returns:
            Whether the page, or this very page before, was added by this call.
        """

        def work(connection: sa.Connection) -> bool:
            row = connection.execute(_locked(job.id)).mappings().first()
            if row is None or row["ended_at"] is not None:
                return False
            if row["listed"] or row["total"] != listed:
                return bool(row["cursor"] == cursor and row["total"] == listed + len(items))
            insert_items(connection, self._database, job.key, job.spec, items)
            connection.execute(
                sa.update(JOBS).where(JOBS.c.key == job.key).values(cursor=cursor, listed=last)
            )
            return True

        return self._database.run(work)

    def cursor(self, job: Job) -> tuple[str, int]:
        """Where listing goes on, and how many items there are."""
        query = sa.select(JOBS.c.cursor, JOBS.c.total).where(JOBS.c.key == job.key)
        row = self._database.read(lambda connection: connection.execute(query).one())
        return row[0], row[1]

    def mean_input_bytes(self, job: Job) -> float:
        """Mean size of the job's input files."""
        query = sa.select(JOBS.c.input_bytes, JOBS.c.total).where(JOBS.c.key == job.key)
        total, count = self._database.read(lambda connection: connection.execute(query).one())
        return float(total / max(1, count))

    def set_chunk_size(self, job: Job, size: int) -> int:
        """Decides how many items are handed out together, once.

        Args:
            job: The job.
            size: What is proposed.

        Returns:
            What was decided.
        """

        def work(connection: sa.Connection) -> int:
            connection.execute(
                sa.update(JOBS).where(JOBS.c.key == job.key, JOBS.c.chunk_size == 0).values(chunk_size=size)
            )
            query = sa.select(JOBS.c.chunk_size).where(JOBS.c.key == job.key)
            return int(connection.execute(query).scalar_one())

        return self._database.run(work)

    def stop(self, job: Job) -> None:
        """Marks what is not done of a job as cancelled, since nobody will do it any more.

        Args:
            job: The job.
        """

        def work(connection: sa.Connection) -> None:
            row = connection.execute(_locked(job.id)).mappings().first()
            if row is not None and row["ended_at"] is None and row["round"] == job.round:
                changes = self._stopped(connection, row)
                connection.execute(sa.update(JOBS).where(JOBS.c.key == job.key).values(changes))

        self._database.run(work)

    def _stopped(self, connection: sa.Connection, job: sa.RowMapping) -> dict[str, Any]:
        """Marks items as cancelled; returns what changes in the job, which is locked."""
        left = connection.execute(
            sa.update(ITEMS)
            .where(
                ITEMS.c.job == job["key"],
                ITEMS.c.state.in_([ItemState.QUEUED.value, ItemState.RUNNING.value]),
            )
            .values(
                state=ItemState.CANCELLED.value,
                revision=_spread(job["revision"]),
                ended_at=self._database.now,
            )
        ).rowcount
        revision = last_revision(job["revision"], job["total"] if left else 0)
        return {"cancelled": job["cancelled"] + left, "revision": revision}

    def end(self, job: Job, state: JobState, problem: dict[str, Any] | None, retention: float) -> Job | None:
        """Notes the end of a job; items that nobody will do any more become cancelled.

        Args:
            job: The job.
            state: `SUCCEEDED`, `FAILED` or `CANCELLED`.
            problem: Why it failed.
            retention: Seconds for which record and artifacts are kept.

        Returns:
            The job now; None if it is gone.
        """

        def work(connection: sa.Connection) -> Job | None:
            row = connection.execute(_locked(job.id)).mappings().first()
            if row is None:
                return None
            if row["ended_at"] is None and row["round"] == job.round:
                changes = self._stopped(connection, row)
                connection.execute(
                    sa.update(JOBS)
                    .where(JOBS.c.key == job.key)
                    .values(
                        state=state.value,
                        cancelling=False,
                        problem=None if problem is None else dumped(problem),
                        ended_at=self._database.now,
                        expires_at=self._database.now + int(retention * 1000),
                        **changes,
                    )
                )
            row = connection.execute(_WITH_RUNNING.where(JOBS.c.key == job.key)).mappings().one()
            return job_of(row, row["running"])

        return self._database.run(work)

    def cancelling(self, keys: Sequence[int]) -> set[int]:
        """Which of these jobs are to stop: cancelled, ended, or gone."""
        if not keys:
            return set()
        query = sa.select(JOBS.c.key).where(
            JOBS.c.key.in_(keys), ~JOBS.c.cancelling, JOBS.c.ended_at.is_(None)
        )
        going = self._database.read(lambda connection: set(connection.execute(query).scalars()))
        return set(keys) - going

    def expired(self, after: int = 0, limit: int = 100) -> list[tuple[int, str]]:
        """Keys and names of jobs whose time has come, by key, from the one after a key."""
        query = (
            sa.select(JOBS.c.key, JOBS.c.id)
            .where(_expired(self._database), JOBS.c.key > after)
            .order_by(JOBS.c.key)
            .limit(limit)
        )
        return self._database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)])

    def delete(self, key: int) -> None:
        """Deletes a job that has expired, and its items, in steps of which none takes long."""

        def some(connection: sa.Connection) -> int:
            oldest = sa.select(ITEMS.c.n).where(ITEMS.c.job == key).order_by(ITEMS.c.n)
            return connection.execute(
                sa.delete(ITEMS).where(
                    ITEMS.c.job == key, ITEMS.c.n.in_(oldest.limit(_DELETED_AT_ONCE).scalar_subquery())
                )
            ).rowcount

        while self._database.run(some):
            pass
        self._database.run(
            lambda connection: connection.execute(
                sa.delete(JOBS).where(JOBS.c.key == key, _expired(self._database))
            )
        )


def _same(connection: sa.Connection, new: NewJob) -> sa.RowMapping | None:
    """The job of that name, or that was made with the same idempotency key."""
    same = JOBS.c.id == new.id
    if new.idempotency_key is not None:
        same |= (JOBS.c.owner == new.owner) & (JOBS.c.idempotency_key == new.idempotency_key)
    return connection.execute(_WITH_RUNNING.where(same)).mappings().first()


def _locked(job_id: str) -> sa.Select[Any]:
    """The job, of which nobody else changes anything within this transaction."""
    return sa.select(JOBS).where(JOBS.c.id == job_id).with_for_update()


def _spread(revision: int) -> sa.ColumnElement[int]:
    """Revisions of items that change together, as in `service.jobs.item_rows.last_revision`."""
    return revision + 1 + ITEMS.c.n // ITEMS_A_REVISION


def _expired(database: Database) -> sa.ColumnElement[bool]:
    return sa.and_(JOBS.c.expires_at.is_not(None), JOBS.c.expires_at <= database.now)
