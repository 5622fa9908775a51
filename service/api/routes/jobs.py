"""`/v1/jobs`: batch jobs made, tried anew, cancelled and deleted."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from service.api.calls.job_access import job_of, sees_owners
from service.api.calls.job_making import make_job
from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.api.openapi.jobs import CANCEL_JOB_DOCS, JOB_ID, MAKE_JOB_DOCS, RETRY_JOB_DOCS
from service.api.schemas.jobs import CancelQuery
from service.jobs.job_store import JobStateError
from service.jobs.records import Job
from service.jobs.shown import job_json

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(**JOB_ID)]

_NO_STORE: Final = {"cache-control": "no-store"}


@router.post("/v1/jobs", name="make-job", summary="Make a batch job", status_code=202, **MAKE_JOB_DOCS)
async def make(request: Request) -> JSONResponse:
    """Makes a job of any number of images, and answers as soon as what was sent is stored.

    The body is JSON; or multipart with a part `job`, which holds the same JSON and should come first, and
    any number of parts `files` (image files, whose `filename` names the item) and `zip` (archives). What the
    operation's own endpoint would refuse is refused here, before files are taken.

    With an `Idempotency-Key` the same request makes one job, however often it is sent, also at once; with
    another body the key is refused. An archive whose list of files is damaged is refused; a file in it that
    is damaged fails by itself, as an item. Nothing is left of what is refused.
    """
    made = await make_job(request)
    headers = {**_NO_STORE, "location": f"/v1/jobs/{made.job.id}"}
    if not made.new:
        headers["idempotency-replayed"] = "true"
    view = job_json(made.job, owner=sees_owners(request))
    return JSONResponse(view, status_code=202 if made.new else 200, headers=headers)


@router.post(
    "/v1/jobs/{job}/retry",
    name="retry-job",
    summary="Try failed items again",
    status_code=202,
    **RETRY_JOB_DOCS,
)
async def retry(request: Request, job: JobId) -> JSONResponse:
    """Queues the items of an ended job again that failed or were cancelled; the others stay as they are.

    A job that was not listed to its end is listed further.
    """
    desk = services_of(request).desk

    def again(name: str, owner: str | None) -> Job:
        return desk.jobs.retry(name, desk.workflows.enqueue_job, owner)

    try:
        found = await job_of(request, job, again)
    except JobStateError as error:
        raise _state_problem(error) from None
    view = job_json(found, owner=sees_owners(request))
    return JSONResponse(view, status_code=202, headers=_NO_STORE)


@router.delete(
    "/v1/jobs/{job}",
    name="cancel-job",
    summary="Cancel or delete a job",
    status_code=202,
    **CANCEL_JOB_DOCS,
)
async def cancel(request: Request, job: JobId, query: Annotated[CancelQuery, Query()]) -> Response:
    """Asks for a job to be cancelled: no item begins any more, and running ones stop at their next tile.

    What is done stays. 202 says that it was asked for, 200 that the job had ended before. With `purge=true` a
    job that has ended is deleted with its files at once (204), but for those at a destination; otherwise
    that happens at its `expires_at`.
    """
    desk = services_of(request).desk
    if query.purge:
        return await _purged(request, job)
    found = await job_of(request, job, desk.jobs.cancel)
    view = job_json(found, owner=sees_owners(request))
    status = 202 if found.ended_at is None else 200
    return JSONResponse(view, status_code=status, headers=_NO_STORE)


async def _purged(request: Request, name: str) -> Response:
    desk = services_of(request).desk
    found = await job_of(request, name)

    def expire(_: str, owner: str | None) -> Job:
        desk.jobs.expire(found.id, owner)
        return found

    try:
        await job_of(request, name, expire)
    except JobStateError as error:
        raise _state_problem(error) from None
    return Response(status_code=204, headers=_NO_STORE)


def _state_problem(error: JobStateError) -> ProblemError:
    text = str(error)
    return ProblemError("job-state", f"{text[0].upper()}{text[1:]}.")
