"""Triton, a database and workers, as processes of their own, and jobs run through them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from service.jobs.item_store import ItemStore
from service.jobs.job_store import JobStore, NewJob
from service.jobs.records import Job, JobSpec, JobState, PrefixSource, SeedSource, new_job_id
from service.jobs.setup import open_database
from service.jobs.workflows import WorkflowClient
from service.settings import Settings
from tests.benchmarks.throughput import family_cpu
from tests.triton_process import TritonProcess
from tests.worker_process import WorkerProcess

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Done:
    """A job that was run.

    Attributes:
        job: At its end.
        seconds: From when it was made to its end.
        listing: Until all its items were listed.
        workers: Seconds of CPU of all workers.
        triton: Seconds of CPU of Triton and the processes that it runs models in.
        database: Seconds of CPU of PostgreSQL; 0 with SQLite.
    """

    job: Job
    seconds: float
    listing: float
    workers: float
    triton: float
    database: float

    @property
    def items(self) -> int:
        """How many it had."""
        return self.job.counts.total


class MeasuredWorker(WorkerProcess):
    """A worker that says what it spends its time on, see `tests.benchmarks.job_parts`."""

    command = "from tests.benchmarks.job_parts import run; run()"


class Stack:
    """Workers over a database and Triton; a context manager."""

    def __init__(
        self,
        triton: TritonProcess,
        folder: Path,
        *,
        workers: int = 1,
        database_url: str = "",
        database_pid: int | None = None,
        kind: type[WorkerProcess] = WorkerProcess,
        **settings: Any,
    ) -> None:
        """Starts them.

        Args:
            triton: Runs.
            folder: For database, artifacts and logs; jobs may read what is beside it.
            workers: How many.
            database_url: SQLite in the folder if left out.
            database_pid: The process of the database server, if there is one.
            kind: Of the workers.
            settings: Of the workers.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.triton = triton
        self._server = None if database_pid is None else psutil.Process(database_pid)
        given = {
            "state_folder": folder / "state",
            "database_url": database_url,
            "log_level": "warning",
            "job_inputs": folder.parent.as_uri(),
        }
        self.settings = {**given, **settings}
        self._exit = ExitStack()
        self.database = open_database(Settings(triton_url=triton.grpc_url, **self.settings))
        self._exit.callback(self.database.close)
        self.database.migrate()
        self.jobs, self.items = JobStore(self.database), ItemStore(self.database)
        self.client = WorkflowClient(self.database)
        self._exit.callback(self.client.close)
        self.workers = [
            kind(triton.grpc_url, folder / f"worker-{number}.log", **self.settings)
            for number in range(workers)
        ]
        for worker in self.workers:
            self._exit.callback(worker.close)
            worker.wait_ready(60)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def cpu(self) -> tuple[float, float, float]:
        """Seconds so far: of the workers, of Triton, of the database server."""
        workers = sum(family_cpu(psutil.Process(worker.process.pid)) for worker in self.workers)
        return workers, family_cpu(psutil.Process(self.triton.pid)), family_cpu(self._server)

    def idle_rate(self, seconds: float = 4.0) -> float:
        """Seconds of CPU that a worker takes a second while there is nothing to do."""
        before = self.cpu()[0]
        time.sleep(seconds)
        return (self.cpu()[0] - before) / seconds / len(self.workers)

    def run(self, spec: JobSpec, progress: Callable[[int, float, float], None] | None = None) -> Done:
        """Makes a job and waits for its end.

        Args:
            spec: The job.
            progress: Told now and then how many items are done, after how many seconds, and how much of the
                workers' CPU that took.
        """
        before = self.cpu()
        job, _ = self.jobs.create(NewJob(new_job_id(), "bench", spec, "normal"), self.client.enqueue_job)
        listing = None
        started = time.perf_counter()
        while job.ended_at is None:
            if any(worker.process.poll() is not None for worker in self.workers):
                raise RuntimeError(f"a worker ended\n{self.log()}")
            time.sleep(_POLL_SECONDS if time.perf_counter() - started < 30 else 1.0)
            job = self.jobs.get(job.id)
            if progress is not None:
                progress(job.counts.done, time.perf_counter() - started, self.cpu()[0] - before[0])
            if listing is None and job.listed:
                listing = time.perf_counter() - started
        workers, triton, database = (b - a for a, b in zip(before, self.cpu(), strict=True))
        if job.state is not JobState.SUCCEEDED or job.counts.succeeded != job.counts.total:
            raise RuntimeError(f"the job did not succeed: {job.counts}, {job.problem}\n{self.log()}")
        return Done(job, job.ended_at - job.created_at, listing or 0.0, workers, triton, database)

    def list_only(self, spec: JobSpec) -> tuple[float, float]:
        """Makes a job, waits until all its items are listed, and cancels it.

        Returns:
            Seconds until then, and those of the workers' CPU.
        """
        before, started = self.cpu()[0], time.perf_counter()
        job, _ = self.jobs.create(NewJob(new_job_id(), "bench", spec, "normal"), self.client.enqueue_job)
        while not job.listed and job.ended_at is None:
            time.sleep(_POLL_SECONDS)
            job = self.jobs.get(job.id)
        seconds, cpu = time.perf_counter() - started, self.cpu()[0] - before
        self.jobs.cancel(job.id)
        while job.ended_at is None:
            time.sleep(_POLL_SECONDS)
            job = self.jobs.get(job.id)
        if not job.listed:
            raise RuntimeError(f"the job was not listed: {job.problem}\n{self.log()}")
        return seconds, cpu

    def size(self, *, compact: bool = False) -> int:
        """Bytes that the database takes.

        Args:
            compact: Once room that is not used is given back.
        """
        if self.database.sqlite:
            pages, free, size = (
                int(self._scalar(f"PRAGMA {name}")) for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free if compact else pages) * size
        if compact:
            with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sa.text("VACUUM FULL"))
        return int(self._scalar("SELECT pg_database_size(current_database())"))

    def _scalar(self, query: str) -> Any:
        return self.database.read(lambda connection: connection.execute(sa.text(query)).scalar_one())

    def forget(self, done: Done) -> None:
        """Waits until the workflow rows of a job are gone."""
        count = sa.text(f"SELECT count(*) FROM {self._workflows} WHERE workflow_uuid LIKE :prefix")
        prefix = {"prefix": f"{done.job.id}:%:chunk:%"}
        while self.database.read(lambda connection: connection.execute(count, prefix).scalar_one()):
            time.sleep(_POLL_SECONDS)

    @property
    def _workflows(self) -> str:
        return "workflow_status" if self.database.sqlite else "dbos.workflow_status"

    def log(self) -> str:
        """What the workers said last."""
        return "\n".join(worker.log()[-2000:] for worker in self.workers)

    def parts(self) -> list[Path]:
        """Has workers of the kind `MeasuredWorker` say what they spent so far."""
        paths = []
        for worker in self.workers:
            path = self.folder / f"parts-{worker.process.pid}.json"
            path.unlink(missing_ok=True)
            worker.process.send_signal(signal.SIGUSR1)
            while not path.exists():
                time.sleep(0.01)
            paths.append(path)
        return paths


def enlarging(model: str, folder: Path, parameters: dict[str, Any] | None = None) -> JobSpec:
    """A job that enlarges all files of a folder to PNG."""
    return JobSpec(
        operation="super-resolution",
        model=model,
        parameters=parameters or {},
        naming="{path}/{stem}.{ext}",
        names={"ext": "png"},
        sources=[PrefixSource(url=folder.as_uri())],
    )


def generating(model: str, count: int) -> JobSpec:
    """A job that generates so many images as PNG."""
    return JobSpec(
        operation="generate",
        model=model,
        parameters={},
        naming="{seed:08}.{ext}",
        names={"ext": "png"},
        sources=[SeedSource(first=0, count=count)],
    )


def median(values: Sequence[float]) -> float:
    """The one in the middle, or the mean of the two."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
