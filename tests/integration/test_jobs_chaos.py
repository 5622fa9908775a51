"""A batch job while everything it needs is killed again and again: nothing is lost, nothing is done twice.

`make chaos` runs it at its full size: 2,000 images, a kill every 5 s.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image

from service.jobs.records import Item, ItemState, Job, JobState
from service.jobs.storage import open_area
from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.job_cluster import JobCluster
from tests.jobs_service import ENDED, events
from tests.postgres_process import PostgresProcess
from tests.s3_process import S3Process
from tests.toy_image_models import toy_image, write_toy_image_model
from tests.triton_process import TritonProcess

ITEMS: Final = int(os.environ.get("CHAOS_ITEMS", "180"))
SECONDS: Final = float(os.environ.get("CHAOS_SECONDS", "2"))
WORKERS: Final = 3
ROUNDS: Final = 2
MAX_ATTEMPTS: Final = 8


def pixels_of(n: int) -> np.ndarray:
    """Each picture is another one, and of another size."""
    return np.random.RandomState(n).randint(0, 256, (9 + n % 13, 8 + n % 17, 3)).astype(np.uint8)


class Client(threading.Thread):
    """A client of the gateway: makes the job, follows it, and takes up what breaks, as long as it lasts."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._body = body
        self._key = secrets.token_hex(8)
        self.enough = threading.Event()
        self.job: dict[str, Any] | None = None
        self.made: dict[str, set[int]] = {}  # jobs, and which of their items were told to have succeeded
        self.last_event = "0"
        self.breaks: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=10) as client:
            while not (self.job is not None and self.job["state"] in ENDED and self.enough.is_set()):
                try:
                    if self.job is None or self.job["state"] in ENDED:
                        self._make(client)
                    else:
                        self._follow(client)
                except httpx.TransportError as error:
                    self.breaks[type(error).__name__] += 1
                time.sleep(0.1)

    def _make(self, client: httpx.Client) -> None:
        # The key is one of the jobs made so far, as long as the answer is not there.
        key = f"{self._key}-{len(self.made)}"
        answer = client.post("/v1/jobs", json=self._body, headers={"Idempotency-Key": key})
        if answer.status_code in (200, 202):
            self.job, self.last_event = answer.json(), "0"
            self.made[answer.json()["id"]] = set()
        else:
            self._note(answer)

    def _follow(self, client: httpx.Client) -> None:
        assert self.job is not None
        headers = {"Last-Event-ID": self.last_event}
        with client.stream("GET", self.job["links"]["events"], headers=headers) as answer:
            if answer.status_code != 200:
                answer.read()
                self._note(answer)
                return
            for event in events(answer):
                if event.name == "job":
                    self._check(event.data)
                    self.job = event.data
                elif event.name == "item" and event.data["state"] == "succeeded":
                    self.made[self.job["id"]].add(event.data["n"])
                if event.id is not None:
                    self.last_event = event.id

    def _check(self, job: dict[str, Any]) -> None:
        """What was told before stays true."""
        assert self.job is not None
        if job["counts"]["succeeded"] < self.job["counts"]["succeeded"] or job["counts"]["failed"]:
            self.wrong.append(f"{self.job['counts']} then {job['counts']}")

    def _note(self, answer: httpx.Response) -> None:
        self.breaks[str(answer.status_code)] += 1
        # The database is away; nothing else may be seen.
        if answer.status_code != 503:
            self.wrong.append(f"{answer.status_code} {answer.text[:500]}")


class Supervisor(threading.Thread):
    """Starts workers again that have ended by themselves, as one does whose lease is lost."""

    def __init__(self, cluster: JobCluster) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._stopping = threading.Event()
        self.lock = threading.Lock()
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        while not self._stopping.wait(0.2):
            with self.lock:
                for worker in self._cluster.workers:
                    status = worker.process.poll()
                    if status is not None:
                        self.statuses[status] += 1
                        worker.start()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


@pytest.fixture
def own_postgres() -> Iterator[PostgresProcess]:
    process = PostgresProcess()
    yield process
    process.close()


def test_everything_is_killed_and_nothing_is_lost(
    tmp_path: Path,
    s3: S3Process,
    own_postgres: PostgresProcess,
    start_triton: Callable[[Path], TritonProcess],
    start_gateway: Callable[..., GatewayProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    run = secrets.token_hex(4)
    triton = start_triton(write_toy_image_model(tmp_path / "models", "doubler", 2))
    inputs = f"s3://photos/{run}"
    (tmp_path / "tmp").mkdir()
    cluster = JobCluster(
        triton.grpc_url,
        own_postgres.create_database(),
        f"s3://artifacts/{run}",
        tmp_path,
        worker_lease_seconds=5,
        worker_concurrency=2,
        job_max_attempts=MAX_ATTEMPTS,
        job_inputs=inputs,
    )
    gateway = start_gateway(triton.grpc_url, **cluster.settings)
    files = {f"{n % 7}/image {n}.png": saved(Image.fromarray(pixels_of(n)), "PNG") for n in range(ITEMS)}
    cluster.put("", files, open_area(inputs))
    for number in range(WORKERS):
        # One keeps its name, and takes up at once what it left; the others' work is taken up by the others.
        name = "kept" if number == 0 else ""
        cluster.start_worker(environment={"TMPDIR": str(tmp_path / "tmp")}, worker_id=name)
    body = {
        "operation": "super-resolution",
        "model": "doubler",
        "parameters": {"scale": 2},
        "inputs": [{"prefix": inputs}],
    }
    client, supervisor = Client(gateway.url, body), Supervisor(cluster)
    supervisor.start()
    client.start()
    started = time.monotonic()
    kills = _kill_until_ended(client, supervisor, cluster, gateway, triton, own_postgres)
    seconds = time.monotonic() - started
    client.join(60)
    supervisor.stop()
    try:
        assert not client.is_alive(), "the client waits"
        assert not client.wrong
        attempts = _check(cluster, client, files, gateway)
        assert not list((tmp_path / "tmp").iterdir())
    except BaseException:
        for worker in cluster.workers:
            print(worker.log()[-5000:])
        raise
    finally:
        cluster.close()
    print(
        f"\n{len(client.made)} × {ITEMS} items in {seconds:.0f} s; killed {dict(kills)}; workers ended"
        f" {dict(supervisor.statuses)}; attempts {dict(sorted(attempts.items()))};"
        f" the client saw {dict(client.breaks)}"
    )
    assert all(kills[name] >= ROUNDS for name in ("worker", "gateway", "triton", "postgres")), kills


def _kill_until_ended(
    client: Client,
    supervisor: Supervisor,
    cluster: JobCluster,
    gateway: GatewayProcess,
    triton: TritonProcess,
    postgres: PostgresProcess,
) -> Counter[str]:
    """Kills one after the other, and starts it again, in an order that leaves out none, until the job ends.

    Where a job ends before each was killed several times the client makes another.
    """
    kills: Counter[str] = Counter()
    numbers = itertools.cycle(range(WORKERS))
    deadline = time.monotonic() + 30 * SECONDS + ITEMS / 5
    for name in itertools.cycle(("worker", "postgres", "worker", "triton", "worker", "gateway")):
        if sum(kills.values()) == 6 * ROUNDS:
            client.enough.set()
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends and client.is_alive():
            time.sleep(0.02)
        if not client.is_alive() or time.monotonic() > deadline:
            break
        kills[name] += 1
        if name == "worker":
            with supervisor.lock:
                worker = cluster.workers[next(numbers)]
                worker.kill()
                worker.start()
        elif name == "gateway":
            gateway.kill()
            gateway.start()
        elif name == "triton":
            triton.kill()
            triton.spawn()
        else:
            postgres.kill()
            postgres.start()
    return kills


def _check(
    cluster: JobCluster, client: Client, files: dict[str, bytes], gateway: GatewayProcess
) -> Counter[int]:
    """Every item is done, once, rightly, and nothing else is there."""
    outputs = cluster.stored()
    attempts: Counter[int] = Counter()
    expected: set[str] = set()
    jobs = [cluster.jobs.get(name) for name in client.made]
    assert len(cluster.jobs.page()) == len(jobs)
    for job in jobs:
        assert job.state is JobState.SUCCEEDED
        assert job.counts.succeeded == job.counts.total == len(files)
        items = cluster.of(job)
        assert sorted(item.name for item in items) == sorted(files)
        assert {item.state for item in items} == {ItemState.SUCCEEDED}
        assert client.made[job.id] == {item.n for item in items}
        attempts.update(item.attempts for item in items)
        for item in items:
            name = f"{job.id}/outputs/{item.output_name}"
            expected.add(name)
            made = np.asarray(Image.open(io.BytesIO(outputs[name])))
            n = int(item.name.split()[-1].removesuffix(".png"))
            assert np.array_equal(made, toy_image(pixels_of(n), 2)), item
            assert item.output is not None
            assert item.output.size == len(outputs[name])
            assert item.output.pixels_sha256 == hashlib.sha256(made.tobytes()).hexdigest()
        _check_sample(outputs, job, items[:: max(1, len(items) // 8)], files, gateway)
    assert sorted(outputs) == sorted(expected)
    assert max(attempts) < MAX_ATTEMPTS
    return attempts


def _check_sample(
    outputs: dict[str, bytes], job: Job, items: list[Item], files: dict[str, bytes], gateway: GatewayProcess
) -> None:
    """Outputs are, byte for byte, what the interactive endpoint answers."""
    gateway.wait_ready(60)
    form = {"model": "doubler", "scale": "2"}
    with gateway.client() as http:
        deadline = time.monotonic() + 30
        for item in items:
            while True:
                file = {"image": files[item.name]}
                answer = http.post("/v1/super-resolution", files=file, data=form)
                if answer.status_code == 200 or time.monotonic() > deadline:  # Triton was just started
                    break
                time.sleep(0.1)
            assert answer.status_code == 200, answer.text
            assert answer.content == outputs[f"{job.id}/outputs/{item.output_name}"]
