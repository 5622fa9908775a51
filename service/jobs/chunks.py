"""A chunk of a job's items, done by one worker: each item read, computed, stored, and only then counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final, cast

import structlog

from service.api.errors.problems import ProblemError, stored_problem
from service.jobs.item_store import Claim, ItemStore
from service.jobs.job_store import JobNotFoundError, JobStore
from service.jobs.ledger import Ledger
from service.jobs.operations import JobOperation, read_operation
from service.jobs.places import Places
from service.jobs.produced import NotNowError, Produced
from service.jobs.records import Finished, Item, ItemState, Job, JobSpec, Output, Seed
from service.jobs.runtime import Runtime
from service.jobs.slots import Slots
from service.jobs.storage import StorageError
from service.telemetry.jobs import JobMetrics, RetryReason, Stage
from service.telemetry.tracing import failed, span, stage

log = structlog.get_logger(__name__)

_FIRST_PAUSE: Final = 0.2
_LOOK_AGAIN_SECONDS: Final = 1.0
_FAULT: Final = "It failed again and again; the worker's log says why."
_LONGEST_PAUSE: Final = 5.0
_IN_HAND: Final = 3  # for each item that is computed
_STORED_AT_A_TIME: Final = 8  # images of one group


def operation_of(spec: JobSpec) -> JobOperation:
    """What is done with each item, as it was checked when the job was made.

    Raises:
        ProblemError: If the parameters are not valid any more.
    """
    return read_operation(spec.operation, spec.model, spec.parameters, spec.pin_digest)


@dataclass(eq=False)
class _Running:
    """A task that does items, and why it was told to stop."""

    job: int
    task: asyncio.Task[bool]
    cancelled: bool = False


@dataclass(eq=False)
class _Ours:
    """What one task says about items of a job, and whether all it said was still its to say."""

    job: Job
    ledger: Ledger
    all: bool = True

    async def ended(self, end: Finished) -> bool:
        """Notes an end; returns whether it counted."""
        counted = await self.ledger.finish(self.job.key, end)
        self.all &= counted
        return counted


class ChunkRunner:
    """Does chunks, any number at a time, with so many items at a time among all of them."""

    def __init__(
        self,
        jobs: JobStore,
        items: ItemStore,
        ledger: Ledger,
        runtime: Runtime,
        places: Places,
        *,
        concurrency: int,
        max_attempts: int,
        patience: float,
        metrics: JobMetrics,
    ) -> None:
        """Nothing runs yet.

        Args:
            jobs: Jobs.
            items: Their items.
            ledger: Where beginnings and ends of items are noted.
            runtime: Makes images.
            places: Where files are read and written.
            concurrency: Items that are computed at a time; so many groups of seeds.
            max_attempts: After so many attempts that ended without a word an item is given up.
            patience: For so many seconds an item waits for Triton or storage, which are away or full.
            metrics: Of the worker.
        """
        self._jobs = jobs
        self._items = items
        self._ledger = ledger
        self._runtime = runtime
        self._places = places
        self._max_attempts = max_attempts
        self._patience = patience
        self._metrics = metrics
        # Items that are read, stored, or written down as begun or ended are in hand; while they wait for
        # storage or for the database, others are computed.
        self.slots = Slots(_IN_HAND * concurrency)
        self._computing = Slots(concurrency)
        self._running: set[_Running] = set()
        self._doing: set[tuple[int, int]] = set()
        self.draining = False

    @property
    def active_jobs(self) -> set[int]:
        """Keys of jobs of which something runs here."""
        return {running.job for running in self._running}

    def cancel(self, jobs: set[int]) -> None:
        """Stops what runs here of these jobs; it becomes cancelled."""
        for running in list(self._running):
            if running.job in jobs and not running.cancelled:
                running.cancelled = True
                running.task.cancel()

    async def drain(self, seconds: float) -> None:
        """Begins nothing more, waits for what runs, and puts back what takes longer."""
        self.draining = True
        tasks = {running.task for running in self._running}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        self.abandon()
        if tasks:
            await asyncio.wait(tasks, timeout=10)

    def abandon(self) -> None:
        """Stops at once: this worker's items are, or will be, somebody else's."""
        self.draining = True
        for running in list(self._running):
            running.task.cancel()

    async def run(self, job_id: str, first: int, count: int) -> None:
        """Does what is not done of a chunk.

        Args:
            job_id: The job.
            first: Its first item.
            count: How many items it has.
        """
        while True:
            if await self._once(job_id, first, count) or self.draining:
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _once(self, job_id: str, first: int, count: int) -> bool:
        """Does what can be done now; False if somebody is at an item, whose end has to be seen."""
        try:
            job = await asyncio.to_thread(self._jobs.get, job_id)
        except JobNotFoundError:
            return True
        if job.ended_at is not None:
            return True
        found, held = await asyncio.to_thread(self._items.chunk, job, first, count, self._ledger.worker)
        items = [item for item in found if (job.key, item.n) not in self._doing]
        if job.cancelling:
            await self._cancelled(job, items)
            return True
        # An item that is marked as running was left by a worker that is no more.
        suspects = [item for item in items if item.suspect or item.state is ItemState.RUNNING]
        others = [item for item in items if item not in suspects]
        groups = [others] if job.spec.operation == "generate" and others else [[item] for item in others]
        doing = {(job.key, item.n) for item in items}
        self._doing |= doing
        try:
            with (
                self._metrics.chunks_running.track_inprogress(),
                span("job.chunk", parent=job.traceparent, job=job.id, first=first, items=len(items)),
            ):
                ended = await asyncio.gather(
                    *(self._started(job, group, alone=False) for group in groups),
                    *(self._started(job, [item], alone=True) for item in suspects),
                    return_exceptions=True,  # nothing runs on when this returns
                )
        finally:
            self._doing -= doing
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome
        return not held and len(items) == len(found) and all(ended)

    async def _started(self, job: Job, group: Sequence[Item], *, alone: bool) -> bool:
        """Does a group in a task of its own, so that it can be stopped by itself.

        Returns:
            Whether all of it has ended by this worker's word.
        """
        task = asyncio.create_task(self._group(job, group, alone))
        running = _Running(job.key, task)
        self._running.add(running)
        try:
            await asyncio.wait({task})
        finally:
            self._running.discard(running)
        if not task.cancelled():
            return task.result()
        if running.cancelled:
            # Before it began; what had begun has said so itself.
            await self._cancelled(job, group)
        return running.cancelled

    async def _group(self, job: Job, group: Sequence[Item], alone: bool) -> bool:
        async with self.slots.one(alone=alone):
            if self.draining:
                return False
            ours = _Ours(job, self._ledger)
            begun = []
            for item in group:
                if alone and item.attempts >= self._max_attempts:
                    await self._give_up(ours, item)
                else:
                    begun.append(replace(item, attempts=item.attempts + 1))
            if not begun:
                return ours.all
            if alone:
                self._metrics.retries.labels(job.spec.operation, "lost").inc(len(begun))
            try:
                # Within: stopped while this is written, an item may have begun or not.
                taken = await self._ledger.claim([Claim(job.key, item.n, item.attempts) for item in begun])
                if not all(taken):  # somebody was quicker
                    ours.all = False
                    begun = [item for item, is_so in zip(begun, taken, strict=True) if is_so]
                    if not begun:
                        return False
                with span("job.item", job=job.id, item=begun[0].n, items=len(begun), alone=alone):
                    if job.spec.operation == "generate":
                        await self._generate(ours, begun)
                    else:
                        await self._image(ours, begun[0])
            except asyncio.CancelledError:
                await asyncio.shield(self._stopped(job, begun))
                raise
            return ours.all

    async def _give_up(self, ours: _Ours, item: Item) -> None:
        log.error("item given up", job=ours.job.id, item=item.n, attempts=item.attempts)
        lost = ProblemError(
            "item-lost", f"The worker died each of the {item.attempts} times that it was doing this item."
        )
        await self._failed(ours, item, lost, 0.0)

    async def _stopped(self, job: Job, begun: Sequence[Item]) -> None:
        """Says what becomes of items that were stopped; those that have ended stay as they are."""
        if any(running.job == job.key and running.cancelled for running in self._running):
            await self._cancelled(job, begun)
            return
        for item in begun:
            await self._ledger.finish(job.key, Finished(item.n, item.attempts, ItemState.QUEUED))

    async def _cancelled(self, job: Job, items: Sequence[Item]) -> None:
        ends = (Finished(item.n, item.attempts, ItemState.CANCELLED) for item in items)
        await asyncio.gather(*(self._ledger.finish(job.key, end) for end in ends))

    async def _image(self, ours: _Ours, item: Item) -> None:
        job, timings = ours.job, dict[str, float]()

        async def attempt() -> None:
            operation = operation_of(job.spec)
            started = perf_counter()
            with stage("read"):
                data = await self._places.read(job, item)
            timings["read"] = perf_counter() - started
            async with self._turn():
                produced = await self._runtime.run_image(operation, data, caller=job.owner)
            await self._stored(ours, item, produced, timings)

        await self._until_ended(ours, [item], attempt)

    async def _generate(self, ours: _Ours, items: Sequence[Item]) -> None:
        job, left = ours.job, list(items)

        async def attempt() -> None:
            operation = operation_of(job.spec)
            wanted, storing = list(left), set[asyncio.Task[None]]()
            seeds = [item.source.seed for item in wanted if isinstance(item.source, Seed)]
            images = self._runtime.run_seeds(operation, seeds, caller=job.owner)
            try:
                async with self._turn(), aclosing(images) as made:
                    next_item = iter(wanted)
                    async for produced in made:
                        work = self._seed_stored(ours, next(next_item), produced, left)
                        storing.add(asyncio.create_task(work))
                        while len(storing) >= _STORED_AT_A_TIME:
                            done, storing = await asyncio.wait(storing, return_when=asyncio.FIRST_COMPLETED)
                            for task in done:
                                task.result()
                await asyncio.gather(*storing)
            finally:
                if storing:
                    await asyncio.wait(storing)

        await self._until_ended(ours, left, attempt)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the places of what this worker computes at a time."""
        async with contextlib.AsyncExitStack() as place:
            with stage("queue", waits_for="worker"):
                await place.enter_async_context(self._computing.one())
            yield

    async def _seed_stored(self, ours: _Ours, item: Item, produced: Produced, left: list[Item]) -> None:
        await self._stored(ours, item, produced, {})
        left.remove(item)

    async def _until_ended(
        self, ours: _Ours, left: Sequence[Item], attempt: Callable[[], Awaitable[None]]
    ) -> None:
        """Tries until it is done or turns out to be impossible; `left` holds what has not ended."""
        job = ours.job
        started, pause, crashes = perf_counter(), _FIRST_PAUSE, 0
        while True:
            reason: RetryReason
            try:
                await attempt()
                return
            except ProblemError as error:
                problem = error
                break
            except NotNowError as error:
                problem, reason = ProblemError(error.reason, str(error)), "triton-away"
                pause = max(pause, error.retry_after)
                crashes += error.suspect  # it may be what brings the model down
            except StorageError as error:
                problem, reason = ProblemError("storage-unavailable", error.reason), "storage-away"
            except Exception:
                log.exception("item failed", job=job.id, item=left[0].n)
                problem, reason = ProblemError("internal-error", _FAULT), "failed"
                crashes += 1
            if crashes >= self._max_attempts or perf_counter() - started > self._patience:
                break
            log.warning("item waits", job=job.id, item=left[0].n, reason=problem.detail)
            self._metrics.retries.labels(job.spec.operation, reason).inc()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        failed(problem.problem.slug)
        for item in list(left):
            await self._failed(ours, item, problem, perf_counter() - started)

    async def _failed(self, ours: _Ours, item: Item, problem: ProblemError, seconds: float) -> None:
        ended = Finished(item.n, item.attempts, ItemState.FAILED, problem=stored_problem(problem))
        if await ours.ended(ended):
            self._metrics.item_ended(ours.job.spec.operation, problem.problem.slug, seconds)
            log.info(
                "item ended",
                job=ours.job.id,
                item=item.n,
                problem=problem.problem.slug,
                reason=problem.detail,
            )

    async def _stored(self, ours: _Ours, item: Item, produced: Produced, timings: dict[str, float]) -> None:
        """Stores what was made and counts it; begun, this is finished even when the item is cancelled."""
        storing = asyncio.ensure_future(self._store(ours, item, produced, timings))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            await asyncio.wait({storing})
            raise
        finally:
            produced.file.close()

    async def _store(self, ours: _Ours, item: Item, produced: Produced, timings: dict[str, float]) -> None:
        job, started = ours.job, perf_counter()
        with stage("write", bytes=produced.size):
            size = await self._places.write(job, item, produced)
        timings = {**timings, **produced.timings, "write": perf_counter() - started}
        output = Output(
            size,
            produced.media_type,
            produced.width,
            produced.height,
            produced.pixels_sha256,
            produced.model_digest,
        )
        ended = Finished(item.n, item.attempts, ItemState.SUCCEEDED, output, timings=timings)
        if await ours.ended(ended):
            self._metrics.item_ended(job.spec.operation, "ok", sum(timings.values()))
            for part, seconds in timings.items():
                self._metrics.stage_ended(job.spec.operation, cast("Stage", part), seconds)
