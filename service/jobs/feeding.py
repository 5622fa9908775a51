"""A job from its first item to its end: listed, handed out chunk by chunk, and concluded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from time import monotonic
from typing import Final, ParamSpec, Protocol, TypeVar

import structlog

from service.api.errors.problems import ProblemError, stored_problem
from service.jobs.database import DatabaseAwayError
from service.jobs.item_store import ItemStore
from service.jobs.job_store import JobNotFoundError, JobStore
from service.jobs.listing import Lister
from service.jobs.places import Places
from service.jobs.records import Job, JobState
from service.jobs.worker_store import WorkerStore
from service.telemetry.jobs import JobMetrics
from service.telemetry.tracing import record_job, span

log = structlog.get_logger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")

LARGEST_CHUNK: Final = 16
_SMALLEST_WINDOW: Final = 32
_SHORTEST_POLL: Final = 0.25
_LONGEST_POLL: Final = 1.0  # and so the longest that a cancelled job is fed on
_AWAY_SECONDS: Final = 1.0


class Queue(Protocol):
    """Where chunks are handed out."""

    async def put_chunk(self, job: Job, chunk: int, tried: int) -> None:
        """Queues a chunk; queueing the same one again changes nothing."""

    async def unfinished(self, job: Job, chunks: dict[int, int]) -> set[int]:
        """Which of these chunks (number: times tried) are still queued or running."""

    async def put_webhook(self, job: Job) -> None:
        """Queues that the job's webhook is told of the end."""

    async def forget(self, job: Job) -> None:
        """Deletes what is remembered of the job's chunks."""


class Feeder:
    """Sees jobs through; any number at a time, each by one worker, or for a moment by two."""

    def __init__(
        self,
        jobs: JobStore,
        items: ItemStore,
        workers: WorkerStore,
        lister: Lister,
        places: Places,
        queue: Queue,
        *,
        retention: float,
        lease: float,
        metrics: JobMetrics,
        stall: float = 60.0,
    ) -> None:
        """Sees nothing through yet.

        Args:
            jobs: Jobs.
            items: Their items.
            workers: For how much can be done at a time.
            lister: Lists sources.
            places: Where outputs are that do not count.
            queue: Where chunks go.
            retention: Seconds for which an ended job is kept.
            lease: Seconds after which a silent worker is given up.
            metrics: Of the worker.
            stall: After so many seconds without progress is looked whether a chunk ended before its items.
        """
        self._jobs = jobs
        self._items = items
        self._workers = workers
        self._lister = lister
        self._places = places
        self._queue = queue
        self._retention = retention
        self._lease = lease
        self._stall = stall
        self._metrics = metrics

    async def run(self, job_id: str, number: int) -> None:
        """Sees a job through to its end. Done again from the start, it goes on where it was.

        Args:
            job_id: The job.
            number: Which round of it; nothing is done for a round that is over.
        """
        job = await self._stored(self._jobs.start, job_id)
        if job is None or job.round != number:
            return
        if job.ended_at is None:
            problem = None
            try:
                if not await self._list(job) or not await self._feed(job):
                    return
            except ProblemError as error:
                log.warning("job failed", job=job.id, reason=error.detail)
                problem = error
            job = await self._conclude(job_id, number, problem)
            if job is None:
                return
            self._told(job)
        await self._leave(job)

    async def _leave(self, job: Job) -> None:
        """What is still to be done for a job whose end is noted."""
        if job.spec.webhook is not None:
            await self._patiently(self._queue.put_webhook, job)
        await self._patiently(self._queue.forget, job)

    async def _list(self, job: Job) -> bool:
        """Sees to it that all sources are listed; False if this round is not ours any more."""
        current: Job | None = job
        while True:
            if current is None or current.ended_at is not None or current.round != job.round:
                return False
            if current.listed or current.cancelling:
                return True
            with span("job.expand", parent=job.traceparent, job=job.id):
                await self._lister.run(current)
            current = await self._current(job)
            if current is not None and not current.listed and not current.cancelling:
                # For a moment somebody else lists it, too, and was quicker. Who is last goes on alone.
                await asyncio.sleep(_SHORTEST_POLL)

    def _told(self, job: Job) -> None:
        counts, ended = job.counts, job.ended_at or job.created_at
        log.info("job ended", job=job.id, state=job.state.value, total=counts.total, failed=counts.failed)
        self._metrics.jobs.labels(job.spec.operation, job.state.value).inc()
        self._metrics.items_cancelled(job.spec.operation, counts.cancelled)
        record_job(
            job.traceparent,
            datetime.fromtimestamp(job.created_at, timezone.utc),
            datetime.fromtimestamp(ended, timezone.utc),
            failed=job.state is JobState.FAILED,
            job=job.id,
            operation=job.spec.operation,
            items=counts.total,
        )

    async def give_up(self, job_id: str, number: int) -> None:
        """Ends a job that cannot be seen through, for a fault of ours that the log has."""
        problem = ProblemError("internal-error", "The job could not be seen through; a log says why.")
        job = await self._conclude(job_id, number, problem)
        if job is not None:
            self._told(job)
            await self._leave(job)

    async def _feed(self, job: Job) -> bool:
        """Hands out chunks until nothing is left to be done; False if this round is not ours any more."""
        current = await self._current(job)
        if current is None:
            return False
        if not current.chunk_size:
            await self._decide_size(current)
        given: dict[int, int] = {}  # chunks that are not done, and how often they had to be queued again
        position, revision, moved, pause = 0, -1, monotonic(), _SHORTEST_POLL
        while True:
            current = await self._current(job)
            if current is None or current.ended_at is not None or current.round != job.round:
                return False
            if current.cancelling:
                await self._until_stopped(job)
                return True
            pause = min(1.5 * pause, _LONGEST_POLL)
            if current.revision != revision:
                revision, moved, pause = current.revision, monotonic(), _SHORTEST_POLL
            if given:
                still = set(await self._open_chunks(current, min(given), max(given) + 1))
                given = {chunk: tried for chunk, tried in given.items() if chunk in still}
            window = await self._window(current.chunk_size)
            chunks = -(-current.counts.total // current.chunk_size)
            while position < chunks and len(given) < window:
                end = min(position + window, chunks)
                for chunk in await self._open_chunks(current, position, end):
                    await self._patiently(self._queue.put_chunk, current, chunk, 0)
                    given[chunk] = 0
                position = end
            if not given and position >= chunks:
                return True
            if given and monotonic() - moved > self._stall:
                await self._patiently(self._push, current, given)
                moved = monotonic()
            await asyncio.sleep(pause)

    async def _open_chunks(self, job: Job, start: int, end: int) -> list[int]:
        return await self._stored(self._items.open_chunks, job, job.chunk_size, start, end - start)

    async def _push(self, job: Job, given: dict[int, int]) -> None:
        """Queues chunks anew that ended before their items, which a fault of ours must have caused."""
        going = await self._queue.unfinished(job, given)
        for chunk in set(given) - going:
            log.error("chunk ended before its items", job=job.id, chunk=chunk)
            given[chunk] += 1
            await self._queue.put_chunk(job, chunk, given[chunk])

    async def _until_stopped(self, job: Job) -> None:
        """Waits for running items of a job that is being cancelled, but not for those of lost workers."""
        ends = monotonic() + 2 * self._lease
        while monotonic() < ends:
            current = await self._current(job)
            if current is None or not current.counts.running:
                return
            await asyncio.sleep(_SHORTEST_POLL)

    async def _decide_size(self, job: Job) -> int:
        """Items in a chunk: many where they are small, and never so many that workers stand idle."""
        slots = max(1, await self._stored(self._workers.concurrency))
        size = max(1, min(LARGEST_CHUNK, job.counts.total // (4 * slots)))
        if job.spec.operation != "generate":
            mean = await self._stored(self._jobs.mean_input_bytes, job)
            size = min(size, max(1, int(LARGEST_CHUNK * 65_536 / max(mean, 1))))
        return await self._stored(self._jobs.set_chunk_size, job, size)

    async def _window(self, size: int) -> int:
        """Chunks that are handed out at a time: enough for all workers until this looks again."""
        slots = await self._stored(self._workers.concurrency)
        return max(_SMALLEST_WINDOW, 4 * slots // size)

    async def _current(self, job: Job) -> Job | None:
        try:
            return await self._stored(self._jobs.get, job.id)
        except JobNotFoundError:
            return None

    async def _conclude(self, job_id: str, number: int, problem: ProblemError | None) -> Job | None:
        try:
            job = await self._stored(self._jobs.get, job_id)
        except JobNotFoundError:
            return None
        if job.round != number:  # tried anew already, after another worker had seen it through
            return None
        counts = job.counts
        if problem is None and job.listed and counts.total == 0:
            problem = ProblemError("no-inputs", "None of the job's sources holds an image file.")
        state = JobState.SUCCEEDED if counts.succeeded or not counts.failed else JobState.FAILED
        if job.cancelling and (counts.done < counts.total or counts.cancelled or not job.listed):
            state, problem = JobState.CANCELLED, None
        elif problem is not None:
            state = JobState.FAILED
        if counts.done < counts.total:
            await self._stored(self._jobs.stop, job)
        if job.spec.destination is None and counts.succeeded < counts.total:
            # At a destination of the client's there may have been files of these names before. Here nothing
            # else can: whoever tries the job anew has to wait for its end, which is noted after this.
            names = await self._stored(self._items.doubtful, job)
            if names:
                await self._places.delete_outputs(job, names)
        stored = None if problem is None else stored_problem(problem)
        return await self._stored(self._jobs.end, job, state, stored, self._retention)

    async def _stored(self, call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Asks a store, in a thread, until the database is there."""
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except DatabaseAwayError as error:
                await _wait(error)

    async def _patiently(
        self, call: Callable[P, Awaitable[Result]], *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        """Calls until the database is there."""
        while True:
            try:
                return await call(*args, **kwargs)
            except DatabaseAwayError as error:
                await _wait(error)


async def _wait(error: DatabaseAwayError) -> None:
    log.warning("the database is away", reason=str(error))
    await asyncio.sleep(_AWAY_SECONDS)
