"""Backup and restore of batch jobs, by the very commands of the operator's guide."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from PIL import Image

from service.jobs.database import Database
from tests.deploy.guide import command
from tests.image_files import saved
from tests.jobs_service import JobsService, pages, wait_ended, wait_usable
from tests.postgres_process import PostgresProcess, find_binaries
from tests.toy_image_models import write_toy_image_model
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

SEEDS = 40
BEGUN = 5
PICTURE = saved(Image.new("RGB", (12, 8), "red"), "PNG")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    process = PostgresProcess()
    yield process
    process.close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_toy_repository(tmp_path_factory.mktemp("models"))
    return write_toy_image_model(folder, "doubler", scale=2)


@pytest.fixture(scope="module")
def triton(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    process = TritonProcess(repository, tmp_path_factory.mktemp("triton") / "log").start()
    yield process
    process.close()


class Operator:
    """Somebody with the guide, a folder for backups, and the two variables that it speaks of."""

    def __init__(self, folder: Path, database: str, volume: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._environment = {
            "PATH": f"{find_binaries()}:{os.environ['PATH']}",
            "DATABASE_URL": database,
            "ARTIFACTS": str(volume),
            "LC_ALL": "C",
        }

    def does(self, title: str, *beginnings: str) -> list[str]:
        """The lines that commands of a section print."""
        lines = []
        for beginning in beginnings:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command(title, beginning)],
                env=self._environment,
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{beginning}: {done.stdout}{done.stderr}"
            lines += done.stdout.splitlines()
        return lines


def make(client: httpx.Client, count: int) -> str:
    body = {"operation": "generate", "model": "toy", "seeds": {"first": 0, "count": count}}
    made = client.post("/v1/jobs", json=body)
    assert made.status_code == 202, made.text
    return str(made.json()["id"])


def enlarge(client: httpx.Client) -> str:
    form = [
        ("job", (None, '{"operation": "super-resolution", "model": "doubler"}')),
        ("files", ("a.png", PICTURE)),
    ]
    made = client.post("/v1/jobs", files=form, headers={"idempotency-key": "monday"})
    assert made.status_code == 202, made.text
    return str(made.json()["id"])


def test_jobs_survive_the_loss_of_everything(
    tmp_path: Path, postgres: PostgresProcess, triton: TritonProcess, repository: Path
) -> None:
    volume = tmp_path / "volume"

    def start(name: str, database: str) -> JobsService:
        (tmp_path / name).mkdir()
        settings = {"database_url": database, "artifacts_url": volume.as_uri(), "worker_id": "prod-worker-0"}
        return JobsService(triton.grpc_url, tmp_path / name, **settings)

    database = postgres.create_database()
    operator = Operator(tmp_path / "backup", database, volume)
    before = start("before", database)
    try:
        with before.client() as client:
            wait_usable(client)
            worker = before.start_worker()
            done = make(client, 6)
            assert wait_ended(client, done)["state"] == "succeeded"
            unfinished = make(client, SEEDS)

            def counts() -> dict[str, int]:
                return dict(client.get(f"/v1/jobs/{unfinished}").json()["counts"])

            before.wait_for(lambda: counts()["succeeded"] >= BEGUN)
            # A backup is made while workers work. This one stands still, so that it is made in the middle.
            os.kill(worker.process.pid, signal.SIGSTOP)
            assert counts()["succeeded"] < SEEDS
            with psycopg.connect(database) as connection:  # as if the backup lay in a drawer for weeks
                connection.execute("UPDATE ganserve_jobs SET expires_at = 1 WHERE id = %s", [done])
            operator.does("Back up", "pg_dump")
            kept = {item["n"]: item for item in pages(client, f"/v1/jobs/{unfinished}/items")}
            late = enlarge(client)  # between the two: its files are in the backup, it is not
            operator.does("Back up", "tar")
            worker.kill()
    finally:
        before.close()
    postgres.drop_database(database)
    shutil.rmtree(volume)

    database = postgres.create_database()
    volume.mkdir()
    operator = Operator(tmp_path / "backup", database, volume)
    operator.does("Restore", "pg_restore", "tar", 'psql "$DATABASE_URL" --command "UPDATE')
    assert operator.does(
        "Restore", 'psql "$DATABASE_URL" --csv --tuples-only --command "SELECT id', "ls"
    ) == [late]
    after = start("after", database)
    try:
        with after.client() as client:
            wait_usable(client)
            after.start_worker()
            assert wait_ended(client, unfinished)["state"] == "succeeded"
            assert client.get(f"/v1/jobs/{done}").json()["counts"]["succeeded"] == 6
            for job, count in ((done, 6), (unfinished, SEEDS)):
                items = list(pages(client, f"/v1/jobs/{job}/items"))
                assert len(items) == count
                for item in items:
                    expected = toy_sha256(repository, item["n"])
                    assert item["output"]["pixels_sha256"] == expected
                    answer = client.get(f"/v1/jobs/{job}/items/{item['n']}/output")
                    assert answer.status_code == 200, answer.text
                    if job == unfinished and kept[item["n"]]["state"] == "succeeded":
                        assert item == kept[item["n"]], "what was done before the backup is not done again"
            # Whoever made a job after the backup makes it again, with the key of then.
            assert client.get(f"/v1/jobs/{late}").status_code == 404
            again = enlarge(client)
            assert again != late
            assert wait_ended(client, again)["state"] == "succeeded"

            lost = (
                volume
                / done
                / "outputs"
                / client.get(f"/v1/jobs/{done}/items").json()["data"][2]["output"]["name"]
            )
            assert missing(operator) == []
            lost.unlink()
            assert missing(operator) == [f"{done}/outputs/{lost.name}"]
            answer = client.get(f"/v1/jobs/{done}/items/2/output")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/output-not-found")
    finally:
        after.close()


def test_a_release_older_than_the_tables(
    tmp_path: Path, postgres: PostgresProcess, triton: TritonProcess
) -> None:
    """As after `helm rollback` over a migration: what runs goes on; what starts serves all but jobs."""
    database = postgres.create_database()
    service = JobsService(triton.grpc_url, tmp_path, database_url=database)
    try:
        with service.client() as client:
            wait_usable(client)
            service.start_worker().wait_ready()
            with psycopg.connect(database) as connection:
                connection.execute("UPDATE ganserve_migrations SET version_num = '9999'")
            assert wait_ended(client, make(client, 2))["state"] == "succeeded"
            service.gateway.kill()
            service.gateway.start()
            service.gateway.wait_ready()
            drawn = client.post("/v1/generate", json={"model": "toy", "seeds": [1]})
            assert drawn.status_code == 200, drawn.text
            refused = client.get("/v1/jobs")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/jobs-unavailable")
            service.wait_for(lambda: "a newer ganserve has changed the tables" in service.gateway.log())
            assert "no jobs are taken" in service.gateway.log()
    finally:
        service.close()


def test_sqlite_is_backed_up_with_what_is_still_in_its_log(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    database.migrate()
    insert = "INSERT INTO ganserve_uploads VALUES ('job_1', 1, false)"
    database.run(lambda connection: connection.execute(sa.text(insert)))
    assert (tmp_path / "jobs.db-wal").stat().st_size > 0
    Operator(tmp_path, "", tmp_path).does("Back up", "python3")
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.backup")) as backup:
        assert backup.execute("SELECT id FROM ganserve_uploads").fetchall() == [("job_1",)]


def missing(operator: Operator) -> list[str]:
    return operator.does("Restore", 'psql "$DATABASE_URL" --csv --tuples-only --command "SELECT j.id', "(cd")
