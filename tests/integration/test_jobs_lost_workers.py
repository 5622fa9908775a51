"""Workers that are told to stop, die, freeze, or are killed by an image: nothing is lost or done twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from standardwebhooks import Webhook

from service.jobs.records import Item, ItemState, Job, JobState, Priority
from service.jobs.tables import ITEMS
from tests.image_files import saved
from tests.job_cluster import JobCluster
from tests.postgres_process import PostgresProcess
from tests.toy_image_models import write_toy_image_model
from tests.triton_process import TritonProcess
from tests.webhook_receiver import Receiver, answering
from tests.worker_process import RUN, WorkerProcess

WRAPPED = """
import asyncio, hashlib, os, signal
from service.jobs.runtime import Runtime
run_image = Runtime.run_image
async def wrapped(self, operation, data, **named):
    {}
    return await run_image(self, operation, data, **named)
Runtime.run_image = wrapped
"""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class SlowWorker(WorkerProcess):
    """A worker that needs a while for every image."""

    command = WRAPPED.format("await asyncio.sleep(0.3)") + RUN


class FreezingWorker(WorkerProcess):
    """A slow worker that freezes within its heartbeat's transaction once a file is there."""

    command = (
        """
import os, signal
from service.jobs.database import Database
really = Database.run
def frozen(self, work, **named):
    def freezes(connection):
        result = work(connection)
        if work.__qualname__.startswith("WorkerStore.beat") and os.path.exists(os.environ["FREEZE"]):
            os.kill(os.getpid(), signal.SIGSTOP)
        return result
    return really(self, freezes, **named)
Database.run = frozen
"""
        + SlowWorker.command
    )


class UnluckyWorker(WorkerProcess):
    """A worker whose connections the database closes while its workflows start."""

    command = (
        """
from dbos._sys_db import SystemDatabase
really = SystemDatabase.create_application_version
def once(self, *args, **named):
    SystemDatabase.create_application_version = really
    with self.engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
SystemDatabase.create_application_version = once
"""
        + RUN
    )


class MortalWorker(WorkerProcess):
    """A worker that a certain image kills, a while after it was begun."""

    command = (
        WRAPPED.format(
            "await asyncio.sleep(0.2)\n"
            "    if hashlib.sha256(data).hexdigest() == os.environ['POISON']:\n"
            "        os.kill(os.getpid(), signal.SIGKILL)"
        )
        + RUN
    )


def picture(n: int) -> bytes:
    pixels = np.random.RandomState(n).randint(0, 256, (9, 11, 3)).astype(np.uint8)
    return saved(Image.fromarray(pixels), "PNG")


def pictures(count: int) -> dict[str, bytes]:
    return {f"{n}.png": picture(n) for n in range(count)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    repository = write_toy_image_model(tmp_path_factory.mktemp("models"), "doubler", 2)
    process = TritonProcess(repository, tmp_path_factory.mktemp("server") / "log").start()
    yield process
    process.close()


@pytest.fixture
def start_cluster(
    server: TritonProcess, postgres_url: str, tmp_path: Path
) -> Iterator[Callable[..., JobCluster]]:
    made: list[JobCluster] = []

    def start(*, sqlite: bool = False, **settings: Any) -> JobCluster:
        url = f"sqlite:///{tmp_path}/jobs.db" if sqlite else postgres_url
        artifacts = (tmp_path / "artifacts").as_uri()
        made.append(JobCluster(server.grpc_url, url, artifacts, tmp_path, **settings))
        return made[-1]

    yield start
    for cluster in made:
        cluster.close()


def rows(cluster: JobCluster, job: Job) -> dict[int, tuple[str, int, float]]:
    """Who began each item last, the how manieth time, and when."""
    query = sa.select(ITEMS.c.n, ITEMS.c.worker, ITEMS.c.attempts, ITEMS.c.started_at).where(
        ITEMS.c.job == job.key
    )
    found = cluster.database.read(lambda connection: connection.execute(query).all())
    return {row[0]: (row[1], row[2], (row[3] or 0) / 1000) for row in found}


def running(cluster: JobCluster, job: Job, count: int) -> list[Item]:
    """Items that run, once they are as many."""
    cluster.wait_until(job, lambda now: now.counts.running >= count)
    return cluster.of(job, ItemState.RUNNING)


def all_succeeded(cluster: JobCluster, job: Job, seconds: float = 60) -> None:
    job = cluster.wait(job, seconds)
    cluster.check_counts(job)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, job.counts.total)


def test_a_worker_that_is_told_to_stop_finishes_what_runs(start_cluster: Callable[..., JobCluster]) -> None:
    # Others would look after two minutes only for what it left.
    cluster = start_cluster(sqlite=True, worker_lease_seconds=600, worker_concurrency=2)
    first, second = (cluster.start_worker(SlowWorker, worker_id=name) for name in ("first", "second"))
    for worker in (first, second):
        worker.wait_ready()
    # More in a chunk than is begun at a time.
    job = cluster.make(pictures(96), parameters={"scale": 2})
    running(cluster, job, 8)
    mine = [n for n, (worker, _, _) in rows(cluster, job).items() if worker == "first"]
    first.terminate()
    assert first.process.wait(10) == 0
    stopped = time.time()
    assert {cluster.items.get(job, n).state for n in mine} == {ItemState.SUCCEEDED}
    all_succeeded(cluster, job)
    last = rows(cluster, job)
    assert {attempts for _, attempts, _ in last.values()} == {1}  # nothing was done twice
    # What it had taken and not begun waits for nobody.
    begun = sorted(at for worker, _, at in last.values() if worker == "second" and at > stopped)
    assert begun[0] - stopped < 2
    assert all(after - before < 2 for before, after in itertools.pairwise(begun))


def test_a_lost_workers_items_are_taken_up_within_its_lease(
    start_cluster: Callable[..., JobCluster],
) -> None:
    lease = 3
    cluster = start_cluster(worker_lease_seconds=lease, worker_concurrency=2)
    lost, other = (cluster.start_worker(SlowWorker, worker_id=name) for name in ("lost", "other"))
    for worker in (lost, other):
        worker.wait_ready()
    job = cluster.make(pictures(20), parameters={"scale": 2})
    running(cluster, job, 4)
    lost.kill()
    killed = time.time()
    left = [n for n, (worker, _, _) in rows(cluster, job).items() if worker == "lost"]
    left = [n for n in left if cluster.items.get(job, n).state is ItemState.RUNNING]
    assert left
    all_succeeded(cluster, job)
    last = rows(cluster, job)
    for n in left:
        worker, attempts, at = last[n]
        assert (worker, attempts) == ("other", 2)
        assert killed < at < killed + lease + 5
    assert sum(attempts for _, attempts, _ in last.values()) == 20 + len(left)


@pytest.mark.parametrize("within_a_transaction", [False, True])
def test_a_frozen_worker_loses_its_work_and_ends_when_it_wakes(
    start_cluster: Callable[..., JobCluster], tmp_path: Path, within_a_transaction: bool
) -> None:
    cluster = start_cluster(worker_lease_seconds=2, worker_concurrency=4)
    freeze = tmp_path / "freeze"
    frozen = cluster.start_worker(FreezingWorker, worker_id="frozen", environment={"FREEZE": str(freeze)})
    other = cluster.start_worker(SlowWorker, worker_id="other")
    for worker in (frozen, other):
        worker.wait_ready()
    job = cluster.make(pictures(30), parameters={"scale": 2})
    running(cluster, job, 8)
    if within_a_transaction:  # with a lock on its row, which the others need to declare it lost
        freeze.touch()
    else:
        frozen.process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 40
    while not any(attempts == 2 for _, attempts, _ in rows(cluster, job).values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    mine = {n for n, (worker, _, _) in rows(cluster, job).items() if worker == "frozen"}
    freeze.unlink(missing_ok=True)
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.process.wait(20) == 75
    # It has begun nothing more; what it had to say late changed nothing that the other one was at.
    assert {n for n, (worker, _, _) in rows(cluster, job).items() if worker == "frozen"} <= mine
    all_succeeded(cluster, job)
    assert max(attempts for _, attempts, _ in rows(cluster, job).values()) == 2


def test_an_image_that_kills_fails_alone(start_cluster: Callable[..., JobCluster]) -> None:
    files = pictures(10)
    poison = hashlib.sha256(files["4.png"]).hexdigest()
    # Nobody else is there, and so long a lease would not end: the worker takes up at once what it left, since
    # it keeps its name.
    cluster = start_cluster(worker_lease_seconds=600, worker_concurrency=4, job_max_attempts=2)
    worker = cluster.start_worker(MortalWorker, worker_id="kept", environment={"POISON": poison})
    job = cluster.make(files, parameters={"scale": 2})
    deaths = 0
    deadline = time.monotonic() + 90
    while cluster.now(job).ended_at is None:
        assert time.monotonic() < deadline
        if worker.process.poll() is not None:
            assert worker.process.returncode == -signal.SIGKILL
            deaths += 1
            worker.start()
        time.sleep(0.05)
    job = cluster.now(job)
    cluster.check_counts(job)
    assert (job.state, job.counts.succeeded, job.counts.failed) == (JobState.SUCCEEDED, 9, 1)
    (item,) = cluster.of(job, ItemState.FAILED)
    assert (item.name, item.attempts, deaths) == ("4.png", 2, 2)
    assert item.problem is not None
    assert item.problem["type"].endswith("/item-lost")
    # Some were beside it when it killed for the first time; then it was alone.
    assert max(other.attempts for other in cluster.of(job, ItemState.SUCCEEDED)) <= 2


def test_a_webhook_is_told_once_and_after_a_crash_again(start_cluster: Callable[..., JobCluster]) -> None:
    cluster = start_cluster(sqlite=True, worker_lease_seconds=30, webhook_allow="127.0.0.1")
    came, go_on = threading.Event(), threading.Event()

    def answer_late(connection: socket.socket) -> None:
        came.set()
        go_on.wait(20)
        answering(204)(connection)

    receiver = Receiver()
    try:
        worker = cluster.start_worker(worker_id="kept")
        told = {"parameters": {"scale": 2}, "webhook": receiver.url(), "secret": SECRET}
        job = cluster.wait(cluster.make({"a.png": picture(1), "b.png": b""}, **told))
        deadline = time.monotonic() + 20
        while not receiver.received:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (request,) = receiver.received
        event = Webhook(SECRET).verify(request.body, request.headers)
        assert (event["type"], event["data"]["id"]) == ("job.succeeded", job.id)
        counts = event["data"]["counts"]
        assert (counts["succeeded"], counts["failed"]) == (1, 1)

        receiver.answer = answer_late
        job = cluster.make({"c.png": picture(2)}, **told)
        assert came.wait(20)
        worker.kill()  # it has sent the message and not heard the answer
        receiver.answer = answering(204)
        go_on.set()
        worker.start()
        deadline = time.monotonic() + 20
        while len(receiver.received) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        _, before, after = receiver.received
        assert before.headers["webhook-id"] == after.headers["webhook-id"] != request.headers["webhook-id"]
        assert json.loads(before.body)["data"]["id"] == job.id
        assert json.loads(before.body) == json.loads(after.body)
    finally:
        go_on.set()
        receiver.close()


def test_a_database_that_goes_away_in_every_phase(
    start_cluster: Callable[..., JobCluster], postgres: PostgresProcess
) -> None:
    cluster = start_cluster(worker_concurrency=2)
    jobs = []

    def taken(connection: sa.Connection, job_id: str, number: int, priority: Priority) -> None:
        cluster.client.enqueue_job(connection, job_id, number, priority)
        update = "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'one'"
        connection.execute(sa.text(f"{update} WHERE workflow_uuid = :name"), {"name": f"{job_id}:{number}"})

    try:
        cluster.start_worker(worker_id="one").wait_ready()
        for pause in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
            jobs.append(cluster.make(pictures(4), parameters={"scale": 2}))
            time.sleep(pause)
            postgres.kill()
            postgres.start()
    finally:
        postgres.start() if postgres_is_down(postgres) else None
    # Or just as it commits that the worker takes the job, so that the worker does not know.
    jobs.append(cluster.make(pictures(4), parameters={"scale": 2}, enqueue=taken))
    for job in jobs:
        all_succeeded(cluster, job)
        assert {item.attempts for item in cluster.of(job)} == {1}
    assert cluster.workers[0].process.poll() is None


def test_a_database_that_goes_away_while_a_worker_starts(start_cluster: Callable[..., JobCluster]) -> None:
    cluster = start_cluster()
    worker = cluster.start_worker(UnluckyWorker)
    worker.wait_ready()
    assert "the database is away" in worker.log()
    job = cluster.make(pictures(4), parameters={"scale": 2})
    all_succeeded(cluster, job)
    worker.terminate()
    assert worker.process.wait(30) == 0


def postgres_is_down(postgres: PostgresProcess) -> bool:
    return not Path(f"/proc/{postgres.pid}").exists()
