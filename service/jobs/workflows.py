"""The three durable workflows, as DBOS knows them: a job, a chunk of its items, and telling its webhook.

A workflow here is one call of a function that may be made again from its start: what was done is in our own
tables, so DBOS records that a workflow is to be done, who does it, and that it was done, but no steps.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any, Final, Protocol

import dbos._sys_db
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, Serializer
from dbos._utils import INTERNAL_QUEUE_NAME

from service.jobs.database import APPLICATION, WORKFLOWS_VERSION, Database, DatabaseAwayError
from service.jobs.records import Job, Priority

JOBS_QUEUE: Final = "ganserve-jobs"
CHUNKS_QUEUE: Final = "ganserve-chunks"
WEBHOOKS_QUEUE: Final = "ganserve-webhooks"

_JOB: Final = "ganserve.job"
_CHUNK: Final = "ganserve.chunk"
_WEBHOOK: Final = "ganserve.webhook"

_JOBS_AT_A_TIME: Final = 64
_WEBHOOKS_AT_A_TIME: Final = 8
# A look at a queue costs 2 to 4 ms of CPU and, on SQLite, the lock of the database, also when it is empty.
# Workers have more chunks than they compute, so they need not look for the next at once.
_JOBS_POLL_SECONDS: Final = 0.5
_CHUNKS_POLL_SECONDS: Final = 0.2
_WEBHOOKS_POLL_SECONDS: Final = 1.0
_UNKNOWN_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 3.0
_DELETED_AT_ONCE: Final = 500
_PRIORITIES: Final[dict[Priority, int]] = {"high": 10, "normal": 20, "low": 30}
_UNFINISHED: Final = ["ENQUEUED", "PENDING", "DELAYED"]


class JsonSerializer(Serializer):
    """Arguments as JSON: DBOS's own way would run what a writer of the database puts there (pickle)."""

    def serialize(self, data: Any) -> str:
        """As JSON."""
        return json.dumps(data, default=str)

    def deserialize(self, serialized_data: str) -> Any:
        """From JSON."""
        return json.loads(serialized_data)

    def name(self) -> str:
        """What rows written so are marked with."""
        return "ganserve_json"


def retry_soon() -> None:
    """Has DBOS look for a database that was away every few seconds.

    Its pauses double up to a minute and have no setting, so that after an outage of half a minute a worker,
    or one of its queues, would stand still for as long again.
    """

    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, _LONGEST_PAUSE_SECONDS))

    dbos._sys_db.time = SimpleNamespace(**{**vars(time), "sleep": sleep})  # type: ignore[attr-defined, assignment]  # no setting


class Handler(Protocol):
    """What workflows do, on the worker's event loop."""

    async def job(self, job_id: str, number: int) -> None:
        """Sees a round of a job through."""

    async def chunk(self, job_id: str, first: int, count: int) -> None:
        """Does a chunk."""

    async def webhook(self, job_id: str, number: int, attempt: int) -> None:
        """Makes one attempt to tell a job's webhook of the end of a round."""


class WorkflowClient:
    """Queues workflows, and knows what became of them; for gateway and workers."""

    def __init__(self, database: Database) -> None:
        """Connects lazily.

        Args:
            database: With DBOS's tables in it.
        """
        self._client = DBOSClient(
            system_database_engine=database.engine,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        self._database = database

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.destroy()

    def enqueue_job(self, connection: sa.Connection, job_id: str, number: int, priority: Priority) -> None:
        """Queues a round of a job within a transaction, which then has both or neither."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": _JOB,
                "queue_name": JOBS_QUEUE,
                "workflow_id": f"{job_id}:{number}",
                "app_version": WORKFLOWS_VERSION,
                "priority": _PRIORITIES[priority],
            },
            job_id,
            number,
        )

    async def put_chunk(self, job: Job, chunk: int, tried: int) -> None:
        """Queues a chunk; see `service.jobs.feeding.Queue`."""
        size = job.chunk_size
        await self._put(
            _CHUNK,
            CHUNKS_QUEUE,
            self._chunk_id(job, chunk, tried),
            _PRIORITIES[job.priority],
            (job.id, chunk * size, size),
        )

    async def put_webhook(self, job: Job, attempt: int = 1, delay: float = 0.0) -> None:
        """Queues an attempt to tell the webhook; see `service.jobs.feeding.Queue`.

        Args:
            job: The job.
            attempt: Which one, from 1.
            delay: In seconds.
        """
        name = f"{job.id}:{job.round}:webhook:{attempt}"
        await self._put(_WEBHOOK, WEBHOOKS_QUEUE, name, 10, (job.id, job.round, attempt), delay)

    async def unfinished(self, job: Job, chunks: dict[int, int]) -> set[int]:
        """Which chunks are queued or running; see `service.jobs.feeding.Queue`."""
        ids = {self._chunk_id(job, chunk, tried): chunk for chunk, tried in chunks.items()}

        def ask() -> set[int]:
            found = self._client.list_workflows(
                workflow_ids=list(ids), status=_UNFINISHED, load_input=False, load_output=False
            )
            return {ids[workflow.workflow_id] for workflow in found}

        return await asyncio.to_thread(self._in_time, ask)

    async def forget(self, job: Job) -> None:
        """Deletes the rows of the chunks of a round; see `service.jobs.feeding.Queue`."""
        await asyncio.to_thread(self._in_time, lambda: self._delete(f"{job.id}:{job.round}:chunk"))

    async def forget_all(self, job_id: str) -> None:
        """Deletes all rows of a job that is deleted."""
        await asyncio.to_thread(self._in_time, lambda: self._delete(f"{job_id}:"))

    def _delete(self, prefix: str) -> None:
        while True:
            found = self._client.list_workflows(
                workflow_id_prefix=prefix, limit=_DELETED_AT_ONCE, load_input=False, load_output=False
            )
            if found:
                self._client.delete_workflows([workflow.workflow_id for workflow in found])
            if len(found) < _DELETED_AT_ONCE:
                return

    async def _put(
        self,
        name: str,
        queue: str,
        workflow_id: str,
        priority: int,
        args: tuple[Any, ...],
        delay: float = 0.0,
    ) -> None:
        options: EnqueueOptions = {
            "workflow_name": name,
            "queue_name": queue,
            "workflow_id": workflow_id,
            "app_version": WORKFLOWS_VERSION,
            "priority": priority,
        }
        if delay:
            options["delay_seconds"] = delay

        def put() -> None:
            self._client.enqueue(options, *args)

        await asyncio.to_thread(self._in_time, put)

    def _in_time(self, call: Callable[[], Any]) -> Any:
        """The database's own errors for those of DBOS, which has the same cause."""
        return self._database.guarded(call)

    @staticmethod
    def _chunk_id(job: Job, chunk: int, tried: int) -> str:
        return f"{job.id}:{job.round}:chunk:{chunk}:{tried}"


class WorkflowWorker:
    """DBOS within a worker: takes workflows from the queues and has them done on the worker's event loop."""

    def __init__(self, database: Database, worker: str, handler: Handler, chunks: int) -> None:
        """Starts nothing; there is one in a process.

        Args:
            database: With DBOS's tables in it.
            worker: Name of the worker; what it leaves pending can be found by it.
            handler: Does the work.
            chunks: Chunks that are done at a time.
        """
        self._database = database
        self._worker = worker
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._unknown: dict[str, float] = {}
        self.started = False
        retry_soon()
        self._config = DBOSConfig(
            name=APPLICATION,
            system_database_url=database.url,
            system_database_engine=database.engine,
            executor_id=worker,
            application_version=WORKFLOWS_VERSION,
            serializer=JsonSerializer(),
            log_level="WARNING",
            use_listen_notify=False,
            run_migrations=False,
        )
        self._dbos = DBOS(config=self._config)

        @DBOS.workflow(name=_JOB, max_recovery_attempts=None)
        def job(job_id: str, number: int) -> None:
            self._on_loop(handler.job(job_id, number))

        @DBOS.workflow(name=_CHUNK, max_recovery_attempts=None)
        def chunk(job_id: str, first: int, count: int) -> None:
            self._on_loop(handler.chunk(job_id, first, count))

        @DBOS.workflow(name=_WEBHOOK, max_recovery_attempts=None)
        def webhook(job_id: str, number: int, attempt: int) -> None:
            self._on_loop(handler.webhook(job_id, number, attempt))

    def start(self) -> None:
        """Begins to take workflows, from queues that have been registered.

        Raises:
            DatabaseAwayError: The database is; it may be done again.
        """
        DBOS.listen_queues([JOBS_QUEUE, CHUNKS_QUEUE, WEBHOOKS_QUEUE])
        try:
            self._database.guarded(DBOS.launch)
        except DatabaseAwayError:
            # What was launched by half cannot be launched again. The workflows stay registered.
            DBOS.destroy()
            self._dbos = DBOS(config=self._config)
            raise
        self.started = True

    def register_queues(self) -> None:
        """Says how much is taken from each queue at a time; after `start`.

        Raises:
            DatabaseAwayError: The database is; it may be done again.
        """
        self._database.guarded(self._register_queues)

    def _register_queues(self) -> None:
        for name, at_a_time, poll in (
            (JOBS_QUEUE, _JOBS_AT_A_TIME, _JOBS_POLL_SECONDS),
            (CHUNKS_QUEUE, self._chunks, _CHUNKS_POLL_SECONDS),
            (WEBHOOKS_QUEUE, _WEBHOOKS_AT_A_TIME, _WEBHOOKS_POLL_SECONDS),
        ):
            DBOS.register_queue(
                name,
                worker_concurrency=at_a_time,
                polling_interval_sec=poll,
                on_conflict="always_update",
            )

    def stop_taking(self) -> None:
        """Takes nothing more from the queues; what was taken goes on."""
        for event in self._dbos.background_thread_stop_events:
            event.set()

    def recover(self, workers: list[str]) -> int:
        """Queues again what workers that are no more had taken and not done.

        Args:
            workers: Their names. Doing it again changes nothing: only what is still theirs is queued.

        Returns:
            How many workflows.
        """
        return len(DBOS._recover_pending_workflows(workers)) if workers else 0

    def holding(self, workers: list[str]) -> set[str]:
        """Which of some workers have taken anything that is not done; one question, however many they are."""
        if not workers:
            return set()
        database = self._dbos._sys_db
        table = database.tables.workflow_status
        query = (
            sa.select(table.c.executor_id)
            .where(table.c.status == "PENDING", table.c.executor_id.in_(workers))
            .distinct()
        )
        with database.engine.begin() as connection:
            return set(connection.execute(query).scalars())

    def reclaim(self) -> int:
        """Queues again what the database has as taken by this worker, and this worker knows nothing of.

        So it is when the database went away while it committed that the worker takes a workflow.

        Returns:
            How many workflows.
        """
        database = self._dbos._sys_db
        taken = {
            found.workflow_id for found in database.get_pending_workflows(self._worker, WORKFLOWS_VERSION)
        }
        unknown = taken.difference(self._dbos._active_workflows_set.activeList())
        now = monotonic()
        self._unknown = {name: self._unknown.get(name, now) for name in unknown}
        # What was taken a moment ago is begun in a moment.
        lost = [name for name, since in self._unknown.items() if now - since > _UNKNOWN_SECONDS]
        return sum(
            database.reenqueue_for_recovery(name, [self._worker], INTERNAL_QUEUE_NAME) for name in lost
        )

    def _on_loop(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
