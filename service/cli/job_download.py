"""The outputs of a job, fetched into a folder, several at a time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from service.cli.progress import progress_bar
from service.client import AsyncClient, JobItem
from service.jobs.safe_names import UnsafeNameError, safe_name

_AT_A_TIME = 4


async def fetch_all(client: AsyncClient, job: str, out: Path, *, overwrite: bool) -> tuple[int, int]:
    """Fetches what a job has made so far.

    Args:
        client: Of the server.
        job: Id of the job.
        out: The folder, made if need be.
        overwrite: Fetch files again that are there already.

    Returns:
        How many were fetched, and how many had been there.

    Raises:
        ClientError: The server refused, or went away.
        OSError: A file cannot be written.
        ValueError: The server gives a result a name that leads elsewhere.
    """
    found = await client.job(job)
    await asyncio.to_thread(out.mkdir, parents=True, exist_ok=True)
    counted = {"fetched": 0, "kept": 0}
    items = client.job_items(job, state="succeeded")
    with progress_bar() as progress:
        task = progress.add_task(found.model, total=found.counts.succeeded)

        async def fetch(item: JobItem) -> None:
            assert item.output is not None
            try:
                path = out / safe_name(item.output.name)
            except UnsafeNameError as error:
                raise ValueError(f"the server calls a result {item.output.name!r}: {error}") from None
            if not overwrite and await asyncio.to_thread(path.exists):
                counted["kept"] += 1
            else:
                await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
                await client.job_output(job, item.n, path)
                counted["fetched"] += 1
            progress.advance(task)

        async def work() -> None:
            while True:
                async with turn:
                    item = await anext(items, None)
                if item is None:
                    return
                await fetch(item)

        turn = asyncio.Lock()
        async with aclosing(items):
            workers = [asyncio.ensure_future(work()) for _ in range(_AT_A_TIME)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
    return counted["fetched"], counted["kept"]
