"""Following jobs: each is looked at twice a second for all who watch it, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import structlog

from service.jobs.database import DatabaseAwayError
from service.jobs.desk import JobDesk
from service.jobs.job_store import JobNotFoundError
from service.jobs.records import Item, Job

log = structlog.get_logger(__name__)

PAGE: Final = 200

Render = Callable[[Job, Sequence[Item]], bytes]
"""Makes what watchers are sent of items that changed together."""

_POLL_SECONDS: Final = 0.5
_PAGES: Final = 8  # kept for others to have; who watches without a gap asks for the same one as everybody


@dataclass(frozen=True)
class ChangedItems:
    """Some items that changed, those that changed longest ago first.

    Attributes:
        groups: Of items that changed together: the revision, and what watchers are sent of them.
        more: Whether there may be others.
    """

    groups: Sequence[tuple[int, bytes]]
    more: bool


class WatchedJob:
    """A job as it was when it was last looked at, half a second ago at most unless the database is away.

    Attributes:
        job: The job.
        deleted: It is gone; `job` is what it was.
    """

    def __init__(self, desk: JobDesk, job: Job) -> None:
        self.job = job
        self.deleted = False
        self.watchers = 0
        self._desk = desk
        self._looked = asyncio.Event()
        self._pages: dict[int, asyncio.Task[ChangedItems]] = {}
        self._task: asyncio.Task[None] | None = None

    async def looked(self) -> None:
        """Returns when the job was looked at once more, though it may not have changed or not been found."""
        if not self.deleted:
            await self._looked.wait()

    async def changed(self, after: int, render: Render) -> ChangedItems:
        """Items that changed after a revision. Who asks for the same gets the same, looked up and made once.

        Args:
            after: The revision.
            render: The same for all who watch.

        Raises:
            DatabaseAwayError: The database is.
        """
        task = self._pages.get(after)
        if task is None:
            job = self.job
            task = asyncio.ensure_future(self._desk.ask(lambda: _changed(self._desk, job, after, render)))
            task.add_done_callback(_taken_note_of)
            self._pages[after] = task
            if len(self._pages) > _PAGES:
                del self._pages[next(iter(self._pages))]
        # One who leaves does not take the page from the others.
        return await asyncio.shield(task)

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Nobody watches any more."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        while not self.deleted:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                self.job = await self._desk.ask(lambda: self._desk.jobs.get(self.job.id))
            except JobNotFoundError:
                self.deleted = True
            except DatabaseAwayError:
                pass  # it comes back, and who watches waits
            except Exception:
                log.exception("a job cannot be looked at", job=self.job.id)
            self._pages = {}
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()


class Watching:
    """All jobs that are watched, in one gateway."""

    def __init__(self, desk: JobDesk) -> None:
        """None is.

        Args:
            desk: Where they are looked up.
        """
        self._desk = desk
        self._jobs: dict[str, WatchedJob] = {}

    @property
    def watchers(self) -> int:
        """How many watch anything."""
        return sum(watched.watchers for watched in self._jobs.values())

    @contextmanager
    def watch(self, job: Job) -> Iterator[WatchedJob]:
        """Watches a job.

        Args:
            job: As it was just read.

        Yields:
            The job, as it changes.
        """
        watched = self._jobs.get(job.id)
        if watched is None:
            watched = self._jobs[job.id] = WatchedJob(self._desk, job)
            watched.start()
        elif job.revision > watched.job.revision:
            watched.job = job
        watched.watchers += 1
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._jobs[job.id]
                watched.stop()


def _changed(desk: JobDesk, job: Job, after: int, render: Render) -> ChangedItems:
    items = desk.items.changed(job, after, limit=PAGE)
    groups = groupby(items, lambda item: item.revision)
    return ChangedItems(
        [(revision, render(job, list(group))) for revision, group in groups], len(items) >= PAGE
    )


def _taken_note_of(task: asyncio.Task[ChangedItems]) -> None:
    """All who waited for it may have left."""
    if not task.cancelled():
        task.exception()
