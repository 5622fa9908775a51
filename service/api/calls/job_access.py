"""Jobs as one caller may see them, and the database's absence as an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from fastapi import Request

from service.api.access.guard import caller_of
from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.jobs.database import DatabaseAwayError
from service.jobs.desk import JobDesk
from service.jobs.item_store import ItemNotFoundError
from service.jobs.job_store import JobNotFoundError
from service.jobs.records import Item, Job

_RETRY_AWAY: Final = "2"
_ID: Final = re.compile(r"job_[0-9a-f]{28}")
_LARGEST: Final = (1 << 62) - 1

Result = TypeVar("Result")


def unavailable(detail: str = "The database of jobs does not answer.") -> ProblemError:
    """The problem of jobs of which nothing can be known now.

    Args:
        detail: What is the matter.

    Returns:
        The exception to raise.
    """
    return ProblemError("jobs-unavailable", detail, headers={"retry-after": _RETRY_AWAY})


async def asked(desk: JobDesk, call: Callable[[], Result]) -> Result:
    """Makes a call of one of the stores.

    Args:
        desk: Of the gateway.
        call: What to do.

    Returns:
        What it returned.

    Raises:
        ProblemError: `jobs-unavailable`.
    """
    try:
        return await desk.ask(call)
    except DatabaseAwayError:
        raise unavailable() from None


def owner_of(request: Request) -> str | None:
    """Whose jobs a caller may see.

    Args:
        request: The request.

    Returns:
        The caller's own name, or None for everybody's, with the scope admin.
    """
    caller = caller_of(request)
    return None if "admin" in caller.scopes else caller.name


def sees_owners(request: Request) -> bool:
    """Whether a caller is told whose a job is."""
    return owner_of(request) is None


async def job_of(request: Request, name: str, find: Callable[[str, str | None], Job] | None = None) -> Job:
    """A job that the caller may see.

    Args:
        request: The request.
        name: As the client wrote it.
        find: What is done with name and owner to get it; it is looked up if left out.

    Returns:
        The job.

    Raises:
        ProblemError: `job-not-found` or `jobs-unavailable`.
    """
    desk, owner = services_of(request).desk, owner_of(request)
    call = find or desk.jobs.get
    try:
        if not _ID.fullmatch(name):
            raise JobNotFoundError(name)
        return await asked(desk, lambda: call(name, owner))
    except JobNotFoundError:
        raise ProblemError("job-not-found", f"There is no job {name[:100]!r}.") from None


async def item_of(request: Request, job: Job, n: int) -> Item:
    """An item of a job.

    Args:
        request: The request.
        job: The job.
        n: Number of the item.

    Returns:
        The item.

    Raises:
        ProblemError: `item-not-found` or `jobs-unavailable`.
    """
    desk = services_of(request).desk
    try:
        if n > _LARGEST:
            raise ItemNotFoundError(n)
        return await asked(desk, lambda: desk.items.get(job, n))
    except ItemNotFoundError:
        raise ProblemError("item-not-found", f"The job has no item {n}.", items=job.counts.total) from None
