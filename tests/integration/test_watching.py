"""Many who follow one job, over a real database."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from service.api.calls.job_events import JobEvents
from service.jobs.desk import JobDesk
from service.jobs.item_store import Claim
from service.jobs.job_store import NewJob
from service.jobs.records import (
    Finished,
    ItemState,
    Job,
    JobSpec,
    JobState,
    NewItem,
    Output,
    Seed,
    new_job_id,
)
from service.jobs.watching import Watching
from service.settings import Settings

OUTPUT = Output(10, "image/png", 4, 4, "ab" * 32, "cd" * 32)
WATCHERS = 30
ITEMS = 450


class CountingDesk(JobDesk):
    """Counts what the database is asked."""

    asked = 0

    async def ask(self, call: Callable[[], Any]) -> Any:
        self.asked += 1
        return await super().ask(call)


async def made(desk: JobDesk) -> Job:
    spec = JobSpec(operation="generate", model="toy", parameters={}, naming="{seed}.png")
    items = [NewItem(str(seed), Seed(seed=seed)) for seed in range(ITEMS)]
    new = NewJob(new_job_id(), "anna", spec, "normal", items)
    job, _ = await desk.ask(lambda: desk.jobs.create(new, desk.workflows.enqueue_job))
    return job


def finish(desk: JobDesk, job: Job, first: int, count: int) -> None:
    """As a worker does: these items change together."""
    numbers = range(first, first + count)
    desk.items.claim([Claim(job.key, n, 1) for n in numbers], "worker")
    ends = [Finished(n, 1, ItemState.SUCCEEDED, OUTPUT) for n in numbers]
    desk.items.finish(job.key, ends)


async def follow(watching: Watching, job: Job, position: int) -> Counter[str]:
    """Counts of events, by their first line, and of items by their number."""
    found: Counter[str] = Counter()
    stream = JobEvents(
        watching,
        job,
        position,
        with_items=True,
        with_owner=False,
        heartbeat=60,
        stopping=lambda: False,
    )
    async with aclosing(stream.stream()) as parts:
        async for part in parts:
            found.update(line for line in part.decode().splitlines() if line.startswith("event:"))
    return found


async def ready(desk: JobDesk) -> None:
    while not desk._ready:  # noqa: ASYNC110  # nobody is told of it
        await asyncio.sleep(0.02)


def test_many_watchers_ask_no_more_than_one(tmp_path: Path) -> None:
    async def work() -> tuple[int, float, list[Counter[str]]]:
        async with CountingDesk(Settings(state_folder=tmp_path)) as desk:
            await ready(desk)
            job, watching = await made(desk), Watching(desk)
            before, began = desk.asked, asyncio.get_running_loop().time()
            following = [asyncio.create_task(follow(watching, job, 0)) for _ in range(WATCHERS)]
            for first in range(0, ITEMS, 150):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(finish, desk, job, first, 150)
            await asyncio.to_thread(desk.jobs.end, job, JobState.SUCCEEDED, None, 60)
            found = await asyncio.gather(*following)
            took = asyncio.get_running_loop().time() - began
            assert watching.watchers == 0
            await asyncio.sleep(0.7)
            return desk.asked - before, took, found

    asked, took, found = asyncio.run(work())
    looks = took / 0.5 + 1
    # A look, and the pages of what changed: one of each 150 items that were finished, and 450 at first.
    assert asked <= looks + 3 + 3 + 3, (asked, looks)
    for counts in found:
        assert counts["event: end"] == 1
        assert counts["event: item"] >= ITEMS
        assert counts["event: job"] <= looks + 1


def test_a_deleted_job_ends_the_stream(tmp_path: Path) -> None:
    async def work() -> Counter[str]:
        async with CountingDesk(Settings(state_folder=tmp_path)) as desk:
            await ready(desk)
            job, watching = await made(desk), Watching(desk)
            following = asyncio.create_task(follow(watching, job, 0))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(desk.jobs.end, job, JobState.CANCELLED, None, 0)  # and is gone at once
            return await asyncio.wait_for(following, 5)

    assert asyncio.run(work())["event: end"] == 1


def test_no_item_is_lost_where_a_connection_breaks(tmp_path: Path) -> None:
    """Items that changed together have one revision; one who saw some of them is told of all again."""

    async def some(watching: Watching, job: Job, position: int, most: int) -> tuple[list[int], int]:
        seen: list[int] = []
        stream = JobEvents(
            watching,
            job,
            position,
            with_items=True,
            with_owner=False,
            heartbeat=60,
            stopping=lambda: False,
        )
        async with aclosing(stream.stream()) as parts:
            async for part in parts:
                for text in part.decode().split("\n\n"):
                    fields = dict(line.split(": ", 1) for line in text.splitlines())
                    if "id" in fields and not fields["id"].endswith("-end"):
                        position = int(fields["id"])
                    if fields.get("event") == "item":
                        seen.append(json.loads(fields["data"])["n"])
                    if len(seen) == most:
                        return seen, position
        return seen, position

    async def work() -> None:
        async with CountingDesk(Settings(state_folder=tmp_path)) as desk:
            await ready(desk)
            job, watching = await made(desk), Watching(desk)
            await asyncio.to_thread(finish, desk, job, 0, 100)
            await asyncio.to_thread(finish, desk, job, 100, 100)
            await asyncio.to_thread(desk.jobs.end, job, JobState.CANCELLED, None, 60)
            ended = await desk.ask(lambda: desk.jobs.get(job.id))
            first, position = await some(watching, ended, 0, 150)
            assert sorted(first) == list(range(150))
            assert 0 < position < ended.revision
            rest, position = await some(watching, ended, position, ITEMS)
            assert sorted(rest) == list(range(100, ITEMS))
            assert position == ended.revision

    asyncio.run(work())
