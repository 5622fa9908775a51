"""A batch at work: jobs are made, watched, and their results fetched, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from service.cli.asking import sentence
from service.cli.batch_jobs.outcome import Failure, Outcome, Watcher
from service.cli.batch_jobs.state import Done, Failed, Part, State, write_state
from service.cli.batch_jobs.units import Unit, parts
from service.client import AsyncClient, ClientError, Job, JobItem, ProblemError
from service.client.jobs import Operation, Priority
from service.jobs.safe_names import UnsafeNameError, safe_name

# A batch has time: an overloaded or restarting server is waited for longer than by somebody who looks on.
RETRY_SECONDS = 120.0
_ANSWER_SECONDS = 300.0
_FETCHES = 4
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Recipe:
    """What is done with each image.

    Attributes:
        operation: As jobs have it.
        model: Name of the model.
        parameters: As the operation's own call takes them.
        naming: Pattern of the outputs' names; None where the files here have names of their own.
        destination: URL that the server writes results below; None if they are fetched.
        priority: Among jobs.
    """

    operation: Operation
    model: str
    parameters: Mapping[str, Any]
    naming: str | None
    destination: str | None
    priority: Priority


@dataclass(frozen=True)
class Prefix:
    """Images that the server finds by itself.

    Attributes:
        url: Of the prefix.
        pattern: Only those that match.
    """

    url: str
    pattern: str | None


class StoppedError(Exception):
    """Nothing more is to be tried; the text is a sentence.

    Attributes:
        passes: Whether the same command may well succeed later.
    """

    def __init__(self, text: str, *, passes: bool = True) -> None:
        super().__init__(text)
        self.passes = passes


class Runner:
    """Carries out one batch."""

    def __init__(
        self,
        client: AsyncClient,
        recipe: Recipe,
        state: State,
        outcome: Outcome,
        watcher: Watcher,
        *,
        folder: Path | None,
        staging: Path,
    ) -> None:
        """Takes what is needed; nothing is sent yet.

        Args:
            client: Of the server.
            recipe: What is done.
            state: Kept up to date on disk.
            outcome: Kept up to date.
            watcher: Told of each image.
            folder: Where results are put; None if the server writes them elsewhere.
            staging: Folder for unfinished files.
        """
        self._client = client
        self._recipe = recipe
        self._state = state
        self._outcome = outcome
        self._watcher = watcher
        self._folder = folder
        self._staging = staging
        self._settled = 0
        self._old_keys = {part.key for part in state.parts}
        self._fetches = asyncio.Semaphore(_FETCHES)
        self._saving = asyncio.Lock()
        self._trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def units(
        self, begun: Iterable[tuple[Part, list[Unit | None]]], pending: Sequence[Unit], at_a_time: int
    ) -> None:
        """Makes images of files or seeds.

        Args:
            begun: Jobs of an earlier run, with those of their images that are still wanted.
            pending: Images that are in none of them.
            at_a_time: How many jobs are under way at a time.

        Raises:
            StoppedError: Something keeps all of them from being made.
        """
        new = ((self._part(units), list[Unit | None](units)) for units in parts(pending))
        waiting = chain(begun, new)

        async def work(waiting: Iterator[tuple[Part, list[Unit | None]]]) -> None:
            for part, units in waiting:
                await self._carry_out(part, units)

        await self._until_trouble([work(waiting) for _ in range(at_a_time)])

    async def prefix(self, part: Part, prefix: Prefix, *, retry: bool) -> None:
        """Makes images of what the server finds.

        Args:
            part: Of an earlier run, or new.
            prefix: Where it looks.
            retry: Whether failed images of a job that has ended are tried anew.

        Raises:
            StoppedError: Something keeps all of them from being made.
        """
        await self._until_trouble([self._carry_out_prefix(part, prefix, retry)])

    def _part(self, units: Sequence[Unit]) -> Part:
        part = Part.of(units)
        self._state.parts.append(part)
        return part

    async def _until_trouble(self, works: Sequence[Any]) -> None:
        """Waits for all, or until one of them or a fetch says that nothing more is to be tried."""
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in works]
        working = asyncio.gather(*tasks)
        try:
            waited: set[asyncio.Future[Any]] = {working, self._trouble}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._trouble.done():
                self._trouble.result()
            await working
        except ClientError as error:
            raise StoppedError(sentence(self._client.url, error), passes=not _is_refusal(error)) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, working, return_exceptions=True)
            self._trouble.cancel()
            with suppress(OSError):  # so that a disk that is full is told of by what met it first
                self._state.save()

    async def _carry_out(self, part: Part, units: list[Unit | None]) -> None:
        """Sees one job through, in several if the server wants less at a time."""
        if part.id is not None:
            self._outcome.jobs.append(part.id)
        elif not await self._send(part, units):
            return
        try:
            await self._follow(part, units)
        except ProblemError as error:
            if error.status not in (404, 410):
                raise
            # It was deleted, or its time was over; what it had not given is asked for anew.
            await self._drop(part)
            left = [unit for unit in units if unit is not None and not self._state.is_settled(unit)]
            if left:
                await self._carry_out(self._part(left), list(left))

    async def _send(self, part: Part, units: list[Unit | None]) -> bool:
        """Makes the job; False if others were made in its place, or none is left to make."""
        wanted = [unit for unit in units if unit is not None]
        await self._save()
        failed: list[Unit] = []
        pieces: list[list[Unit]] = []
        problem: Mapping[str, Any] = {}
        try:
            job = await self._create(part, wanted)
        except OSError as error:
            failed = [unit for unit in wanted if error.filename in (unit.source, str(unit.source))]
            if not failed:
                raise StoppedError(f"Cannot read the images: {error.strerror or error}.") from error
            problem = {"title": "The file cannot be read", "detail": error.strerror or str(error)}
            pieces = [[unit for unit in wanted if unit not in failed]]
        except ProblemError as error:
            if error.status == 409 and part.key in self._old_keys:
                pieces = [wanted]  # the earlier run had it made otherwise: a new key, then
            elif error.status == 413 and len(wanted) > 1:
                half = len(wanted) // 2
                pieces = [wanted[:half], wanted[half:]]
            elif error.status == 413:
                failed, problem = wanted, error.body
            else:
                await self._forget_if_refused(part, error)
                raise
        else:
            part.id = job.id
            self._outcome.jobs.append(job.id)
            await self._save()
            return True
        await self._drop(part)
        for unit in failed:
            self._fail(unit, problem, None, None)
        for piece in pieces:
            if piece:
                await self._carry_out(self._part(piece), list(piece))
        return False

    async def _create(self, part: Part, units: Sequence[Unit]) -> Job:
        recipe = self._recipe
        files = [(unit.name, unit.source) for unit in units if unit.source is not None]
        seeds = [int(unit.name) for unit in units if unit.source is None]
        consecutive = bool(seeds) and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
        return await self._client.create_job(
            recipe.operation,
            recipe.model,
            parameters=recipe.parameters,
            files=files,
            seeds=None if not seeds else range(seeds[0], seeds[0] + len(seeds)) if consecutive else seeds,
            naming=recipe.naming,
            destination=recipe.destination,
            priority=recipe.priority,
            idempotency_key=part.key,
            wait=_ANSWER_SECONDS,
        )

    async def _follow(self, part: Part, units: list[Unit | None]) -> None:
        """Fetches what a job makes, as it is made, and writes down how it went."""
        assert part.id is not None
        told: set[int] = set()
        cancelled: list[Unit] = []
        fetching: set[asyncio.Task[None]] = set()

        async def take(item: JobItem) -> None:
            unit = units[item.n] if item.n < len(units) else None
            if unit is None or item.n in told or not item.ended:
                return
            told.add(item.n)
            if item.state == "succeeded":
                await self._take(part, unit, item, fetching)
            elif item.state == "failed":
                self._fail(unit, item.problem or {}, part.id, item.n)
            else:
                cancelled.append(unit)

        try:
            async with aclosing(self._client.job_events(part.id)) as events:
                async for event in events:
                    if event.item is not None:
                        await take(event.item)
            if len(told) < sum(unit is not None for unit in units):
                async with aclosing(self._client.job_items(part.id)) as items:
                    async for item in items:
                        await take(item)
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
        job = await self._client.job(part.id)
        for n, unit in enumerate(units):
            if unit is not None and n not in told:
                if job.problem is None:
                    cancelled.append(unit)
                else:
                    self._fail(unit, job.problem, part.id, n)
        await self._drop(part)
        if cancelled and part.key in self._old_keys:
            # By an earlier run, or since: this run is asked to make them.
            await self._carry_out(self._part(cancelled), list(cancelled))
        else:
            self._outcome.cancelled += len(cancelled)
            for _ in cancelled:
                self._settle()

    async def _carry_out_prefix(self, part: Part, prefix: Prefix, retry: bool) -> None:
        if part not in self._state.parts:
            self._state.parts.append(part)
        job = await self._prefix_job(part, prefix)
        self._outcome.jobs.append(job.id)
        if retry and job.ended and (job.counts.failed or job.counts.cancelled):
            job = await self._client.retry_job(job.id)
        before = job.counts.succeeded if self._folder is None else 0
        if self._folder is None:
            job = await self._watch(job)
            self._outcome.kept = before
            self._outcome.made = job.counts.succeeded - before
        else:
            job = await self._fetch_all(part, job)
        async with aclosing(self._client.job_items(job.id, state="failed")) as items:
            async for item in items:
                failure = Failure(item.name, item.problem or {}, job.id, item.n)
                self._outcome.failures.append(failure)
                self._watcher.failed(failure)
        self._outcome.cancelled = job.counts.cancelled
        if job.problem is not None:
            await self._drop(part)
            raise StoppedError(f"The job {job.id} failed: {Failure('', job.problem).reason}.", passes=False)
        part.ended = True
        await self._save()

    async def _prefix_job(self, part: Part, prefix: Prefix) -> Job:
        """The job of an earlier run, if there is one still, or a new one."""
        if part.id is not None:
            try:
                return await self._client.job(part.id)
            except ProblemError as error:
                if error.status not in (404, 410):
                    raise
            if part.ended:
                raise StoppedError(
                    "This batch has ended, and the server has deleted its job since; --overwrite makes all of"
                    " it anew.",
                    passes=False,
                )
            fresh = Part.of(None)
            part.key, part.begun, part.id = fresh.key, fresh.begun, None
        await self._save()
        recipe = self._recipe
        found = prefix.url if prefix.pattern is None else (prefix.url, prefix.pattern)
        try:
            job = await self._client.create_job(
                recipe.operation,
                recipe.model,
                parameters=recipe.parameters,
                prefixes=[found],
                naming=recipe.naming,
                destination=recipe.destination,
                priority=recipe.priority,
                idempotency_key=part.key,
                wait=_ANSWER_SECONDS,
            )
        except ProblemError as error:
            await self._forget_if_refused(part, error)
            raise
        part.id = job.id
        await self._save()
        return job

    async def _watch(self, job: Job) -> Job:
        """Waits for the end of a job whose results go elsewhere."""
        while True:
            self._watcher.total(job.counts.total)
            self._watcher.done(job.counts.done)
            if job.ended:
                return job
            await asyncio.sleep(_POLL_SECONDS)
            job = await self._client.job(job.id)

    async def _fetch_all(self, part: Part, job: Job) -> Job:
        """Fetches what a job makes of what it finds."""
        fetching: set[asyncio.Task[None]] = set()
        told: set[int] = set()
        try:
            async with aclosing(self._client.job_events(job.id)) as events:
                async for event in events:
                    if event.job is not None:
                        self._watcher.total(event.job.counts.total)
                    item = event.item
                    if item is None or not item.ended or item.n in told:
                        continue
                    told.add(item.n)
                    if item.output is not None:
                        await self._take(part, _unit_of(item), item, fetching)
                    else:
                        self._settle()
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
        return await self._client.job(job.id)

    async def _take(self, part: Part, unit: Unit, item: JobItem, fetching: set[asyncio.Task[None]]) -> None:
        """Has a result fetched, unless it is where it belongs."""
        output = item.output
        assert output is not None
        if self._folder is None:
            self._made(part, unit, output.size)
            return
        path = self._folder / unit.output
        if await asyncio.to_thread(_is_here, path, output.size, part.begun):
            self._outcome.kept += 1
            self._made(part, unit, output.size, fetched=False)
            return
        await self._fetches.acquire()
        task = asyncio.create_task(self._fetch(part, unit, item, path))
        fetching.add(task)
        task.add_done_callback(fetching.discard)

    async def _fetch(self, part: Part, unit: Unit, item: JobItem, path: Path) -> None:
        assert part.id is not None
        assert item.output is not None
        try:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            saved = await self._client.job_output(part.id, item.n, path, staging=self._staging)
            if saved.size != item.output.size:
                raise StoppedError(f"{path} is not as long as the server says; something is between us.")
            self._made(part, unit, saved.size)
        except OSError as error:
            self._stop(StoppedError(f"Cannot write {path}: {error.strerror or error}."))
        except ProblemError as error:
            if error.status in (404, 410):
                self._fail(unit, error.body, part.id, item.n)
            else:
                self._stop(error)
        except (ClientError, StoppedError) as error:
            self._stop(error)
        finally:
            self._fetches.release()

    def _made(self, part: Part, unit: Unit, size: int, *, fetched: bool = True) -> None:
        if part.units is not None:
            self._state.done[unit.name] = Done(unit.stamp, size)
            self._state.failed.pop(unit.name, None)
        self._outcome.made += fetched
        self._settle()

    def _fail(self, unit: Unit, problem: Mapping[str, Any], job: str | None, n: int | None) -> None:
        self._state.failed[unit.name] = Failed(unit.stamp, problem)
        failure = Failure(unit.name, problem, job, n)
        self._outcome.failures.append(failure)
        self._watcher.failed(failure)
        self._settle()

    def _settle(self) -> None:
        self._settled += 1
        self._watcher.done(self._settled)

    def _stop(self, error: Exception) -> None:
        if not self._trouble.done():
            self._trouble.set_exception(error)

    async def _forget_if_refused(self, part: Part, error: ProblemError) -> None:
        """No job was made, and none will be; otherwise it may be there, and is asked for under its key."""
        if _is_refusal(error):
            await self._drop(part)

    async def _drop(self, part: Part) -> None:
        if part in self._state.parts:
            self._state.parts.remove(part)
        await self._save()

    async def _save(self) -> None:
        async with self._saving:
            content = self._state.content()
            try:
                await asyncio.to_thread(write_state, self._state.path, content)
            except OSError as error:
                raise StoppedError(f"Cannot write {self._state.path}: {error.strerror or error}.") from error


def _is_refusal(error: ClientError) -> bool:
    """Whether asking again would come to the same."""
    return isinstance(error, ProblemError) and 400 <= error.status < 500 and error.status not in (408, 429)


def _is_here(path: Path, size: int, since: float) -> bool:
    """Whether a result was fetched already, by a run that was stopped before it could write that down."""
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_size == size and found.st_mtime >= since


def _unit_of(item: JobItem) -> Unit:
    """An image that the server found; its name is not to be trusted."""
    assert item.output is not None
    try:
        return Unit(item.name, None, safe_name(item.output.name))
    except UnsafeNameError as error:
        raise StoppedError(f"The server calls a result {item.output.name!r}: {error}.") from error
