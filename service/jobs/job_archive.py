"""All that a job made as one zip archive, and a manifest of what each item became, made while it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import closing
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from service.jobs.database import DatabaseAwayError
from service.jobs.desk import JobDesk
from service.jobs.job_store import JobNotFoundError
from service.jobs.records import Item, ItemState, Job
from service.jobs.storage import StorageError
from service.jobs.zip_stream import ZipStream

MANIFEST: Final = "manifest.json"

_PAGE: Final = 200
_PORTION: Final = 256 << 10
_PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.5

Result = TypeVar("Result")


class ArchiveBrokenError(Exception):
    """The archive cannot be completed; the text says why."""


async def job_archive(
    desk: JobDesk,
    job: Job,
    describe_job: Callable[[Job], Mapping[str, Any]],
    describe_item: Callable[[Job, Item], Mapping[str, Any]],
) -> AsyncGenerator[bytes, None]:
    """The outputs of a job that has ended, and `manifest.json` as the last file.

    In memory is a portion of one file and a page of items, whatever there is of them.

    Args:
        desk: Where job and files are.
        job: The job.
        describe_job: As the manifest has it.
        describe_item: As the manifest has it.

    Yields:
        The archive in portions.

    Raises:
        ArchiveBrokenError: A file is not there or not whole, the job was deleted or tried again meanwhile,
            or database or storage stay away.
    """
    portion = bytearray()
    with closing(ZipStream()) as archive:
        async for part in _parts(desk, job, archive, describe_job, describe_item):
            portion += part
            if len(portion) >= _PORTION:
                yield bytes(portion)
                portion.clear()
    yield bytes(portion)


async def _parts(
    desk: JobDesk,
    job: Job,
    archive: ZipStream,
    describe_job: Callable[[Job], Mapping[str, Any]],
    describe_item: Callable[[Job, Item], Mapping[str, Any]],
) -> AsyncGenerator[bytes, None]:
    ended_at = job.ended_at or job.created_at
    async for item in _items(desk, job, ItemState.SUCCEEDED):
        yield archive.begin(_name_in_archive(item), item.ended_at or ended_at)
        async for chunk in _file(desk, job, item):
            yield archive.data(chunk)
        yield archive.end()
    yield archive.begin(MANIFEST, ended_at)
    opening = json.dumps({"job": describe_job(job)}, ensure_ascii=False)[:-1] + ', "items": [\n'
    yield archive.data(opening.encode())
    separator = ""
    async for item in _items(desk, job):
        described = {**describe_item(job, item)}
        if item.output is not None:
            described["file"] = _name_in_archive(item)
        line = json.dumps(described, ensure_ascii=False)
        yield archive.data(f"{separator}{line}".encode())
        separator = ",\n"
    yield archive.data(b"\n]}\n")
    yield archive.end()
    try:
        now = await _patiently(desk, lambda: desk.jobs.get(job.id))
    except JobNotFoundError:
        raise ArchiveBrokenError("the job was deleted meanwhile") from None
    if now.round != job.round:
        raise ArchiveBrokenError("the job's failed items are being tried again")
    for part in archive.finish():
        yield part


async def _items(desk: JobDesk, job: Job, *states: ItemState) -> AsyncGenerator[Item, None]:
    after = -1
    while True:
        found = await _patiently(desk, partial(desk.items.page, job, states=states, after=after, limit=_PAGE))
        for item in found:
            yield item
        if len(found) < _PAGE:
            return
        after = found[-1].n


async def _file(desk: JobDesk, job: Job, item: Item) -> AsyncGenerator[bytes, None]:
    expected, size = item.output.size if item.output is not None else 0, 0
    try:
        async for chunk in desk.places.outputs(job).stream(item.output_name):
            size += len(chunk)
            yield chunk
    except StorageError as error:
        raise ArchiveBrokenError(f"the output of item {item.n} cannot be read: {error.reason}") from None
    if size != expected:
        raise ArchiveBrokenError(f"the output of item {item.n} is not what was made: it has {size} bytes")


async def _patiently(desk: JobDesk, call: Callable[[], Result]) -> Result:
    ends = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await desk.ask(call)
        except DatabaseAwayError:
            if monotonic() > ends:
                raise ArchiveBrokenError("the database is away") from None
        await asyncio.sleep(_PAUSE_SECONDS)


def _name_in_archive(item: Item) -> str:
    """The output's own, unless that is the manifest's."""
    return item.output_name if item.output_name != MANIFEST else f"manifest~{item.n}.json"
