"""The client's calls about batch jobs, over real sockets that break where a test says so."""

from __future__ import annotations

import asyncio
import copy
import email.parser
import email.policy
import inspect
import json
import tracemalloc
from collections.abc import Callable
from contextlib import aclosing, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from service.client import (
    AsyncClient,
    Client,
    FileChangedError,
    Job,
    JobEvent,
    ProblemError,
    UnreachableError,
)
from service.client import jobs as job_calls
from service.client.call import Poll
from tests.http_script import Asked, serving


def job(state: str = "running", **changes: Any) -> dict[str, Any]:
    counts = {"total": 2, "queued": 0, "running": 1, "succeeded": 1, "failed": 0, "cancelled": 0}
    return {
        "id": "job_1",
        "object": "job",
        "operation": "super-resolution",
        "model": "photo-x4",
        "state": state,
        "cancelling": False,
        "listed": True,
        "counts": counts,
        "priority": "normal",
        "created_at": "2026-11-22T08:15:02.120Z",
        "started_at": None,
        "ended_at": None,
        "expires_at": None,
        "destination": None,
        "metadata": {},
        "problem": None,
        **changes,
    }


def item(n: int, state: str = "succeeded") -> dict[str, Any]:
    output = {
        "name": f"{n}.png",
        "href": f"/v1/jobs/job_1/items/{n}/output",
        "url": None,
        "size": 3,
        "media_type": "image/png",
        "width": 4,
        "height": 4,
        "pixels_sha256": "p",
        "model_digest": "d",
    }
    return {
        "n": n,
        "name": f"{n}.jpg",
        "state": state,
        "attempts": 1,
        "output": output if state == "succeeded" else None,
        "problem": None if state == "succeeded" else {"title": "The image cannot be read", "detail": "No."},
        "timings": {"read": 0.1},
        "started_at": None,
        "ended_at": "2026-11-22T08:15:03.000Z",
    }


def event(name: str, data: Any, id: str | None = None) -> bytes:
    start = "" if id is None else f"id: {id}\n"
    return f"{start}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def parts_of(asked: Asked) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of each part."""
    head = f"content-type: {asked.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + asked.body)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def answered_with(body: Any, status: int = 200) -> tuple[list[Asked], Callable[[Asked], None]]:
    seen: list[Asked] = []

    def respond(asked: Asked) -> None:
        seen.append(copy.copy(asked))  # the next request on the connection changes it
        asked.answer(status, json.dumps(body).encode(), content_type="application/json")

    return seen, respond


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_files_are_sent_in_their_order_with_names_and_a_length(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"\r\n--second\r\n" * 50_000)
    (tmp_path / "all.zip").write_bytes(b"PK")
    files = [('más/a "1".jpg', tmp_path / "a.jpg"), tmp_path / "b", ("empty.png", b"")]
    options: dict[str, Any] = {
        "parameters": {"scale": 2, "quality": None},
        "files": files,
        "zips": [tmp_path / "all.zip"],
        "metadata": {"album": "x"},
        "webhook": "https://example.com",
    }
    seen, respond = answered_with(job(), 202)
    with serving(respond) as url:
        if kind == "sync":
            with Client(url) as client:
                made = client.create_job("super-resolution", "photo-x4", **options)
        else:

            async def main() -> Job:
                async with AsyncClient(url) as client:
                    return await client.create_job("super-resolution", "photo-x4", **options)

            made = asyncio.run(main())
    assert (made.id, made.counts.done, made.ended) == ("job_1", 1, False)
    assert made.created_at == datetime(2026, 11, 22, 8, 15, 2, 120_000, timezone.utc)
    (asked,) = seen
    assert len(asked.body) == int(asked.headers["content-length"])
    assert len(asked.headers["idempotency-key"]) >= 16
    first, *sent = parts_of(asked)
    assert json.loads(first[2]) == {
        "operation": "super-resolution",
        "model": "photo-x4",
        "parameters": {"scale": 2},
        "metadata": {"album": "x"},
        "webhook": {"url": "https://example.com"},
    }
    assert [(name, content) for name, _, content in sent] == [
        ("files", b"first"),
        ("files", (tmp_path / "b").read_bytes()),
        ("files", b""),
        ("zip", b"PK"),
    ]
    assert 'filename="más/a %221%22.jpg"'.encode() in asked.body
    assert [filename for _, filename, _ in sent[1:]] == ["b", "empty.png", "all.zip"]


def test_without_files_it_is_json() -> None:
    seen, respond = answered_with(job(), 202)
    with serving(respond) as url, Client(url) as client:
        prefixes = ["s3://b/x/", ("s3://b/y/", "*.jpg")]
        client.create_job(
            "translate", "m", prefixes=prefixes, destination="s3://b/z/", idempotency_key="k", priority="low"
        )
        client.create_job("generate", "m", seeds=range(5, 9))
        client.create_job("generate", "m", seeds=[3, 1])
    bodies = [json.loads(asked.body) for asked in seen]
    assert bodies[0]["inputs"] == [{"prefix": "s3://b/x/"}, {"prefix": "s3://b/y/", "pattern": "*.jpg"}]
    assert (bodies[0]["destination"], bodies[0]["priority"]) == ("s3://b/z/", "low")
    assert seen[0].headers["idempotency-key"] == "k"
    assert [body["seeds"] for body in bodies[1:]] == [{"first": 5, "count": 4}, [3, 1]]


def test_a_job_that_was_perhaps_made_is_asked_for_again_under_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    keys = []

    def respond(asked: Asked) -> None:
        keys.append((asked.headers["idempotency-key"], len(parts_of(asked)[1][2])))
        if len(keys) == 1:
            asked.break_off(b"", 10)
        else:
            asked.answer(200, json.dumps(job()).encode())

    with serving(respond) as url, Client(url) as client:
        client.create_job("super-resolution", "m", files=[tmp_path / "a"])
    assert keys == [keys[0]] * 2
    assert keys[0][1] == 1000


@pytest.mark.parametrize("size", [400, 1200])
def test_a_file_that_changes_while_it_is_sent_is_named(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1000)
    call = job_calls.create_job("super-resolution", "m", files=[path])
    multipart = call.load()
    path.write_bytes(b"y" * size)
    with pytest.raises(FileChangedError) as caught:
        b"".join(multipart.blocks())
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError):
        job_calls.create_job("super-resolution", "m", files=[tmp_path / "b"]).load()


def test_memory_does_not_grow_with_what_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    multipart = job_calls.create_job("super-resolution", "m", files=[path] * 2).load()
    tracemalloc.start()
    length = sum(map(len, multipart.blocks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == int(multipart.headers["content-length"]) > 80 << 20
    assert peak < 4 << 20


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_events_go_on_after_a_connection_broke(kind: str) -> None:
    """Of items that changed together only the last has an id, so all of them come again."""
    asked_after = []
    streams = [
        event("item", item(0), "5") + event("item", item(1)) + b"event: item\ndata: {",
        b": still there\n\n" + event("job", job(), "6"),
        event("item", item(1)) + event("item", item(2, "failed"), "7") + event("job", job("succeeded"), "8"),
        event("end", {"state": "succeeded"}, "8-end"),
    ]

    def respond(asked: Asked) -> None:
        asked_after.append(asked.headers["last-event-id"])
        asked.break_off(streams[len(asked_after) - 1], content_type="text/event-stream")

    with serving(respond) as url:
        if kind == "sync":
            with Client(url) as client, closing(client.job_events("job_1")) as events:
                found = list(events)
        else:

            async def main() -> list[JobEvent]:
                async with AsyncClient(url) as client, aclosing(client.job_events("job_1")) as events:
                    return [one async for one in events]

            found = asyncio.run(main())
    assert asked_after == ["0", "5", "6", "8"]
    assert [one.item.n if one.item else one.job.state for one in found] == [
        0,
        1,
        "running",
        1,
        2,
        "succeeded",
    ]
    assert found[4].item.reason == "The image cannot be read. No"


def test_a_server_that_does_not_come_back_ends_the_events() -> None:
    def respond(asked: Asked) -> None:
        asked.break_off(b"", content_type="text/event-stream")

    stopped = pytest.raises(UnreachableError, match="stopped answering")
    with serving(respond) as url, Client(url, retry_seconds=1) as client, stopped:
        list(client.job_events("job_1"))


def test_a_job_that_is_not_there_ends_the_events_at_once() -> None:
    seen, respond = answered_with({"title": "No such job", "type": "/problems/job-not-found"}, 404)
    with serving(respond) as url, Client(url) as client, pytest.raises(ProblemError, match="No such job"):
        list(client.job_events("job/1"))
    assert seen[0].path == "/v1/jobs/job%2F1/events"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_output_is_whole_or_not_there(kind: str, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    content = bytes(range(256)) * 1000
    asked_for = []

    def respond(asked: Asked) -> None:
        asked_for.append(asked.path)
        if len(asked_for) == 1:
            assert path.read_bytes() == b"old"
            asked.break_off(content[:1000], len(content))
        else:
            asked.answer(200, content, content_type="image/png")

    with serving(respond) as url:
        if kind == "sync":
            with Client(url) as client:
                saved = client.job_output("job_1", 7, path, staging=staging)
        else:

            async def main() -> Any:
                async with AsyncClient(url) as client:
                    return await client.job_output("job_1", 7, path, staging=staging)

            saved = asyncio.run(main())
    assert asked_for == ["/v1/jobs/job_1/items/7/output"] * 2
    assert (saved.path, saved.size, saved.media_type) == (path, len(content), "image/png")
    assert path.read_bytes() == content
    assert list(staging.iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.png", "staging"]


def test_an_unfinished_file_is_where_it_is_wanted(tmp_path: Path) -> None:
    with (
        serving(lambda asked: asked.answer(200, b"new")) as url,
        Client(url) as client,
        pytest.raises(FileNotFoundError, match="staging"),
    ):
        client.job_output("job_1", 0, tmp_path / "out.png", staging=tmp_path / "staging")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_breaks_off_for_good_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    with (
        serving(lambda asked: asked.break_off(b"new", 10)) as url,
        Client(url, retry_seconds=1) as client,
        pytest.raises(UnreachableError),
    ):
        client.job_output("job_1", 0, path)
    assert [one.name for one in tmp_path.iterdir()] == ["out.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_lists_are_read_page_by_page(kind: str) -> None:
    queries = []

    def respond(asked: Asked) -> None:
        queries.append(asked.path)
        page = len(queries)
        body = {"data": [item(2 * page - 2), item(2 * page - 1)], "next": None if page == 3 else f"c{page}"}
        asked.answer(200, json.dumps(body).encode())

    with serving(respond) as url:
        if kind == "sync":
            with Client(url) as client:
                items = client.job_items("job_1", state="failed", page=2)
                first = next(items)
                assert len(queries) == 1, "pages are asked for when they are wanted"
                found = [first, *items]
        else:

            async def main() -> list[Any]:
                async with AsyncClient(url) as client:
                    return [one async for one in client.job_items("job_1", state="failed", page=2)]

            found = asyncio.run(main())
    assert [one.n for one in found] == list(range(6))
    start = "/v1/jobs/job_1/items?state=failed&limit=2"
    assert queries == [start, f"{start}&cursor=c1", f"{start}&cursor=c2"]


def test_waiting_ends_with_the_job_or_with_the_time() -> None:
    states = ["queued", "running", "succeeded"]

    def respond(asked: Asked) -> None:
        asked.answer(200, json.dumps(job(states.pop(0) if len(states) > 1 else states[0])).encode())

    with serving(respond) as url, Client(url) as client:
        assert client.wait_for_job("job_1").state == "succeeded"
        states[:] = ["running"]
        with pytest.raises(TimeoutError, match="the end of job_1 has not come about within"):
            client.wait_for_job("job_1", seconds=0.5)
    assert isinstance(job_calls.wait_for_job("x"), Poll)


def test_jobs_are_cancelled_retried_and_deleted() -> None:
    seen = []

    def respond(asked: Asked) -> None:
        seen.append(f"{asked.command} {asked.path}")
        purge = asked.path.endswith("purge=true")
        asked.answer(204 if purge else 202, b"" if purge else json.dumps(job("cancelled")).encode())

    with serving(respond) as url, Client(url) as client:
        assert client.cancel_job("job_1").state == "cancelled"
        assert client.retry_job("job_1").ended
        assert client.delete_job("job_1") is None
    assert seen == ["DELETE /v1/jobs/job_1", "POST /v1/jobs/job_1/retry", "DELETE /v1/jobs/job_1?purge=true"]


def test_both_clients_have_the_same_calls() -> None:
    names = [name for name in dir(Client) if "job" in name]
    assert len(names) == 12
    for name in names:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))
        assert getattr(Client, name).__doc__
