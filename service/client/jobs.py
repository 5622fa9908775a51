"""The calls about batch jobs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import httpx

from service.client.call import Call, Download, Follow, Page, Pages, Poll, given, quoted
from service.client.job_results import Job, JobEvent, JobItem, item_of, job_of
from service.client.multipart import NamedFile, Parts

Operation = Literal["super-resolution", "translate", "generate"]
Priority = Literal["high", "normal", "low"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


def create_job(
    operation: Operation,
    model: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    files: Sequence[NamedFile] = (),
    zips: Sequence[NamedFile] = (),
    prefixes: Iterable[str | tuple[str, str]] = (),
    seeds: range | Sequence[int] | None = None,
    naming: str | None = None,
    destination: str | None = None,
    priority: Priority | None = None,
    webhook: str | None = None,
    webhook_secret: str | None = None,
    pin_digest: str | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    wait: float | None = None,
) -> Call[Job]:
    """A batch job: one operation with one model on any number of images.

    Files are read from disk while they are sent, whatever their size. A call that was interrupted can be made
    again with the same `idempotency_key`: it is one job all the same.

    Args:
        operation: `super-resolution`, `translate` or `generate`.
        model: Name of a model that does this.
        parameters: As the operation's own call takes them (`format`, `quality`, `scale`, …), without model,
            image and seeds.
        files: Images: paths, or pairs of what the server is to call one and its path or bytes. Their order is
            that of the items.
        zips: Archives of images, likewise.
        prefixes: URLs such as `s3://bucket/photos/` that the operator allows, whose images are taken; pairs
            of one and a pattern such as `*.jpg`.
        seeds: For `generate`.
        naming: Pattern of the outputs' names, such as `{path}/{stem}-x2.{ext}`.
        destination: URL that outputs are written below, which the operator allows; None keeps them with the
            job.
        priority: Among jobs; `normal` if left out.
        webhook: URL that is told of the end.
        webhook_secret: What it is signed with; None for the operator's.
        pin_digest: Digest of the model that has to make all items.
        metadata: Texts that come back with the job.
        idempotency_key: One is made if left out.
        wait: Longest time the server may take for its answer once all has arrived, in seconds.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
        OSError: A file cannot be read, or changed while it was sent (`FileChangedError`).
    """
    inputs = [prefix if isinstance(prefix, tuple) else (prefix, None) for prefix in prefixes]
    body = given(
        {
            "operation": operation,
            "model": model,
            "parameters": given(parameters or {}),
            "inputs": [given({"prefix": url, "pattern": pattern}) for url, pattern in inputs] or None,
            "seeds": _seeds(seeds),
            "naming": naming,
            "destination": destination,
            "priority": priority,
            "webhook": None if webhook is None else given({"url": webhook, "secret": webhook_secret}),
            "pin_digest": pin_digest,
            "metadata": dict(metadata) if metadata else None,
        }
    )
    sent = [("files", file) for file in files] + [("zip", file) for file in zips]
    return Call(
        "POST",
        "/v1/jobs",
        lambda answer: job_of(answer.json()),
        body=None if sent else body,
        parts=Parts({"job": json.dumps(body)}, sent) if sent else None,
        headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
        wait=wait,
    )


def job(id: str) -> Call[Job]:
    """A job as it is now.

    Args:
        id: As `create_job` returned it.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such job, or it is somebody else's.
    """
    return Call("GET", _path(id), lambda answer: job_of(answer.json()))


def jobs(
    *, state: State | None = None, owner: str | None = None, page: int | None = None, **filters: str
) -> Pages[Job]:
    """The caller's jobs, the newest first, page by page.

    Args:
        state: Only those.
        owner: Only those of this API key, for callers with the scope admin.
        page: How many are asked for at a time.
        filters: What else the server can choose by, such as `idempotency_key`.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: The server refused.
    """
    query = {"state": state, "owner": owner, "limit": page, **filters}

    def call(cursor: str | None) -> Call[Page[Job]]:
        return Call("GET", "/v1/jobs", _jobs_page, query={**query, "cursor": cursor})

    return Pages(call)


def job_items(id: str, *, state: State | None = None, page: int | None = None) -> Pages[JobItem]:
    """The items of a job by number, page by page.

    Args:
        id: Of the job.
        state: Only those.
        page: How many are asked for at a time.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such job.
    """

    def call(cursor: str | None) -> Call[Page[JobItem]]:
        query = {"state": state, "limit": page, "cursor": cursor}
        return Call("GET", f"{_path(id)}/items", _items_page, query=query)

    return Pages(call)


def job_item(id: str, n: int) -> Call[JobItem]:
    """One item of a job.

    Args:
        id: Of the job.
        n: Number of the item, from 0.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such item.
    """
    return Call("GET", f"{_path(id)}/items/{n:d}", lambda answer: item_of(answer.json()))


def job_output(
    id: str, n: int, path: str | PathLike[str], *, staging: str | PathLike[str] | None = None
) -> Download:
    """The output of an item, written to a file while it arrives: whole, or not at all.

    Args:
        id: Of the job.
        n: Number of the item, from 0.
        path: The file; its folder must be there.
        staging: Folder on the same file system for the unfinished file; that of `path` if left out.

    Raises:
        UnreachableError: There was no answer, or it broke off.
        ProblemError: There is no output.
        OSError: It cannot be written.
    """
    call: Call[None] = Call("GET", f"{_path(id)}/items/{n:d}/output", _nothing)
    return Download(call, Path(path), None if staging is None else Path(staging))


def job_archive(id: str, path: str | PathLike[str]) -> Download:
    """All outputs of a job as one zip archive, written to a file while it arrives: whole, or not at all.

    Args:
        id: Of the job.
        path: The file; its folder must be there.

    Raises:
        UnreachableError: There was no answer, or it broke off.
        ProblemError: There is no such job, or nothing to put in.
        OSError: It cannot be written.
    """
    return Download(Call("GET", f"{_path(id)}/archive", _nothing), Path(path))


def job_events(id: str, *, after: str | None = None, items: bool = True) -> Follow[JobEvent]:
    """What changes about a job and its items, as it changes, until the job has ended.

    A connection that breaks is made anew, and nothing is missed: an item that changed meanwhile is told of as
    it is then. Some may be told of twice.

    Args:
        id: Of the job.
        after: The `id` of the last event that is known; everything if left out.
        items: Whether to be told of items as well, not of the job alone.

    Raises:
        UnreachableError: The server was away for longer than `retry_seconds`.
        ProblemError: There is no such job.
    """

    def call(last: str | None) -> Call[None]:
        headers = {"last-event-id": "0" if last is None else last}
        query = None if items else {"items": "false"}
        return Call(
            "GET", f"{_path(id)}/events", _nothing, query=query, headers=headers, accept="text/event-stream"
        )

    made = {
        "job": lambda event, members: JobEvent(event, job=job_of(members)),
        "item": lambda event, members: JobEvent(event, item=item_of(members)),
    }
    return Follow(call, made, after)


def wait_for_job(id: str, *, seconds: float | None = None) -> Poll[Job]:
    """The job, once it has ended.

    Args:
        id: Of the job.
        seconds: How long to wait at most; for as long as it takes if left out.

    Raises:
        TimeoutError: It has not ended by then.
        UnreachableError: The server was away for longer than `retry_seconds`.
        ProblemError: There is no such job.
    """
    return Poll(job(id), lambda found: found.ended, seconds, f"the end of {id}")


def cancel_job(id: str) -> Call[Job]:
    """Stop a job: items that run stop soon, the others are not begun. One that has ended stays as it is.

    Args:
        id: Of the job.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such job.
    """
    return Call("DELETE", _path(id), lambda answer: job_of(answer.json()))


def retry_job(id: str) -> Call[Job]:
    """Have the failed and cancelled items of a job that has ended tried anew.

    Args:
        id: Of the job.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such job, or it has not ended.
    """
    return Call("POST", f"{_path(id)}/retry", lambda answer: job_of(answer.json()), repeatable=False)


def delete_job(id: str) -> Call[None]:
    """Delete a job that has ended, with the files that are kept with it.

    Args:
        id: Of the job.

    Raises:
        UnreachableError: There was no answer.
        ProblemError: There is no such job, or it has not ended.
    """
    return Call("DELETE", _path(id), _nothing, query={"purge": "true"}, repeatable=False)


def _path(id: str) -> str:
    return f"/v1/jobs/{quoted(id)}"


def _nothing(answer: httpx.Response) -> None:
    del answer


def _jobs_page(answer: httpx.Response) -> Page[Job]:
    body = answer.json()
    return Page([job_of(members) for members in body["data"]], body["next"])


def _items_page(answer: httpx.Response) -> Page[JobItem]:
    body = answer.json()
    return Page([item_of(members) for members in body["data"]], body["next"])


def _seeds(seeds: range | Sequence[int] | None) -> dict[str, int] | list[int] | None:
    if seeds is None:
        return None
    if isinstance(seeds, range) and seeds.step == 1 and len(seeds) > 0:
        return {"first": seeds.start, "count": len(seeds)}
    return [int(seed) for seed in seeds]
