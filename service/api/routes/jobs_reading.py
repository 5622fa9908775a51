"""`/v1/jobs`: what became of jobs and their items."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from service.api.answers.cursors import cursor_of, position_of
from service.api.calls.job_access import asked, item_of, job_of, owner_of, sees_owners
from service.api.context import services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.openapi.jobs import ITEM_DOCS, ITEM_N, ITEMS_DOCS, JOB_DOCS, JOB_ID, JOBS_DOCS
from service.api.schemas.jobs import ItemsQuery, JobsQuery
from service.jobs.records import ItemState, JobState
from service.jobs.shown import item_json, job_json

router = APIRouter(tags=["jobs"])

_NO_STORE: Final = {"cache-control": "no-store"}


@router.get("/v1/jobs", name="jobs", summary="All jobs", **JOBS_DOCS)
async def list_jobs(request: Request, query: Annotated[JobsQuery, Query()]) -> JSONResponse:
    """Jobs made with this API key, the newest first; with the scope admin those of all keys, or of one.

    A page is followed by the next one with `cursor`, whatever was made or deleted meanwhile.
    """
    _once_each(request)
    desk, owner = services_of(request).desk, owner_of(request)
    if query.owner is not None:
        if owner not in (None, query.owner):
            raise ProblemError(
                "forbidden", "Only the scope 'admin' sees jobs of other keys.", scope="admin", field="owner"
            )
        owner = query.owner
    before = None if query.cursor is None else position_of("jobs", query.cursor)
    states = [JobState(state) for state in query.states()]
    with_owner = sees_owners(request)

    def answer() -> JSONResponse:
        found = desk.jobs.page(
            owner=owner,
            states=states,
            operation=query.operation,
            idempotency_key=query.idempotency_key,
            before=before,
            limit=query.limit + 1,
        )
        page = found[: query.limit]
        following = cursor_of("jobs", page[-1].key) if len(found) > query.limit else None
        data = [job_json(job, owner=with_owner) for job in page]
        return JSONResponse({"data": data, "next": following}, headers=_NO_STORE)

    return await asked(desk, answer)  # a thousand of them take the event loop's time


@router.get("/v1/jobs/{job}", name="job", summary="One job", **JOB_DOCS)
async def get_job(request: Request, job: Annotated[str, Path(**JOB_ID)]) -> JSONResponse:
    """A job as it is now, with counts of its items."""
    found = await job_of(request, job)
    return JSONResponse(job_json(found, owner=sees_owners(request)), headers=_NO_STORE)


@router.get("/v1/jobs/{job}/items", name="job-items", summary="Items of a job", **ITEMS_DOCS)
async def list_items(
    request: Request, job: Annotated[str, Path(**JOB_ID)], query: Annotated[ItemsQuery, Query()]
) -> JSONResponse:
    """Items by number, each with its output or what went wrong; `state=failed` gives those that failed.

    `first=5000` begins in the middle of a large job.
    """
    _once_each(request)
    after = -1 if query.cursor is None else position_of("items", query.cursor)
    after = max(after, query.first - 1)
    found, desk = await job_of(request, job), services_of(request).desk
    states = [ItemState(state) for state in query.states()]

    def answer() -> JSONResponse:
        items = desk.items.page(found, states=states, after=after, limit=query.limit + 1)
        page = items[: query.limit]
        following = cursor_of("items", page[-1].n) if len(items) > query.limit else None
        data = [item_json(found, item) for item in page]
        return JSONResponse({"data": data, "next": following}, headers=_NO_STORE)

    return await asked(desk, answer)


@router.get("/v1/jobs/{job}/items/{n}", name="job-item", summary="One item", **ITEM_DOCS)
async def get_item(
    request: Request, job: Annotated[str, Path(**JOB_ID)], n: Annotated[int, Path(**ITEM_N)]
) -> JSONResponse:
    """An item as it is now."""
    found = await job_of(request, job)
    return JSONResponse(item_json(found, await item_of(request, found, n)), headers=_NO_STORE)


def _once_each(request: Request) -> None:
    query = request.query_params
    if repeated := [name for name in query if len(query.getlist(name)) > 1]:
        raise invalid_field(repeated[0], "given more than once", "each parameter once")
