"""What jobs made: the output of an item, and all of them as one archive."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Path, Request, Response

from service.api.answers.byte_ranges import ByteRange, UnsatisfiableRangeError, wanted_range
from service.api.answers.caching import is_current
from service.api.answers.downloads import attachment
from service.api.answers.streams import BrokenStreamError, GuardedStream
from service.api.calls.job_access import item_of, job_of
from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.api.openapi.jobs import ARCHIVE_DOCS, ITEM_N, JOB_ID, OUTPUT_DOCS
from service.api.requests.jobs import artifacts_problem
from service.jobs.area import CHUNK_BYTES
from service.jobs.job_archive import ArchiveBrokenError, job_archive
from service.jobs.records import Item, Job, Output
from service.jobs.shown import item_json, job_json
from service.jobs.storage import Area, StorageError
from service.telemetry.records import record_of

router = APIRouter(tags=["jobs"])

_CACHE: Final = "private, no-cache"

log = structlog.get_logger(__name__)


@router.get("/v1/jobs/{job}/items/{n}/output", name="job-output", summary="Output of an item", **OUTPUT_DOCS)
async def get_output(
    request: Request, job: Annotated[str, Path(**JOB_ID)], n: Annotated[int, Path(**ITEM_N)]
) -> Response:
    """The file that was made of an item, wherever the job keeps its outputs; one range of it if asked for."""
    found = await job_of(request, job)
    item = await item_of(request, found, n)
    if item.output is None:
        raise ProblemError("output-not-found", f"The item is {item.state.value}, and has no output.")
    made, etag = item.output, f'"{item.output.pixels_sha256}-{item.output.size}"'
    headers = {
        "etag": etag,
        "cache-control": _CACHE,
        "x-model": found.spec.model,
        "x-model-digest": made.model_digest,
        "x-pixels-sha256": made.pixels_sha256,
        "x-image-size": f"{made.width}x{made.height}",
    }
    if is_current(request.headers.getlist("if-none-match"), etag):
        record_of(request.scope).outcome = "not-modified"
        return Response(status_code=304, headers=headers)
    try:
        area = services_of(request).desk.places.outputs(found)
    except StorageError as error:
        raise artifacts_problem(error) from None
    await _check_there(area, item, made)
    headers |= {"accept-ranges": "bytes", "content-disposition": attachment(item.output_name)}
    wanted = _range(request, etag, made.size)
    if wanted is None:
        headers["content-length"] = str(made.size)
        return GuardedStream(_all_of(area, item, made.size), media_type=made.media_type, headers=headers)
    headers["content-length"] = str(wanted.length)
    headers["content-range"] = f"bytes {wanted.start}-{wanted.start + wanted.length - 1}/{made.size}"
    return GuardedStream(
        _part_of(area, item, wanted), media_type=made.media_type, status_code=206, headers=headers
    )


@router.get("/v1/jobs/{job}/archive", name="job-archive", summary="All outputs of a job", **ARCHIVE_DOCS)
async def get_archive(request: Request, job: Annotated[str, Path(**JOB_ID)]) -> Response:
    """A zip archive with all outputs of a job that has ended, under their names, made while it is sent.

    The last file in it is `manifest.json`: the job, and each item with its digests (`file` is its name in the
    archive) or its problem. If something cannot be read the connection is closed before the archive is
    complete, so that no client takes a part for the whole.
    """
    desk, found = services_of(request).desk, await job_of(request, job)
    if found.ended_at is None:
        raise ProblemError("job-state", f"The job is {found.state.value}; its archive would not be complete.")
    content = _unbroken(found, job_archive(desk, found, job_json, item_json))
    try:
        first = await content.__anext__()  # so that what cannot be read at all has a status of its own
    except BrokenStreamError as error:
        raise ProblemError("output-not-found", f"The archive cannot be made: {error}.") from None
    headers = {"cache-control": "no-store", "content-disposition": attachment(f"{found.id}.zip")}
    return GuardedStream(content, media_type="application/zip", headers=headers, first=first)


async def _unbroken(job: Job, archive: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(archive):
        try:
            async for part in archive:
                yield part
        except ArchiveBrokenError as error:
            log.warning("an archive is broken off", job=job.id, reason=str(error))
            raise BrokenStreamError("output-not-found", str(error)) from None


async def _check_there(area: Area, item: Item, made: Output) -> None:
    """Makes sure that what is announced can be sent."""
    try:
        size = (await area.head(item.output_name)).size
    except StorageError as error:
        if error.kind == "missing":
            raise ProblemError("output-not-found", "The file is not where the worker put it.") from None
        raise artifacts_problem(error) from None
    if size != made.size:
        raise ProblemError(
            "output-not-found", f"The file has {size} bytes, and the one that was made had {made.size}."
        )


def _range(request: Request, etag: str, size: int) -> ByteRange | None:
    header = request.headers.get("range")
    if header is None or request.headers.get("if-range", etag) != etag:
        return None
    try:
        return wanted_range(header, size)
    except UnsatisfiableRangeError:
        raise ProblemError(
            "range-not-satisfiable",
            f"The file has {size} bytes.",
            headers={"content-range": f"bytes */{size}"},
            size=size,
        ) from None


async def _all_of(area: Area, item: Item, size: int) -> AsyncGenerator[bytes, None]:
    """A file, in portions; one that is replaced meanwhile is broken off."""
    left = size
    try:
        async for chunk in area.stream(item.output_name):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    except StorageError as error:
        log.warning("an output is broken off", item=item.n, reason=error.reason)
        raise BrokenStreamError("storage-unavailable", error.reason) from None
    if left:
        raise BrokenStreamError("output-not-found", "the file has another size than before")


async def _part_of(area: Area, item: Item, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
    """A range of a file, in portions, each read when the one before was taken."""
    position, end = wanted.start, wanted.start + wanted.length
    try:
        while position < end:
            chunk = await area.get_range(item.output_name, position, min(CHUNK_BYTES, end - position))
            if not chunk:
                raise BrokenStreamError("output-not-found", "the file ends early")
            position += len(chunk)
            yield chunk
    except StorageError as error:
        log.warning("an output is broken off", item=item.n, reason=error.reason)
        raise BrokenStreamError("storage-unavailable", error.reason) from None
