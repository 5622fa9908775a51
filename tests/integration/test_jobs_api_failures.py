"""The HTTP API of jobs while something is away, full, slow or leaving."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.keys import create_key
from tests.gateway_process import GatewayProcess
from tests.integration.test_gateway_problems import GOOD, problem
from tests.integration.test_jobs_api import PICTURE, SEEDS, UPSCALE, parts
from tests.jobs_service import JobsService, events, pages, wait_ended, wait_usable
from tests.postgres_process import PostgresProcess
from tests.triton_process import TritonProcess

Start = Callable[..., JobsService]


@pytest.fixture
def start(triton: TritonProcess, tmp_path: Path) -> Iterator[Start]:
    services: list[JobsService] = []

    def started(**settings: Any) -> JobsService:
        services.append(JobsService(triton.grpc_url, tmp_path, **settings))
        return services[-1]

    yield started
    for service in services:
        service.close()


def test_the_database_is_away_when_the_gateway_starts(
    start: Start, postgres: PostgresProcess, postgres_url: str
) -> None:
    postgres.kill()
    try:
        service = start(database_url=postgres_url)
        with service.client() as client:
            service.gateway.wait_ready()
            assert client.post("/v1/generate", json=GOOD).status_code == 200
            started = time.monotonic()
            for answer in (
                client.get("/v1/jobs"),
                client.post("/v1/jobs", json=SEEDS),
                client.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", PICTURE))),
                client.get(f"/v1/jobs/job_{'0' * 28}"),
                client.get(f"/v1/jobs/job_{'0' * 28}/events"),
                client.delete(f"/v1/jobs/job_{'0' * 28}"),
            ):
                problem(answer, "jobs-unavailable")
                assert answer.headers["retry-after"] == "2"
            assert time.monotonic() - started < 5
            assert service.artifacts() == []
            assert "ganserve_jobs_database_up 0.0" in client.get("/metrics").text
    finally:
        postgres.start()
    with service.client() as client:
        wait_usable(client)
        assert client.post("/v1/jobs", json=SEEDS).status_code == 202


def test_what_goes_on_while_the_database_is_away(
    start: Start, postgres: PostgresProcess, postgres_url: str
) -> None:
    service = start(database_url=postgres_url, event_heartbeat_seconds=0.3)
    with service.client() as client, service.client() as other:
        wait_usable(client)
        job = client.post("/v1/jobs", json={**SEEDS, "seeds": [1, 2]}).json()
        with client.stream("GET", job["links"]["events"]) as answer:
            lines = answer.iter_lines()
            while next(lines) != "event: job":
                pass
            postgres.kill()
            try:
                problem(other.get(job["links"]["self"]), "jobs-unavailable")
                comments = 0
                while comments < 5:  # it is kept open
                    comments += next(lines).startswith(":")
                assert other.post("/v1/generate", json=GOOD).status_code == 200
                assert other.get("/readyz").status_code == 200
                begun = time.monotonic()
                for _ in range(10):  # nobody waits for what was not there a moment ago
                    problem(other.get("/v1/jobs"), "jobs-unavailable")
                assert time.monotonic() - begun < 20
            finally:
                postgres.start()
            wait_usable(other)
            assert other.delete(job["links"]["self"]).json()["cancelling"]
            for line in lines:
                if '"cancelling":true' in line:
                    break
        assert "Traceback" not in service.gateway.log()


def test_files_that_came_while_the_database_went_are_deleted_later(
    start: Start, postgres: PostgresProcess, postgres_url: str
) -> None:
    service = start(database_url=postgres_url, job_upload_grace_seconds=1)
    with service.client() as client:
        wait_usable(client)

        def body() -> Iterator[bytes]:
            head = b'--x\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n'
            yield head % (b"job", b"") + b'{"operation":"super-resolution","model":"photo-x4"}\r\n'
            yield head % (b"files", b'; filename="a.png"') + PICTURE + b"\r\n"
            yield head % (b"files", b'; filename="b.png"')  # the one before is complete
            service.wait_for(lambda: bool(service.artifacts()))
            postgres.kill()
            yield PICTURE + b"\r\n--x--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=x"}
        try:
            answer = client.post("/v1/jobs", content=body(), headers=headers)
            problem(answer, "jobs-unavailable")
        finally:
            postgres.start()
        assert len(service.artifacts()) == 2  # it may have been made, for all the gateway knows
        service.start_worker()
        service.wait_for(lambda: not service.artifacts())
        wait_usable(client)  # for a moment after a call that found no database, others do not wait for one
        assert list(pages(client, "/v1/jobs")) == []


def test_a_client_that_leaves_in_the_middle(start: Start) -> None:
    service = start()
    with service.client() as client:
        wait_usable(client)
        head = (
            "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000\r\n"
            "content-type: multipart/form-data; boundary=x\r\n\r\n"
            '--x\r\ncontent-disposition: form-data; name="job"\r\n\r\n'
            '{"operation":"super-resolution","model":"photo-x4"}\r\n'
        )
        part = '--x\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        with socket.create_connection(("127.0.0.1", service.gateway.port)) as connection:
            connection.sendall((head + f"{part}{'x' * 1000}\r\n" * 20).encode())
            service.wait_for(lambda: len(service.artifacts()) >= 15)
        service.wait_for(lambda: not service.artifacts())
        assert list(pages(client, "/v1/jobs")) == []
        assert "Traceback" not in service.gateway.log()


def test_artifacts_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    service = start(artifacts_url=(tmp_path / "file").as_uri())
    with service.client() as client:
        wait_usable(client)
        answer = client.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", PICTURE)))
        problem(answer, "storage-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert list(pages(client, "/v1/jobs")) == []


def test_a_full_disk(start: Start, postgres_url: str) -> None:
    service = start(database_url=postgres_url)
    with service.client() as client:
        wait_usable(client)
        # The same error for a file that is larger than the process may write, without filling a disk.
        psutil.Process(service.gateway.process.pid).rlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 30))
        files = [("files", "a.png", PICTURE), ("files", "large.png", bytes(3 << 20))]
        problem(client.post("/v1/jobs", files=parts(UPSCALE, *files)), "storage-unavailable")
        assert service.artifacts() == []
        assert list(pages(client, "/v1/jobs")) == []
        answer = client.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", PICTURE)))
        assert answer.status_code == 202


def test_limits_of_a_request(start: Start) -> None:
    service = start(max_job_files=3, max_job_upload_bytes=100_000, max_upload_bytes=50_000)
    with service.client() as client:
        wait_usable(client)
        few = [("files", f"{n}.png", PICTURE) for n in range(4)]
        assert client.post("/v1/jobs", files=parts(UPSCALE, *few[:3])).status_code == 202
        stored = service.artifacts()
        for files, slug in (
            (few, "too-many-files"),
            ([("files", "a.png", bytes(50_001))], "body-too-large"),
            ([("zip", "a.zip", bytes(100_001))], "body-too-large"),
        ):
            problem(client.post("/v1/jobs", files=parts(UPSCALE, *files)), slug)
        answer = client.post("/v1/jobs", content=b"x", headers={"content-type": "text/plain"})
        problem(answer, "unsupported-media-type")
        answer = client.post("/v1/jobs", content=b"x", headers={"content-type": "multipart/form-data"})
        problem(answer, "invalid-request")
        assert service.artifacts() == stored


def test_streams_end_when_the_gateway_stops(start: Start) -> None:
    service = start(stop_timeout_seconds=15)
    with service.client() as client:
        wait_usable(client)
        job = client.post("/v1/jobs", json=SEEDS).json()
        with client.stream("GET", job["links"]["events"]) as answer:
            found = events(answer)
            assert next(found).name == "job"
            started = time.monotonic()
            service.gateway.terminate()
            assert list(found) == []  # the answer is complete, and names no end: there is more to come
        assert service.gateway.process.wait(10) == 0
        assert time.monotonic() - started < 5


def test_too_many_watchers(start: Start) -> None:
    service = start(max_job_watchers=2)
    with service.client() as client:
        wait_usable(client)
        job = client.post("/v1/jobs", json=SEEDS).json()
        path = job["links"]["events"]
        with client.stream("GET", path) as one, client.stream("GET", path) as two:
            following = events(one), events(two)
            assert [next(found).data for found in following] == [job, job]
            refused = client.get(path)
            problem(refused, "too-many-watchers")
            assert int(refused.headers["retry-after"]) > 0

        def free() -> bool:
            with client.stream("GET", path) as answer:
                return answer.status_code == 200

        service.wait_for(free)  # those who left are noticed
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_jobs_belong_to_the_key_they_were_made_with(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    scopes = {
        "anna": ["jobs", "generate"],
        "bert": ["jobs", "generate", "upscale"],
        "chef": ["jobs", "admin"],
        "dora": ["generate", "upscale"],
    }
    secrets = {name: create_key(file, name, allowed) for name, allowed in scopes.items()}
    service = start(keys_file=file)

    def as_(name: str) -> httpx.Client:
        return service.client(headers={"x-api-key": secrets[name]})

    with as_("anna") as anna, as_("bert") as bert, as_("chef") as chef, as_("dora") as dora:
        wait_usable(anna)
        key = {"idempotency-key": "mine"}
        job = anna.post("/v1/jobs", json={**SEEDS, "seeds": [1]}, headers=key).json()
        theirs = bert.post("/v1/jobs", json={**SEEDS, "seeds": [2]}, headers=key).json()
        assert theirs["id"] != job["id"]
        assert "owner" not in job
        body = problem(anna.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", PICTURE))), "forbidden")
        assert body["scope"] == "upscale"
        assert service.artifacts() == []
        assert problem(chef.post("/v1/jobs", json=SEEDS), "forbidden")["scope"] == "generate"
        assert problem(dora.post("/v1/jobs", json=SEEDS), "forbidden")["scope"] == "jobs"
        problem(dora.get("/v1/jobs"), "forbidden")
        path = job["links"]["self"]
        for method, more in (
            ("GET", ""),
            ("GET", "/items"),
            ("GET", "/items/0"),
            ("GET", "/items/0/output"),
            ("GET", "/archive"),
            ("GET", "/events"),
            ("POST", "/retry"),
            ("DELETE", ""),
            ("DELETE", "?purge=true"),
        ):
            problem(bert.request(method, f"{path}{more}"), "job-not-found")
        assert [found["id"] for found in pages(bert, "/v1/jobs")] == [theirs["id"]]
        problem(bert.get("/v1/jobs", params={"owner": "anna"}), "forbidden")
        assert [found["id"] for found in pages(bert, "/v1/jobs", owner="bert")] == [theirs["id"]]
        everybodys = {found["id"]: found["owner"] for found in pages(chef, "/v1/jobs")}
        assert everybodys == {job["id"]: "anna", theirs["id"]: "bert"}
        assert [found["id"] for found in pages(chef, "/v1/jobs", owner="anna")] == [job["id"]]
        assert chef.get(path).json() == {**anna.get(path).json(), "owner": "anna"}
        with bert.stream("GET", theirs["links"]["events"]) as answer:
            assert "owner" not in next(events(answer)).data
        assert chef.delete(path).status_code == 202
        service.start_worker()
        assert wait_ended(anna, job["id"])["state"] == "cancelled"
        assert wait_ended(bert, theirs["id"])["state"] == "succeeded"


def test_settings_that_cannot_be(triton: TritonProcess, tmp_path: Path) -> None:
    for name, value in (
        ("database_url", "mysql://x/y"),
        ("database_url", "no url"),
        ("artifacts_url", "https://example.com/x"),
        ("webhook_secret", "short"),
    ):
        log = tmp_path / f"{name}-{len(value)}.log"
        with pytest.raises(RuntimeError):
            GatewayProcess(triton.grpc_url, log, **{name: value})
        assert "Traceback" not in log.read_text()
        assert len(log.read_text().strip().splitlines()) == 1
