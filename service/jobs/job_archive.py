"""All that a job made as one zip archive, and a manifest of what each item became, made while it is sent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, closing
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from service.jobs.database import DatabaseAwayError
from service.jobs.desk import JobDesk
from service.jobs.job_store import JobNotFoundError
from service.jobs.records import Item, ItemState, Job
from service.jobs.storage import Area, ObjectTooLargeError, StorageError
from service.jobs.zip_stream import ZipStream

MANIFEST: Final = "manifest.json"

_PAGE: Final = 200
_PORTION: Final = 256 << 10
_AHEAD: Final = 8
_SMALL: Final = 256 << 10
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

    In memory are a portion of a file, or a few that are small, and a page of items, however many there are.

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
        async with aclosing(_parts(desk, job, archive, describe_job, describe_item)) as parts:
            async for part in parts:
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
    async with aclosing(_outputs(desk, job)) as outputs:
        async for item, chunk in outputs:
            if chunk is None:
                yield archive.begin(_name_in_archive(item), item.ended_at or ended_at)
            elif chunk:
                yield archive.data(chunk)
            else:
                yield archive.end()
    yield archive.begin(MANIFEST, ended_at)
    opening = json.dumps({"job": describe_job(job)}, ensure_ascii=False)[:-1]
    yield archive.data(f'{opening}, "items": ['.encode())
    after, separator = -1, ""
    while True:
        lines, after, last = await _patiently(desk, partial(_described, desk, job, after, describe_item))
        if lines:
            yield archive.data(f"{separator}\n{lines}".encode())
            separator = ","
        if last:
            break
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


def _described(
    desk: JobDesk, job: Job, after: int, describe_item: Callable[[Job, Item], Mapping[str, Any]]
) -> tuple[str, int, bool]:
    """A page of items as lines of the manifest, its last item's number, and whether it is the last page."""
    page = desk.items.page(job, after=after, limit=_PAGE)
    lines = []
    for item in page:
        file = {} if item.output is None else {"file": _name_in_archive(item)}
        lines.append(json.dumps({**describe_item(job, item), **file}, ensure_ascii=False))
    return ",\n".join(lines), page[-1].n if page else after, len(page) < _PAGE


async def _outputs(desk: JobDesk, job: Job) -> AsyncGenerator[tuple[Item, bytes | None], None]:
    """Each output: its item and None, its chunks, and at its end an empty one.

    Small ones are read ahead, a few at a time, since each is a question to the storage.
    """
    ahead: deque[tuple[Item, asyncio.Task[bytes] | None]] = deque()
    try:
        area = desk.places.outputs(job)
    except StorageError as error:
        raise ArchiveBrokenError(error.reason) from None
    try:
        async with aclosing(_items(desk, job)) as items:
            more = True
            while more or ahead:
                while more and len(ahead) < _AHEAD:
                    item = await anext(items, None)
                    if item is None:
                        more = False
                    else:
                        ahead.append((item, _begun(area, item)))
                if not ahead:
                    return
                item, reading = ahead.popleft()
                yield item, None
                async with aclosing(_file(area, item, reading)) as chunks:
                    async for chunk in chunks:
                        yield item, chunk
                yield item, b""
    finally:
        left = [reading for _, reading in ahead if reading is not None]
        for reading in left:
            reading.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _begun(area: Area, item: Item) -> asyncio.Task[bytes] | None:
    if item.output is None or item.output.size > _SMALL:
        return None
    return asyncio.ensure_future(area.get(item.output_name, _SMALL))


async def _items(desk: JobDesk, job: Job) -> AsyncGenerator[Item, None]:
    after = -1
    while True:
        found = await _patiently(
            desk, partial(desk.items.page, job, states=[ItemState.SUCCEEDED], after=after, limit=_PAGE)
        )
        for item in found:
            yield item
        if len(found) < _PAGE:
            return
        after = found[-1].n


async def _file(area: Area, item: Item, reading: asyncio.Task[bytes] | None) -> AsyncGenerator[bytes, None]:
    expected, size = item.output.size if item.output is not None else 0, 0
    try:
        if reading is not None:
            chunk = await reading
            size = len(chunk)
            if chunk:
                yield chunk
        else:
            async with aclosing(area.stream(item.output_name)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    yield chunk
    except StorageError as error:
        raise ArchiveBrokenError(f"the output of item {item.n} cannot be read: {error.reason}") from None
    except ObjectTooLargeError as error:
        raise ArchiveBrokenError(f"the output of item {item.n} is not what was made: {error}") from None
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
