"""What every batch does, wherever its images are: fetch results, and keep count of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.cli.asking import sentence
from service.cli.batch_jobs.outcome import Failure, Outcome, Watcher
from service.cli.batch_jobs.state import Done, Failed, Part, State, write_state
from service.cli.batch_jobs.units import Unit
from service.client import AsyncClient, ClientError, JobItem, ProblemError
from service.client.jobs import Operation, Priority

# A batch has time: an overloaded or restarting server is waited for longer than by somebody who looks on.
RETRY_SECONDS = 120.0
ANSWER_SECONDS = 300.0
_FETCHES = 4


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


class StoppedError(Exception):
    """Nothing more is to be tried; the text is a sentence.

    Attributes:
        passes: Whether the same command may well succeed later.
    """

    def __init__(self, text: str, *, passes: bool = True) -> None:
        super().__init__(text)
        self.passes = passes


class Work:
    """What every batch does: results are fetched and counted, and the state is kept on disk."""

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
        self.client = client
        self.recipe = recipe
        self.state = state
        self.outcome = outcome
        self.watcher = watcher
        self.folder = folder
        self._staging = staging
        self._settled = 0
        self.old_keys = {part.key for part in state.parts}
        self._fetches = asyncio.Semaphore(_FETCHES)
        self._saving = asyncio.Lock()
        self._trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def until_trouble(self, works: Sequence[Any]) -> None:
        """Waits for all, or until one of them or a fetch says that nothing more is to be tried.

        Args:
            works: Coroutines; what is left of them is cancelled.

        Raises:
            StoppedError: Something keeps all images from being made.
        """
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in works]
        working = asyncio.gather(*tasks)
        try:
            waited: set[asyncio.Future[Any]] = {working, self._trouble}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._trouble.done():
                self._trouble.result()
            await working
        except ClientError as error:
            raise StoppedError(sentence(self.client.url, error), passes=not _is_refusal(error)) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, working, return_exceptions=True)
            self._trouble.cancel()

    async def take(self, part: Part, unit: Unit, item: JobItem, fetching: set[asyncio.Task[None]]) -> None:
        """Has a result fetched, unless it is where it belongs; waits while many are being fetched.

        Args:
            part: The job.
            unit: The image.
            item: The same, as the job has it.
            fetching: Gets the task that fetches it.
        """
        output = item.output
        assert output is not None
        if self.folder is None:
            self.made(part, unit, output.size)
            return
        path = self.folder / unit.output
        if await asyncio.to_thread(_is_here, path, output.size, part.begun):
            self.outcome.kept += 1
            self.made(part, unit, output.size, fetched=False)
            return
        await self._fetches.acquire()
        task = asyncio.create_task(self._fetch(part, unit, item, path))
        fetching.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            fetching.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._stop(error)

        task.add_done_callback(ended)

    async def _fetch(self, part: Part, unit: Unit, item: JobItem, path: Path) -> None:
        assert part.id is not None
        assert item.output is not None
        try:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            saved = await self.client.job_output(part.id, item.n, path, staging=self._staging)
            if saved.size != item.output.size:
                raise StoppedError(f"{path} is not as long as the server says; something is between us.")
            self.made(part, unit, saved.size)
        except OSError as error:
            raise StoppedError(f"Cannot write {path}: {error.strerror or error}.") from error
        except ProblemError as error:
            if error.status not in (404, 410):
                raise
            self.fail(unit, error.body, part.id, item.n)
        finally:
            self._fetches.release()

    def made(self, part: Part, unit: Unit, size: int, *, fetched: bool = True) -> None:
        """An image is where it belongs.

        Args:
            part: The job.
            unit: The image.
            size: Of the result, in bytes.
            fetched: Whether that is so since now.
        """
        if part.units is not None:
            self.state.done[unit.name] = Done(unit.stamp, size)
            self.state.failed.pop(unit.name, None)
        self.outcome.made += fetched
        self.settle()

    def fail(self, unit: Unit, problem: Mapping[str, Any], job: str | None, n: int | None) -> None:
        """An image cannot be made.

        Args:
            unit: The image.
            problem: Why, as RFC 9457 has it.
            job: Id of the job, if there is one.
            n: Its number in the job.
        """
        self.state.failed[unit.name] = Failed(unit.stamp, problem)
        failure = Failure(unit.name, problem, job, n)
        self.outcome.failures.append(failure)
        self.watcher.failed(failure)
        self.settle()

    def settle(self) -> None:
        """Nothing more will be done about one more image."""
        self._settled += 1
        self.watcher.done(self._settled)

    def _stop(self, error: BaseException) -> None:
        if not self._trouble.done():
            self._trouble.set_exception(error)

    async def forget_if_refused(self, part: Part, error: ProblemError) -> None:
        """Drops a job that will never be; one that may be there is asked for again under its key.

        Args:
            part: What was to be the job.
            error: The answer.
        """
        if _is_refusal(error):
            await self.drop(part)

    async def drop(self, part: Part) -> None:
        """Forgets a job that nothing more is wanted of, and writes that down.

        Args:
            part: The job.
        """
        if part in self.state.parts:
            self.state.parts.remove(part)
        await self.save()

    async def save(self) -> None:
        """Writes the state to disk.

        Raises:
            StoppedError: It cannot be written.
        """
        async with self._saving:
            content = self.state.content()
            try:
                await asyncio.to_thread(write_state, self.state.path, content)
            except OSError as error:
                raise StoppedError(f"Cannot write {self.state.path}: {error.strerror or error}.") from error


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
