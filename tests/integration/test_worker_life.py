"""Workers as an operator meets them: names, workers that never come back, and settings that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.tables import WORKERS
from tests.jobs_service import JobsService, wait_ended, wait_usable
from tests.s3_process import S3Process
from tests.triton_process import TritonProcess

SEEDS = {"operation": "generate", "model": "toy"}
NOBODY = "grpc://127.0.0.1:1"


@pytest.fixture
def service(triton: TritonProcess, tmp_path: Path) -> Iterator[JobsService]:
    service = JobsService(triton.grpc_url, tmp_path, worker_lease_seconds=1)
    with service.client() as client:
        wait_usable(client)
    yield service
    service.close()


def test_what_a_worker_left_is_taken_up_however_long_nobody_was_there(service: JobsService) -> None:
    worker = service.start_worker()
    worker.wait_ready()
    with service.client() as http:
        job = http.post("/v1/jobs", json={**SEEDS, "seeds": {"first": 0, "count": 600}}).json()
        service.wait_for(lambda: http.get(job["links"]["self"]).json()["counts"]["succeeded"] > 0)
        worker.kill()
        assert http.get(job["links"]["self"]).json()["state"] == "running"
        database = Database(f"sqlite:///{service.state}/jobs.db")
        database.run(
            lambda connection: connection.execute(
                sa.update(WORKERS).values(seen_at=WORKERS.c.seen_at - 3 * 86_400_000)
            )
        )
        database.close()
        other = service.start_worker()
        ended = wait_ended(http, job["id"])
    assert ended["counts"]["succeeded"] == 600
    assert "work of lost workers is queued again" in other.log()


def test_two_workers_of_one_name_do_not_work_side_by_side(service: JobsService) -> None:
    first = service.start_worker(worker_id="w1", log_format="json")
    first.wait_ready()
    second = service.start_worker(worker_id="w1")
    assert first.process.wait(20) == 75
    assert "has begun under the same GANSERVE_WORKER_ID" in first.log()
    assert '"worker": "w1"' in first.log()
    second.wait_ready()


def started(command: str, **settings: Any) -> tuple[int, str]:
    """How a worker ends that cannot begin, and what it says."""
    environment = {f"GANSERVE_{name.upper()}": str(value) for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "service.cli", command],
        env={**os.environ, "GANSERVE_TRITON_URL": NOBODY, "GANSERVE_WORKER_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr


def test_a_worker_says_where_files_cannot_be_stored(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    url = (tmp_path / "file").as_uri()
    status, said = started("worker", state_folder=tmp_path, artifacts_url=url)
    assert status == 2
    assert f"ganserve worker: files of jobs cannot be stored at {url}: " in said
    assert "GANSERVE_ARTIFACTS_URL" in said


def test_a_worker_says_that_there_is_no_bucket(
    s3: S3Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    status, said = started("worker", state_folder=tmp_path, artifacts_url="s3://no-such-bucket/jobs")
    assert status == 2
    assert "s3://no-such-bucket/jobs: There is no such object or bucket (NoSuchBucket)" in said


def test_a_worker_does_not_touch_tables_of_a_newer_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    database.migrate()
    database.run(
        lambda connection: connection.execute(sa.text("UPDATE ganserve_migrations SET version_num = '9999'"))
    )
    database.close()
    status, said = started("worker", state_folder=tmp_path)
    assert status == 2
    assert "a newer ganserve has changed the tables" in said


def test_a_worker_says_what_is_wrong_with_the_url_of_the_files(tmp_path: Path) -> None:
    status, said = started("worker", state_folder=tmp_path, artifacts_url="/srv/jobs")
    assert status == 2
    assert said.startswith("ganserve worker: GANSERVE_ARTIFACTS_URL: a URL such as file:///folder or s3://")
