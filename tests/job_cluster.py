"""Batch jobs for tests: one database, one place for artifacts, and real workers that tests may kill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.jobs.database import Database
from service.jobs.item_store import ItemStore
from service.jobs.job_store import Enqueue, JobStore, NewJob
from service.jobs.naming import DEFAULT_PATTERNS
from service.jobs.records import (
    Item,
    ItemState,
    Job,
    JobSpec,
    JobState,
    NewItem,
    Source,
    UploadedFile,
    new_job_id,
)
from service.jobs.storage import Area, StorageError, open_area
from service.jobs.workflows import WorkflowClient
from tests.worker_process import WorkerProcess


class JobCluster:
    """The part of a gateway that makes jobs, and workers beside it.

    Leases and rounds of housekeeping are short. Close it in the end: it stops the workers.
    """

    def __init__(
        self, triton_url: str, database_url: str, artifacts_url: str, folder: Path, **settings: Any
    ) -> None:
        self.inputs = ""  # where the test has files, if it has any
        self.artifacts: Area = open_area(artifacts_url)
        self.workers: list[WorkerProcess] = []
        self._triton_url = triton_url
        self._folder = folder
        self.settings = {
            "database_url": database_url,
            "artifacts_url": artifacts_url,
            "state_folder": folder / "state",
            "worker_lease_seconds": 3,
            "housekeeping_seconds": 1,
            **settings,
        }
        self.database = Database(database_url)
        self.database.migrate()
        self.jobs, self.items = JobStore(self.database), ItemStore(self.database)
        self.client = WorkflowClient(self.database)

    def start_worker(self, kind: type[WorkerProcess] = WorkerProcess, **settings: Any) -> WorkerProcess:
        """One more worker, which need not be ready yet."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        self.workers.append(kind(self._triton_url, log, **{**self.settings, **settings}))
        return self.workers[-1]

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.client.close()
        self.database.close()

    def make(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        operation: str = "super-resolution",
        model: str = "doubler",
        parameters: Mapping[str, Any] | None = None,
        sources: Sequence[Source] = (),
        priority: Any = "normal",
        archive: bytes | None = None,
        secret: str | None = None,
        leave_out: Sequence[str] = (),
        enqueue: Enqueue | None = None,
        **spec: Any,
    ) -> Job:
        """A job over files of these names, as the gateway makes one; it waits for a worker.

        Args:
            files: What is uploaded.
            operation: What is done.
            model: With which model.
            parameters: As in the operation's endpoint.
            sources: Besides the files.
            priority: Among jobs.
            archive: A zip that is uploaded, too.
            secret: Signs the webhook.
            leave_out: Files that are gone from storage.
            enqueue: Instead of what enqueues the job's workflow.
            spec: Other attributes of `JobSpec`.
        """
        name = new_job_id()
        uploaded, objects = [], {}
        for n, (label, content) in enumerate((files or {}).items()):
            if label not in leave_out:
                objects[f"inputs/{n}"] = content
            uploaded.append(NewItem(label, UploadedFile(object=f"inputs/{n}", size=len(content))))
        if archive is not None:
            objects["inputs/archive.zip"] = archive
        self.put(f"{name}/", objects)
        made = JobSpec(
            operation=operation,  # type: ignore[arg-type]  # tests name them by hand
            model=model,
            parameters=dict(parameters or {}),
            naming=spec.pop("naming", DEFAULT_PATTERNS[operation]),
            names={"ext": (parameters or {}).get("format", "png"), "model": model, **spec.pop("names", {})},
            sources=tuple(sources),
            **spec,
        )
        new = NewJob(name, "ann", made, priority, items=uploaded, webhook_secret=secret)
        return self.jobs.create(new, enqueue or self.client.enqueue_job)[0]

    def put(self, prefix: str, objects: Mapping[str, bytes], area: Area | None = None) -> None:
        """Stores objects, a few at a time."""

        async def work() -> None:
            places = asyncio.Semaphore(8)

            async def one(name: str, content: bytes) -> None:
                async with places:
                    await (area or self.artifacts).put(prefix + name, content)

            await asyncio.gather(*(one(name, content) for name, content in objects.items()))

        asyncio.run(work())

    def now(self, job: Job) -> Job:
        return self.jobs.get(job.id)

    def wait(self, job: Job, seconds: float = 60) -> Job:
        """The job when it has ended."""
        return self.wait_until(job, lambda now: now.ended_at is not None, seconds)

    def wait_until(self, job: Job, met: Any, seconds: float = 60) -> Job:
        """The job when it is as wanted."""
        deadline = time.monotonic() + seconds
        while not met(now := self.now(job)):
            if time.monotonic() > deadline:
                logs = "\n".join(worker.log()[-3000:] for worker in self.workers)
                raise AssertionError(f"after {seconds} s the job is {now}\n{logs}")
            time.sleep(0.05)
        return now

    def of(self, job: Job, *states: ItemState) -> list[Item]:
        """All items of a job, or those in some states."""
        return self.items.page(job, states=states, limit=1_000_000)

    def outputs(self, job: Job) -> dict[str, bytes]:
        """What is stored below the outputs of a job, by name."""
        return self.stored(f"{job.id}/outputs")

    def stored(self, prefix: str = "", area: Area | None = None) -> dict[str, bytes]:
        """What is stored in an area, or below a prefix of the artifacts."""
        area = area or (self.artifacts.below(prefix) if prefix else self.artifacts)

        async def work() -> dict[str, bytes]:
            try:
                names = [found.name async for page in area.list_pages() for found in page]
            except StorageError as error:
                if error.kind == "missing":
                    return {}
                raise
            places = asyncio.Semaphore(8)

            async def one(name: str) -> bytes | None:
                async with places:
                    try:
                        return await area.get(name, 1 << 30)
                    except StorageError as error:
                        if error.kind == "missing":  # deleted since it was listed
                            return None
                        raise

            found = zip(names, await asyncio.gather(*map(one, names)), strict=True)
            return {name: content for name, content in found if content is not None}

        return asyncio.run(work())

    def workflows(self, job: Job) -> list[str]:
        """What DBOS remembers of a job."""
        found = self.client._client.list_workflows(workflow_id_prefix=f"{job.id}:")
        return [workflow.workflow_id for workflow in found]

    def check_counts(self, job: Job) -> None:
        """Counts of an ended job agree with its items, and its outputs with those that succeeded."""
        now, items = self.now(job), self.of(job)
        assert now.ended_at is not None
        by_state = {state: [item for item in items if item.state is state] for state in ItemState}
        counts = now.counts
        assert counts.total == len(items)
        assert counts.succeeded == len(by_state[ItemState.SUCCEEDED])
        assert counts.failed == len(by_state[ItemState.FAILED])
        assert counts.cancelled == len(by_state[ItemState.CANCELLED])
        assert counts.done == counts.total, now
        if now.spec.destination is None:
            names = sorted(item.output_name for item in by_state[ItemState.SUCCEEDED])
            assert sorted(self.outputs(job)) == names
        assert now.state is not JobState.RUNNING
