"""A job's sources, turned into items page by page, and taken up where it stopped after a crash."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Final

import structlog

from service.api.errors.problems import ProblemError, stored_problem
from service.jobs.archives import open_archive
from service.jobs.job_store import JobStore
from service.jobs.places import Places
from service.jobs.records import (
    Job,
    NewItem,
    PrefixSource,
    Seed,
    SeedSource,
    StoredObject,
    ZipEntry,
    ZipSource,
)
from service.jobs.storage import StorageError
from service.jobs.zip_records import ArchiveError, EntryError

log = structlog.get_logger(__name__)

PAGE: Final = 1000
SUFFIXES: Final = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".pnm",
    ".ppm",
    ".pgm",
)
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0

_Page = tuple[list[NewItem], str | int]


class Lister:
    """Lists the sources of jobs."""

    def __init__(self, jobs: JobStore, places: Places, max_items: int, patience: float) -> None:
        """Lists nothing yet.

        Args:
            jobs: Where the items go.
            places: Where the sources are.
            max_items: Most items of one job.
            patience: For so many seconds storage that is away is waited for.
        """
        self._jobs = jobs
        self._places = places
        self._max_items = max_items
        self._patience = patience

    async def run(self, job: Job) -> None:
        """Adds what is not listed yet of a job's sources.

        Args:
            job: The job. Somebody else may list it too, as after a worker was lost; one of both goes on.

        Raises:
            ProblemError: A source cannot be read, or there are too many items.
        """
        cursor, listed = await asyncio.to_thread(self._jobs.cursor, job)
        index, after = json.loads(cursor) if cursor else (0, None)
        for number in range(index, len(job.spec.sources)):
            async with aclosing(self._pages(job, number, after)) as pages:
                async for page, position in pages:
                    if listed + len(page) > self._max_items:
                        raise ProblemError(
                            "too-many-items",
                            f"The job's sources hold more than {self._max_items} items.",
                            limit_items=self._max_items,
                        )
                    if not await asyncio.to_thread(
                        self._jobs.add_page, job, listed, page, json.dumps([number, position]), last=False
                    ):
                        return
                    listed += len(page)
                    if await asyncio.to_thread(self._jobs.cancelling, [job.key]):
                        return
            if await asyncio.to_thread(self._jobs.cancelling, [job.key]):
                return
            after = None
        await asyncio.to_thread(
            self._jobs.add_page, job, listed, [], json.dumps([len(job.spec.sources), None]), last=True
        )

    async def _pages(self, job: Job, number: int, after: str | int | None) -> AsyncGenerator[_Page, None]:
        """Pages of one source after a position, each with the position of its end."""
        source = job.spec.sources[number]
        away_since, pause = None, _FIRST_PAUSE
        while True:
            try:
                if isinstance(source, SeedSource):
                    pages = self._seeds(source, after)
                elif isinstance(source, ZipSource):
                    pages = self._entries(job, source, after)
                else:
                    pages = self._objects(source, after)
                async with aclosing(pages):
                    async for page, position in pages:
                        yield page, position
                        after, away_since, pause = position, None, _FIRST_PAUSE
                return
            except ArchiveError as error:
                raise ProblemError("input-unreadable", error.detail) from None
            except StorageError as error:
                if not error.retryable:
                    raise ProblemError("input-unreadable", error.reason) from None
                away_since = monotonic() if away_since is None else away_since
                if monotonic() - away_since > self._patience:
                    raise ProblemError("storage-unavailable", error.reason) from None
                log.warning("listing waits", job=job.id, reason=error.reason)
            if await asyncio.to_thread(self._jobs.cancelling, [job.key]):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @staticmethod
    async def _seeds(source: SeedSource, after: str | int | None) -> AsyncGenerator[_Page, None]:
        end = source.first + source.count
        start = source.first if after is None else int(after) + 1
        for first in range(start, end, PAGE):
            seeds = range(first, min(first + PAGE, end))
            yield [NewItem(str(seed), Seed(seed=seed)) for seed in seeds], seeds[-1]

    async def _entries(
        self, job: Job, source: ZipSource, after: str | int | None
    ) -> AsyncGenerator[_Page, None]:
        position = 0 if after is None else int(after)
        archive = await open_archive(self._places.of(job.id), source.object, self._max_items)
        async with aclosing(archive.pages(self._places.max_input_bytes, position, PAGE)) as pages:
            async for entries in pages:
                position += len(entries)
                page = []
                for entry in entries:
                    if not _is_image(entry.name, None):
                        continue
                    problem = None
                    if entry.problem is not None:
                        reason = EntryError(entry.problem).detail
                        problem = stored_problem(ProblemError("input-unreadable", reason))
                    where = ZipEntry(
                        object=source.object,
                        offset=entry.offset,
                        compressed_size=entry.compressed_size,
                        size=entry.size,
                        method=entry.method,
                        crc=entry.crc,
                    )
                    page.append(NewItem(entry.name, where, problem))
                yield page, position

    async def _objects(self, source: PrefixSource, after: str | int | None) -> AsyncGenerator[_Page, None]:
        area = self._places.area(source.url)
        start = None if after is None else str(after)
        async with aclosing(area.list_pages(after=start, page=PAGE)) as pages:
            async for objects in pages:
                page = [
                    NewItem(found.name, StoredObject(prefix=source.url, name=found.name, size=found.size))
                    for found in objects
                    if _is_image(found.name, source.pattern)
                ]
                yield page, objects[-1].name


def _is_image(name: str, pattern: str | None) -> bool:
    if pattern is not None:
        return fnmatch.fnmatchcase(name, pattern)
    return name.lower().endswith(SUFFIXES)
