"""Archives of jobs in the process of the test: their memory, and what they leave behind."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from service.jobs.desk import JobDesk
from service.jobs.item_store import Claim
from service.jobs.job_archive import ArchiveBrokenError, job_archive
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
from service.jobs.shown import item_json, job_json
from service.settings import Settings


def with_desk(tmp_path: Path, work: Callable[[JobDesk], Awaitable[None]]) -> None:
    async def worked() -> None:
        async with JobDesk(Settings(state_folder=tmp_path)) as desk:
            while not desk._ready:  # noqa: ASYNC110  # nobody is told of it
                await asyncio.sleep(0.02)
            await work(desk)

    asyncio.run(worked())


async def done(desk: JobDesk, sizes: list[int]) -> Job:
    """A job that has ended, with outputs of these sizes."""
    spec = JobSpec(operation="generate", model="toy", parameters={}, naming="{seed}.png")
    items = [NewItem(str(seed), Seed(seed=seed)) for seed in range(len(sizes))]
    new = NewJob(new_job_id(), "anna", spec, "normal", items)
    job, _ = await desk.ask(lambda: desk.jobs.create(new, desk.workflows.enqueue_job))
    area = desk.places.outputs(job)
    for n, size in enumerate(sizes):
        await area.put(f"{n}.png", portions(size))
    ends = [
        Finished(n, 1, ItemState.SUCCEEDED, Output(size, "image/png", 4, 4, "ab" * 32, "cd" * 32))
        for n, size in enumerate(sizes)
    ]
    await desk.ask(lambda: desk.items.claim([Claim(job.key, end.n, 1) for end in ends], "worker"))
    await desk.ask(lambda: desk.items.finish(job.key, ends))
    ended = await desk.ask(lambda: desk.jobs.end(job, JobState.SUCCEEDED, None, 3600))
    assert ended is not None
    return ended


async def portions(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 1 << 20):
        yield b"%d" % (start % 7) * min(1 << 20, size - start)


@pytest.mark.thorough
def test_little_memory_for_large_files_and_many(tmp_path: Path) -> None:
    async def work(desk: JobDesk) -> None:
        job = await done(desk, [64 << 20, 0, *([5000] * 1500)])
        received, largest = 0, 0
        tracemalloc.start()
        async with aclosing(job_archive(desk, job, job_json, item_json)) as archive:
            async for part in archive:
                received += len(part)
                largest = max(largest, len(part))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert received > (64 << 20) + 1500 * 5000
        assert peak < 12 << 20, peak
        assert largest < 4 << 20

    with_desk(tmp_path, work)


def test_sizes_on_both_sides_of_what_is_read_ahead(tmp_path: Path) -> None:
    sizes = [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3 << 20, 0]

    async def work(desk: JobDesk) -> None:
        job = await done(desk, sizes)
        parts = [part async for part in job_archive(desk, job, job_json, item_json)]
        with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
            assert archive.testzip() is None
            assert [info.file_size for info in archive.infolist()[:-1]] == sizes
            assert len(json.loads(archive.read("manifest.json"))["items"]) == len(sizes)

    with_desk(tmp_path, work)


@pytest.mark.parametrize("change", ["missing", "shorter", "longer", "retried", "deleted"])
@pytest.mark.parametrize("size", [1000, 300 << 10])
def test_what_changed_meanwhile_breaks_it_off(tmp_path: Path, change: str, size: int) -> None:
    async def work(desk: JobDesk) -> None:
        job = await done(desk, [2 << 20, *([size] * 12)])
        area = desk.places.outputs(job)
        async with aclosing(job_archive(desk, job, job_json, item_json)) as archive:
            await archive.__anext__()
            if change == "missing":
                await area.delete(["12.png"])
            elif change == "shorter":
                await area.put("12.png", portions(size - 1))
            elif change == "longer":
                await area.put("12.png", portions(size + 1))
            elif change == "deleted":
                await desk.ask(lambda: desk.jobs.expire(job.id))
            else:
                await desk.ask(lambda: retried(desk, job))
            with pytest.raises(ArchiveBrokenError):
                await rest(archive)
        assert len(asyncio.all_tasks()) == 1

    with_desk(tmp_path, work)


async def rest(archive: AsyncIterator[bytes]) -> int:
    return sum([len(part) async for part in archive])


def retried(desk: JobDesk, job: Job) -> None:
    """As if an item had failed, and was tried again."""
    import sqlalchemy as sa

    from service.jobs.tables import JOBS

    desk.jobs._database.run(
        lambda connection: connection.execute(sa.update(JOBS).where(JOBS.c.key == job.key).values(failed=1))
    )
    desk.jobs.retry(job.id, desk.workflows.enqueue_job)


def test_one_who_leaves_leaves_nothing(tmp_path: Path) -> None:
    async def work(desk: JobDesk) -> None:
        job = await done(desk, [1000] * 30)
        async with aclosing(job_archive(desk, job, job_json, item_json)) as archive:
            await archive.__anext__()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    with_desk(tmp_path, work)
