"""From a request to a job: its files stored, its row written, and nothing left of it if that fails."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import Request

from service.api.access.guard import caller_of, require
from service.api.access.scopes import KeyScope
from service.api.calls.job_access import asked, unavailable
from service.api.context import Services, services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.requests.body import parsed_json, read_json
from service.api.requests.jobs import PlannedJob, artifacts_problem, idempotency_key_of, planned_job
from service.api.schemas.jobs import JobRequest, Operation
from service.images.provenance import canonical_json
from service.jobs.archives import open_archive
from service.jobs.database import DatabaseAwayError
from service.jobs.job_store import IdempotencyConflictError, NewJob, UploadExpiredError
from service.jobs.receive import ReceivedFile, ReceivedJob, receive_job
from service.jobs.records import Job, NewItem, UploadedFile, ZipSource, new_job_id
from service.jobs.storage import Area, StorageError
from service.jobs.zip_records import ArchiveError
from service.telemetry.tracing import current_traceparent, span

log = structlog.get_logger(__name__)

_SCOPES: Final[Mapping[Operation, KeyScope]] = {
    "super-resolution": "upscale",
    "translate": "translate",
    "generate": "generate",
}
_TOUCH_SECONDS: Final = 60.0
_RETRY_TOO_MANY: Final = "30"


@dataclass(frozen=True)
class MadeJob:
    """A job that was asked for.

    Attributes:
        job: The job.
        new: Whether this request made it; otherwise an earlier one with the same idempotency key did.
    """

    job: Job
    new: bool


async def make_job(request: Request) -> MadeJob:
    """Makes the job that a request describes, as JSON or with its files.

    Args:
        request: Its body not yet read.

    Returns:
        The job.

    Raises:
        ProblemError: If it is refused; nothing is left of it then.
        ClientDisconnect: If the client left before the body was complete; nor then.
    """
    key = idempotency_key_of(request)
    with span("job.create") as current:
        await _check_count(request, key)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type == "multipart/form-data":
            made = await _with_files(request, key)
        else:
            body = await read_json(request, JobRequest, services_of(request).settings)
            require(request, _SCOPES[body.operation])
            plan = await planned_job(request, body, with_files=False)
            made = await _create(request, key, new_job_id(), plan, None)
        current.set_attribute("ganserve.job", made.job.id)
    if made.new:
        log.info("job made", job=made.job.id, operation=made.job.spec.operation, model=made.job.spec.model)
    return made


async def _check_count(request: Request, key: str | None) -> None:
    """Refuses one more job of somebody who has many that have not ended; two at once may both slip in."""
    services, owner = services_of(request), caller_of(request).name
    jobs, limit = services.desk.jobs, services.settings.max_jobs
    if await asked(services.desk, lambda: jobs.unended(owner)) < limit:
        return
    if key is not None and await asked(
        services.desk, lambda: bool(jobs.page(owner=owner, idempotency_key=key))
    ):
        return
    raise ProblemError(
        "too-many-jobs",
        f"{limit} jobs of {owner!r} have not ended; wait until one has, or cancel one.",
        headers={"retry-after": _RETRY_TOO_MANY},
        limit=limit,
    )


async def _with_files(request: Request, key: str | None) -> MadeJob:
    services, job_id = services_of(request), new_job_id()
    desk = services.desk
    area = desk.places.of(job_id)
    plans: list[PlannedJob] = []

    async def plan(text: bytes) -> None:
        body = parsed_json(text, JobRequest)
        require(request, _SCOPES[body.operation])
        if body.operation == "generate":
            raise invalid_field("operation", "generation reads no files", "a body of application/json")
        plans.append(await planned_job(request, body, with_files=True))

    await asked(desk, lambda: desk.uploads.begin(job_id))
    try:
        async with _touched(services, job_id):
            received = await receive_job(request, area, services.settings, on_job=plan)
            if not received.files and not plans[0].body.inputs:
                raise invalid_field("files", "the request brings no file", "one file or archive at least")
            await _check_archives(area, received, services.settings.max_job_items)
    except StorageError as error:
        await _discarded(services, job_id)
        raise artifacts_problem(error) from None
    except BaseException:
        await _discarded(services, job_id)
        raise
    try:
        made = await _create(request, key, job_id, plans[0], received)
    except ProblemError as error:
        if error.problem.slug != "jobs-unavailable":  # or it may have been made after all
            await _discarded(services, job_id)
        raise
    if not made.new:
        await _discarded(services, job_id)
    return made


async def _create(
    request: Request, key: str | None, job_id: str, plan: PlannedJob, received: ReceivedJob | None
) -> MadeJob:
    desk = services_of(request).desk
    files: tuple[ReceivedFile, ...] = () if received is None else received.files
    archives = tuple(ZipSource(object=file.object) for file in files if file.field == "zip")
    uploads = [
        NewItem(file.name, UploadedFile(object=file.object, size=file.size))
        for file in files
        if file.field == "files"
    ]
    new = NewJob(
        id=job_id,
        owner=caller_of(request).name,
        spec=plan.spec.model_copy(update={"sources": (*archives, *plan.spec.sources)}),
        priority=plan.body.priority,
        items=[*uploads, *plan.items],
        idempotency_key=key,
        fingerprint=_fingerprint(plan.body, received),
        webhook_secret=plan.webhook_secret,
        traceparent=current_traceparent(),
        uploaded=received is not None,
    )
    try:
        job, is_new = await asked(desk, lambda: desk.jobs.create(new, desk.workflows.enqueue_job))
    except IdempotencyConflictError as error:
        raise ProblemError(
            "idempotency-conflict",
            "This Idempotency-Key came before, with another body.",
            job=str(error),
        ) from None
    except UploadExpiredError:
        raise unavailable("The files that were sent are gone: the database was away for too long.") from None
    return MadeJob(job, is_new)


def _fingerprint(body: JobRequest, received: ReceivedJob | None) -> str:
    """What an idempotency key has to come with again: the job, with defaults, and its files in order."""
    text = canonical_json(body.model_dump(mode="json"))
    files = [] if received is None else [[f.field, f.name, f.size, f.sha256] for f in received.files]
    return hashlib.sha256(f"{text}\n{canonical_json({'files': files})}".encode()).hexdigest()


async def _check_archives(area: Area, received: ReceivedJob, max_items: int) -> None:
    """Refuses archives of which nothing could be used, by their lists of files; these are read once."""
    for index, file in enumerate(file for file in received.files if file.field == "zip"):
        try:
            await open_archive(area, file.object, max_items)
        except ArchiveError as error:
            slug = "too-many-items" if error.kind == "too-many-entries" else "input-unreadable"
            raise ProblemError(slug, f"{file.name}: {error.detail}", field=f"zip.{index}") from None


@contextlib.asynccontextmanager
async def _touched(services: Services, job_id: str) -> AsyncIterator[None]:
    """Says every now and then that files are still coming, so that nobody takes them for left behind."""
    desk = services.desk

    async def touch() -> None:
        pause = min(_TOUCH_SECONDS, services.settings.job_upload_grace_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            with contextlib.suppress(DatabaseAwayError):
                if not await desk.ask(lambda: desk.uploads.touch(job_id)):
                    return  # making the job will say so

    touching = asyncio.create_task(touch())
    try:
        yield
    finally:
        touching.cancel()
        await asyncio.gather(touching, return_exceptions=True)


async def _discarded(services: Services, job_id: str) -> None:
    """Deletes files that were sent; what cannot be deleted now a worker deletes later."""
    desk = services.desk

    async def discard() -> None:
        try:
            await desk.places.delete(job_id)
            await desk.ask(lambda: desk.uploads.forget(job_id))
        except (StorageError, DatabaseAwayError) as error:
            log.warning("files of a refused job are left for a worker", job=job_id, reason=str(error))

    await asyncio.shield(asyncio.ensure_future(discard()))
