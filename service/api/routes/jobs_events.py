"""`GET /v1/jobs/{job}/events`: what happens to a job, as it happens."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.answers.streams import GuardedStream
from service.api.calls.job_access import job_of, sees_owners
from service.api.calls.job_events import ENDED, JobEvents
from service.api.calls.streaming import EVENT_STREAM
from service.api.context import services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.openapi.jobs import EVENTS_DOCS, JOB_ID
from service.api.schemas.jobs import EventsQuery

router = APIRouter(tags=["jobs"])

_EVENT_ID: Final = re.compile(rf"([0-9]{{1,18}})({ENDED})?")
_RETRY_WATCHERS: Final = "10"


@router.get("/v1/jobs/{job}/events", name="job-events", summary="Follow a job", **EVENTS_DOCS)
async def follow_job(
    request: Request, job: Annotated[str, Path(**JOB_ID)], query: Annotated[EventsQuery, Query()]
) -> Response:
    """Server-sent events: `job` holds the job, at most twice a second; `item` each item that changed.

    The first `job` comes at once, and items are told of that change from then on; with `Last-Event-ID` all
    that changed since that event come first, and with `Last-Event-ID: 0` all there are, each as it is now.
    `end` is the last event. A watcher who saw it and comes back is answered 204, after which a browser stops
    to. A comment comes after 15 seconds without an event. While the database is away nothing but comments
    comes; afterwards it goes on.
    """
    services, found = services_of(request), await job_of(request, job)
    position, ended = _position(request, query)
    if ended and position is not None and found.ended_at is not None and found.revision <= position:
        return Response(status_code=204, headers={"cache-control": "no-store"})
    if services.watching.watchers >= services.settings.max_job_watchers:
        raise ProblemError(
            "too-many-watchers",
            f"{services.settings.max_job_watchers} calls follow jobs already.",
            headers={"retry-after": _RETRY_WATCHERS},
        )
    events = JobEvents(
        services.watching,
        found,
        found.revision if position is None else position,
        with_items=query.items,
        with_owner=sees_owners(request),
        heartbeat=services.settings.event_heartbeat_seconds,
        stopping=lambda: services.draining,
    )
    # A proxy that collected the events would undo what they are for.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return GuardedStream(events.stream(), media_type=EVENT_STREAM, headers=headers)


def _position(request: Request, query: EventsQuery) -> tuple[int | None, bool]:
    """The revision that the watcher knows, and whether it was told of the end."""
    found = request.headers.getlist("last-event-id") or (
        [] if query.last_event_id is None else [query.last_event_id]
    )
    if not found or found == [""]:
        return None, False
    match = _EVENT_ID.fullmatch(found[0]) if len(found) == 1 else None
    if match is None:
        raise invalid_field("Last-Event-ID", "this is no id of an event", "`id` of an event, or 0")
    return int(match[1]), match[2] is not None
