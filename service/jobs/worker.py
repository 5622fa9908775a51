"""A worker: takes chunks of jobs from the queue and does their items, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import structlog
import uvloop

from service.images.signing import SigningSetupError, load_signer
from service.jobs.backlog import standing_of
from service.jobs.chunks import ChunkRunner
from service.jobs.database import Database, DatabaseAwayError, DatabaseSetupError, shown_url
from service.jobs.feeding import Feeder
from service.jobs.housekeeping import Housekeeper
from service.jobs.item_store import ItemStore
from service.jobs.job_store import JobStore
from service.jobs.lease import Lease, LeaseLostError
from service.jobs.ledger import Ledger
from service.jobs.listing import Lister
from service.jobs.runtime import Runtime
from service.jobs.setup import check_artifacts, open_database, open_places
from service.jobs.storage import StorageError, StorageUrlError
from service.jobs.telling import Teller
from service.jobs.upload_store import UploadStore
from service.jobs.webhook_targets import WebhookPolicy, WebhookSettingError
from service.jobs.worker_store import WorkerStore
from service.jobs.workflows import WorkflowClient, WorkflowWorker
from service.process_end import end_process
from service.settings import Settings
from service.telemetry.jobs import BacklogCollector, JobMetrics
from service.telemetry.logs import configure_logging, log_with_every_line
from service.telemetry.metrics import Metrics, package_version
from service.telemetry.tracing import TracingSetupError, configure_tracing
from service.telemetry.worker_http import WorkerHttp, WorkerPortError

log = structlog.get_logger(__name__)

_CANCEL_POLL_SECONDS: Final = 0.5
_STOP_MARGIN_SECONDS: Final = 5.0
_GIVE_BACK_SECONDS: Final = 4.0
_START_PAUSE_SECONDS: Final = 1.0
_JOB_TRIES: Final = 4

_SETUP_ERRORS: Final = (
    DatabaseSetupError,
    SigningSetupError,
    StorageError,
    StorageUrlError,
    TracingSetupError,
    WebhookSettingError,
    WorkerPortError,
)

LEASE_LOST: Final = 75
"""Exit status of a worker that lost its lease: started anew it is a worker like any other (EX_TEMPFAIL)."""


class Worker:
    """All parts of one worker, on one event loop."""

    def __init__(self, settings: Settings, database: Database, runtime: Runtime, metrics: Metrics) -> None:
        """Wires the parts; nothing runs yet.

        Args:
            settings: Of the worker.
            database: Migrated.
            runtime: Open.
            metrics: Of the process.

        Raises:
            WebhookSettingError: What signs webhooks, or whom they believe, cannot be read.
            StorageUrlError: The URL of the artifacts is that of something else.
        """
        self.id = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        log_with_every_line(worker=self.id)
        self._settings = settings
        self._jobs, self._items = JobStore(database), ItemStore(database)
        self._workers = workers = WorkerStore(database)
        self._places = places = open_places(settings)
        client = WorkflowClient(database)
        counted = JobMetrics(metrics.registry)
        self._database = database
        self._teller = Teller(self._jobs, client, WebhookPolicy.of(settings), counted)
        self._ledger = Ledger(self._items, self.id)
        self.chunks = ChunkRunner(
            self._jobs,
            self._items,
            self._ledger,
            runtime,
            places,
            concurrency=settings.worker_concurrency,
            max_attempts=settings.job_max_attempts,
            patience=settings.job_patience_seconds,
            metrics=counted,
        )
        self._feeder = Feeder(
            self._jobs,
            self._items,
            workers,
            Lister(self._jobs, places, settings.max_job_items, settings.job_patience_seconds),
            places,
            client,
            retention=settings.job_retention_seconds,
            lease=settings.worker_lease_seconds,
            metrics=counted,
        )
        self._workflows = WorkflowWorker(database, self.id, self, settings.worker_concurrency + 1)
        self.lease = Lease(workers, self.id, settings.worker_lease_seconds, self._take_over)
        self._counted = counted
        counted.watch_heartbeat(lambda: self.lease.age_seconds)
        lease = settings.worker_lease_seconds
        backlog = BacklogCollector(metrics.registry, lambda: standing_of(self._items, workers, lease))
        metrics.before_scrape.append(backlog.refresh)
        self._housekeeper = Housekeeper(
            self._jobs,
            UploadStore(database),
            places,
            client,
            interval=settings.housekeeping_seconds,
            grace=settings.job_upload_grace_seconds,
        )
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Asks it to finish what runs, begin nothing more, and end."""
        self._stopping.set()

    async def run(self) -> int:
        """Works until it is asked to stop.

        Returns:
            The exit status: 0, or `LEASE_LOST`.
        """
        if not await _unless_stopped(_until_there(self._take_lease, self._database), self._stopping):
            return 0
        background = [
            asyncio.create_task(work)
            for work in (
                self._ledger.write(),
                self.lease.keep(),
                self._housekeeper.keep(),
                self._watch_cancelled(),
            )
        ]
        if not await _unless_stopped(self._begin(), self._stopping):
            return 0
        log.info(
            "worker started",
            worker=self.id,
            concurrency=self._settings.worker_concurrency,
            database=shown_url(self._database.url),
            artifacts=self._places.artifacts.url,
            triton=self._settings.triton_url,
        )
        stopping = asyncio.create_task(self._stopping.wait())
        ended, _ = await asyncio.wait({*background, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._workflows.stop_taking()
        if stopping not in ended:
            for task in ended:
                error = task.exception()
                log.error("worker stops", worker=self.id, reason=str(error))
            self.chunks.abandon()
            return LEASE_LOST if any(isinstance(task.exception(), LeaseLostError) for task in ended) else 1
        self.lease.state = "draining"
        log.info("worker drains", worker=self.id)
        await self.chunks.drain(max(1.0, self._settings.stop_timeout_seconds - _STOP_MARGIN_SECONDS))
        with suppress(DatabaseAwayError, asyncio.TimeoutError):
            # What cannot be given back now is taken over once the lease has run out.
            await asyncio.wait_for(self._give_back(), _GIVE_BACK_SECONDS)
        for task in background:
            task.cancel()
        log.info("worker stopped", worker=self.id)
        return 0

    async def _begin(self) -> None:
        await _until_there(lambda: asyncio.to_thread(self._workflows.start), self._database)
        await _until_there(lambda: asyncio.to_thread(self._workflows.register_queues), self._database)

    async def _give_back(self) -> None:
        await self.lease.give_back()
        await asyncio.to_thread(self._workflows.recover, [self.id])

    async def _take_lease(self) -> None:
        await self.lease.take(self._settings.worker_concurrency)

    async def job(self, job_id: str, number: int) -> None:
        """See `service.jobs.workflows.Handler`."""
        faults = 0
        while True:
            see_through = self._feeder.run if faults < _JOB_TRIES else self._feeder.give_up
            try:
                return await see_through(job_id, number)
            except DatabaseAwayError as error:
                log.warning("the database is away", job=job_id, reason=str(error))
                await asyncio.sleep(_START_PAUSE_SECONDS)
            except Exception:
                # It is never left with nobody to see it through. If this worker cannot, as with a job that a
                # newer gateway made, another one can once this one has stopped.
                faults += 1
                log.exception("job failed", job=job_id, tried=faults)
                await asyncio.sleep(_START_PAUSE_SECONDS * 2 ** min(faults, _JOB_TRIES + 1))

    async def chunk(self, job_id: str, first: int, count: int) -> None:
        """See `service.jobs.workflows.Handler`."""
        faults = 0
        while True:
            try:
                await self.chunks.run(job_id, first, count)
                break
            except DatabaseAwayError as error:
                log.warning("the database is away", reason=str(error))
            except Exception:
                # Nobody else does what it has begun while this worker lives.
                faults += 1
                log.exception("chunk failed", job=job_id, first=first, tried=faults)
            await asyncio.sleep(_START_PAUSE_SECONDS * 2 ** min(faults, _JOB_TRIES + 1))
        if self.chunks.draining:
            # Not done, perhaps: this worker's pending workflows are queued again for others as it ends.
            await asyncio.Event().wait()

    async def webhook(self, job_id: str, number: int, attempt: int) -> None:
        """See `service.jobs.workflows.Handler`."""
        while True:
            try:
                return await self._teller.tell(job_id, number, attempt)
            except DatabaseAwayError as error:
                log.warning("the database is away", reason=str(error))
                await asyncio.sleep(_START_PAUSE_SECONDS)

    async def why_not_ready(self) -> str | None:
        """What keeps the worker from working; None if nothing does."""
        if self._stopping.is_set():
            return "The worker is shutting down."
        if not self._workflows.started:
            return "The worker is starting."
        if self.lease.age_seconds > self._settings.worker_lease_seconds:
            return "The database of jobs is away."
        return None

    def _take_over(self, workers: list[str]) -> None:
        if not self._workflows.started:  # the lease is kept while they start, however long that takes
            return
        holding = self._database.guarded(lambda: self._workflows.holding(workers))
        taken = self._database.guarded(lambda: self._workflows.recover(sorted(holding)))
        if taken:
            log.warning("work of lost workers is queued again", lost=sorted(holding), workflows=taken)
        self._counted.chunks_taken_over.inc(taken)
        # Only now: nobody would look for what a forgotten worker holds.
        self._workers.forget([name for name in workers if name not in holding])
        if reclaimed := self._database.guarded(self._workflows.reclaim):
            log.warning("workflows taken and not begun", worker=self.id, count=reclaimed)

    async def _watch_cancelled(self) -> None:
        while True:
            await asyncio.sleep(_CANCEL_POLL_SECONDS)
            active = self.chunks.active_jobs
            if not active:
                continue
            with suppress(DatabaseAwayError):
                self.chunks.cancel(await asyncio.to_thread(self._jobs.cancelling, list(active)))


def run(settings: Settings) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until it has lost its lease.

    Args:
        settings: Of the worker.

    Raises:
        SystemExit: If the settings are wrong, with the reason.
    """
    configure_logging(settings.log_level, settings.log_format)
    try:
        uvloop.run(_until_exit(settings, configure_tracing("ganserve-worker")))
    except _SETUP_ERRORS as error:
        print(f"ganserve worker: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


async def _until_exit(settings: Settings, send_spans: Callable[[], None]) -> None:
    try:
        status = await _run(settings)
    except _SETUP_ERRORS:
        raise
    except Exception:
        log.exception("worker failed")
        status = 1
    send_spans()
    # Threads of workflows that others go on with wait for those; nothing in them is to be finished here.
    end_process(status)


async def _run(settings: Settings) -> int:
    stopped: asyncio.Event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    database = open_database(settings)
    async with AsyncExitStack() as stack:
        stack.callback(database.close)
        places = open_places(settings)
        migrated = _until_there(lambda: asyncio.to_thread(database.migrate), database)
        if not await _unless_stopped(migrated, stopped):
            return 0
        await check_artifacts(places.artifacts)
        metrics, signer = Metrics(), load_signer(settings, package_version())
        runtime = await stack.enter_async_context(Runtime(settings, metrics, signer))
        worker = Worker(settings, database, runtime, metrics)
        await stack.enter_async_context(WorkerHttp(settings, metrics, worker.why_not_ready))
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        return await working


async def _until_there(call: Callable[[], Awaitable[None]], database: Database) -> None:
    """Makes a call until the database is there."""
    while True:
        try:
            return await call()
        except DatabaseAwayError as error:
            log.warning(
                "the database is away",
                reason=str(error),
                database=shown_url(database.url),
                setting="GANSERVE_DATABASE_URL",
            )
            await asyncio.sleep(_START_PAUSE_SECONDS)


async def _unless_stopped(work: Coroutine[Any, Any, None], stopped: asyncio.Event) -> bool:
    """Does something that may have to wait; False if the worker was told to stop meanwhile."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    return False
