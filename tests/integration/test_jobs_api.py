"""Batch jobs over HTTP: made, read and cancelled, without a worker where none is needed."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.image_files import saved
from tests.integration.test_gateway_problems import problem
from tests.jobs_service import JobsService, pages, wait_usable
from tests.triton_process import TritonProcess

SEEDS = {"operation": "generate", "model": "toy", "seeds": {"first": 0, "count": 3}}
UPSCALE = {"operation": "super-resolution", "model": "photo-x4"}
PICTURE = saved(Image.new("RGB", (12, 8), "red"), "PNG")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JobsService]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "allowed").mkdir()
    (folder / "allowed" / "a.png").write_bytes(PICTURE)
    settings: dict[str, Any] = {
        "max_jobs": 60,
        "job_inputs": (folder / "allowed").as_uri(),
        "max_job_items": 5000,
    }
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres").create_database()
    service = JobsService(triton.grpc_url, folder, **settings)
    with service.client() as client:
        wait_usable(client)
    yield service
    service.close()


@pytest.fixture
def http(service: JobsService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client
        for job in pages(client, "/v1/jobs", state="queued"):  # or there would be too many before long
            client.delete(f"/v1/jobs/{job['id']}")


def parts(job: Any, *files: tuple[str, str, bytes]) -> list[tuple[str, Any]]:
    """A multipart body: the job, and files by field, name and content."""
    text = job if isinstance(job, str) else json.dumps(job)
    return [("job", (None, text)), *((field, (name, content)) for field, name, content in files)]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_job_is_made_and_read(http: httpx.Client) -> None:
    body = {
        **SEEDS,
        "parameters": {"truncation": 0.5, "format": "webp"},
        "naming": "{model}-{seed:06}.{ext}",
        "priority": "low",
        "metadata": {"album": "Höhen"},
    }
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert (job["state"], job["object"], job["listed"]) == ("queued", "job", False)
    assert (job["parameters"], job["naming"]) == (body["parameters"], body["naming"])
    assert (job["priority"], job["metadata"], job["owner"]) == ("low", {"album": "Höhen"}, "anonymous")
    assert job["created_at"].endswith("Z")
    assert (job["started_at"], job["ended_at"], job["expires_at"], job["problem"]) == (None,) * 4
    assert http.get(job["links"]["self"]).json() == job
    assert http.get("/v1/jobs").json()["data"][0] == job
    assert http.get(job["links"]["items"]).json() == {"data": [], "next": None}


def test_listed_seeds_are_items_at_once(http: httpx.Client) -> None:
    job = http.post("/v1/jobs", json={**SEEDS, "seeds": [7, 3, 7]}).json()
    assert (job["listed"], job["counts"]["total"], job["counts"]["queued"]) == (True, 3, 3)
    items = list(pages(http, job["links"]["items"], limit=2))
    assert [(item["n"], item["name"], item["state"]) for item in items] == [
        (0, "7", "queued"),
        (1, "3", "queued"),
        (2, "7", "queued"),
    ]
    assert http.get(f"{job['links']['items']}/1").json() == items[1]
    assert http.get(job["links"]["items"], params={"state": "failed,cancelled"}).json()["data"] == []
    middle = http.get(job["links"]["items"], params={"first": 1, "limit": 1}).json()
    assert middle["data"] == items[1:2]
    rest = {"first": 1, "limit": 1, "cursor": middle["next"]}
    assert http.get(job["links"]["items"], params=rest).json() == {"data": items[2:], "next": None}
    problem(http.get(job["links"]["items"], params={"first": -1}), "invalid-request")
    assert "seeds" not in job
    assert http.post("/v1/jobs", json=SEEDS).json()["seeds"] == SEEDS["seeds"]
    found = problem(http.get(f"{job['links']['items']}/3"), "item-not-found")
    assert found["items"] == 3
    problem(http.get(f"{job['links']['items']}/{1 << 70}"), "item-not-found")
    problem(http.get(f"{job['links']['items']}/1/output"), "output-not-found")
    problem(http.get(job["links"]["archive"]), "job-state")


def test_files_and_archives_are_stored(service: JobsService, http: httpx.Client) -> None:
    files = [
        ("files", "ferien/Überblick 日本.png", PICTURE),
        ("zip", "more.zip", zipped({"x.png": PICTURE, "y.txt": b"no"})),
        ("files", "empty.png", b""),
        ("files", "empty.png", b""),
        ("files", "../../etc/passwd.png", PICTURE),
    ]
    answer = http.post("/v1/jobs", files=parts(UPSCALE, *files))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    names = [item["name"] for item in pages(http, job["links"]["items"])]
    assert names == ["ferien/Überblick 日本.png", "empty.png", "empty.png", "etc/passwd.png"]
    assert not job["listed"]  # a worker lists the archive
    assert service.artifacts(job["id"]) == [f"inputs/{n}" for n in range(5)]


def test_the_job_may_come_after_its_files(service: JobsService, http: httpx.Client) -> None:
    body = [("files", ("a.png", PICTURE)), ("job", (None, json.dumps(UPSCALE)))]
    assert http.post("/v1/jobs", files=body).status_code == 202
    before = service.artifacts()
    body = [("files", ("a.png", PICTURE)), ("job", (None, json.dumps({**UPSCALE, "model": "nope"})))]
    problem(http.post("/v1/jobs", files=body), "model-not-found")
    assert service.artifacts() == before


@pytest.mark.parametrize(
    ("change", "slug", "field"),
    [
        ({"model": "nope"}, "model-not-found", "model"),
        ({"model": "photo-x4"}, "wrong-model-kind", "model"),
        ({"operation": "paint"}, "invalid-request", "operation"),
        ({"operation": "super-resolution", "model": "photo-x4"}, "invalid-request", "seeds"),
        ({"seeds": None}, "invalid-request", "seeds"),
        ({"seeds": []}, "invalid-request", "body"),
        ({"seeds": {"first": 1, "count": 0}}, "invalid-request", "seeds.count"),
        ({"seeds": {"first": (1 << 32) - 1, "count": 2}}, "invalid-request", "seeds"),
        ({"seeds": {"first": 0, "count": 5001}}, "too-many-items", "seeds"),
        ({"seeds": [-1]}, "invalid-request", "seeds.0"),
        ({"parameters": {"truncation": 9}}, "invalid-request", "parameters.truncation"),
        ({"parameters": {"seeds": [1]}}, "invalid-request", "parameters.seeds"),
        ({"parameters": {"edits": {"age": 1}}}, "invalid-request", "parameters.edits.age"),
        ({"parameters": {"quality": 5}}, "invalid-request", "parameters.quality"),
        ({"parameters": {"sign": True}}, "signing-not-configured", "parameters.sign"),
        ({"pin_digest": "0" * 64}, "digest-mismatch", "digest"),
        ({"naming": "{stem}.{ext}"}, "invalid-request", "naming"),
        ({"naming": "../{seed}.{ext}"}, "invalid-request", "naming"),
        ({"naming": "{seed}.jpg"}, "invalid-request", "naming"),
        ({"priority": "now"}, "invalid-request", "priority"),
        ({"destination": "s3://bucket/out"}, "location-not-allowed", "destination"),
        ({"destination": "gopher://x"}, "invalid-request", "destination"),
        ({"inputs": [{"prefix": "s3://bucket/in"}]}, "invalid-request", "inputs"),
        ({"webhook": {"url": "https://example.com/x"}}, "invalid-request", "webhook.secret"),
        ({"webhook": {"url": "https://example.com/x", "secret": "x"}}, "invalid-request", "webhook.secret"),
        (
            {"webhook": {"url": "http://127.0.0.1/x", "secret": "whsec_" + "A" * 32}},
            "invalid-request",
            "webhook.url",
        ),
        ({"metadata": {"a": 1}}, "invalid-request", "metadata.a"),
        ({"colour": "red"}, "invalid-request", "colour"),
    ],
)
def test_what_is_refused(http: httpx.Client, change: dict, slug: str, field: str) -> None:
    before = len(http.get("/v1/jobs").json()["data"])
    body = problem(http.post("/v1/jobs", json={**SEEDS, **change}), slug)
    fields = [error["field"] for error in body["errors"]] if "errors" in body else [body["field"]]
    assert any(found.startswith(field) for found in fields), body
    assert len(http.get("/v1/jobs").json()["data"]) == before


@pytest.mark.parametrize(
    ("body", "slug", "field"),
    [
        (parts(UPSCALE), "invalid-request", "files"),
        (parts("{"), "invalid-request", "body"),
        ([("files", ("a.png", PICTURE))], "invalid-request", "job"),
        (parts({**UPSCALE, "model": "toy"}, ("files", "a.png", PICTURE)), "wrong-model-kind", "model"),
        (
            parts({**UPSCALE, "parameters": {"scale": 9}}, ("files", "a.png", PICTURE)),
            "invalid-request",
            "parameters.scale",
        ),
        (parts(SEEDS, ("files", "a.png", PICTURE)), "invalid-request", "operation"),
        (parts(UPSCALE, ("picture", "a.png", PICTURE)), "invalid-request", "picture"),
        (parts(UPSCALE, ("files", "a.png", PICTURE), ("zip", "a.zip", b"no")), "input-unreadable", "zip.0"),
        (parts(UPSCALE, ("zip", "a.zip", zipped({"a.png": PICTURE})[:-30])), "input-unreadable", "zip.0"),
        (parts(UPSCALE, ("zip", "a.zip", b"")), "input-unreadable", "zip.0"),
    ],
)
def test_what_is_refused_with_files(
    service: JobsService, http: httpx.Client, body: list, slug: str, field: str
) -> None:
    before = service.artifacts()
    found = problem(http.post("/v1/jobs", files=body), slug)
    fields = [error["field"] for error in found["errors"]] if "errors" in found else [found["field"]]
    assert fields == [field]
    assert service.artifacts() == before


def test_inputs_below_what_is_allowed(service: JobsService, http: httpx.Client) -> None:
    folder = (service.folder / "allowed").as_uri()
    job = http.post("/v1/jobs", json={**UPSCALE, "inputs": [{"prefix": folder, "pattern": "*.png"}]})
    assert job.status_code == 202, job.text
    assert job.json()["inputs"] == [{"prefix": folder, "pattern": "*.png"}]
    for prefix in (service.folder.as_uri(), "file:///etc", f"{folder}-private", "s3://bucket/photos"):
        found = problem(
            http.post("/v1/jobs", json={**UPSCALE, "inputs": [{"prefix": prefix}]}), "location-not-allowed"
        )
        assert (found["field"], found["accepted"]) == ("inputs.0.prefix", [folder])
    for prefix in (f"{folder}/../state", f"{folder}/%2e%2e/state", "allowed/"):
        problem(http.post("/v1/jobs", json={**UPSCALE, "inputs": [{"prefix": prefix}]}), "invalid-request")
    (service.folder / "allowed" / "way-out").symlink_to("/etc")
    body = {**UPSCALE, "inputs": [{"prefix": f"{folder}/way-out"}]}
    problem(http.post("/v1/jobs", json=body), "location-not-allowed")
    (service.folder / "allowed" / "way-out").unlink()


def test_an_idempotency_key_makes_one_job(service: JobsService, http: httpx.Client) -> None:
    key = {"idempotency-key": "one"}
    body = parts(UPSCALE, ("files", "a.png", PICTURE))
    first = http.post("/v1/jobs", files=body, headers=key)
    assert first.status_code == 202
    stored = service.artifacts()
    # The same with its defaults written out and with other blanks, so another text.
    again = parts(
        json.dumps({**UPSCALE, "priority": "normal", "metadata": {}}, indent=1),
        *[("files", "a.png", PICTURE)],
    )
    for same in (body, again):
        second = http.post("/v1/jobs", files=same, headers=key)
        assert second.status_code == 200
        assert second.headers["idempotency-replayed"] == "true"
        assert second.json()["id"] == first.json()["id"]
        assert second.headers["location"] == first.headers["location"]
        assert second.json()["idempotency_key"] == "one"
    for other in (
        parts(UPSCALE, ("files", "b.png", PICTURE)),
        parts(UPSCALE, ("files", "a.png", PICTURE + b"x")),
        parts({**UPSCALE, "priority": "low"}, ("files", "a.png", PICTURE)),
        parts(UPSCALE, ("files", "a.png", PICTURE), ("files", "a.png", PICTURE)),
    ):
        found = problem(http.post("/v1/jobs", files=other, headers=key), "idempotency-conflict")
        assert found["job"] == first.json()["id"]
    assert service.artifacts() == stored
    assert [job["id"] for job in pages(http, "/v1/jobs", idempotency_key="one")] == [first.json()["id"]]


def test_the_same_key_at_once(service: JobsService, http: httpx.Client) -> None:
    answers: list[httpx.Response] = []

    def send(body: Any) -> None:
        with service.client() as client:
            answers.append(client.post("/v1/jobs", headers={"idempotency-key": "at-once"}, **body))

    same = {"files": parts(UPSCALE, ("files", "a.png", PICTURE))}
    threads = [threading.Thread(target=send, args=(same,)) for _ in range(8)]
    threads += [threading.Thread(target=send, args=({"json": SEEDS},)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(202) == 1, statuses
    won = next(answer for answer in answers if answer.status_code == 202).json()
    losers = 4 if won["operation"] == "super-resolution" else 8
    assert statuses == [200] * (11 - losers) + [202] + [409] * losers
    assert {answer.json()["id"] for answer in answers if answer.status_code < 300} == {won["id"]}
    assert len(list(pages(http, "/v1/jobs", idempotency_key="at-once"))) == 1
    ours = {path.split("/")[0] for path in service.artifacts()}
    assert ours <= {job["id"] for job in pages(http, "/v1/jobs")}


@pytest.mark.parametrize("key", ["", "x" * 256, "café"])
def test_what_is_no_idempotency_key(http: httpx.Client, key: str) -> None:
    answer = http.post("/v1/jobs", json=SEEDS, headers=[(b"idempotency-key", key.encode())])
    assert problem(answer, "invalid-request")["errors"][0]["field"] == "Idempotency-Key"


def test_paging_and_filters(http: httpx.Client) -> None:
    made = [http.post("/v1/jobs", json=SEEDS).json()["id"] for _ in range(5)]
    cancelled = made.pop(1)
    http.delete(f"/v1/jobs/{cancelled}")
    first = http.get("/v1/jobs", params={"limit": 2}).json()
    later = http.post("/v1/jobs", json=SEEDS).json()["id"]
    second = http.get("/v1/jobs", params={"limit": 2, "cursor": first["next"]}).json()
    found = [job["id"] for job in (*first["data"], *second["data"])]
    assert found == [*reversed(made[1:]), cancelled]
    assert next(iter(pages(http, "/v1/jobs")))["id"] == later
    ids = [job["id"] for job in pages(http, "/v1/jobs", limit=3)]
    assert len(ids) == len(set(ids))
    assert {job["operation"] for job in pages(http, "/v1/jobs", operation="generate")} == {"generate"}
    for query, field in (
        ({"state": "odd"}, "state"),
        ({"state": "failed,"}, "state"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": http.get("/v1/jobs", params={"limit": 1}).json()["next"][:-2]}, "cursor"),
        ({"colour": "red"}, "colour"),
        ([("limit", 1), ("limit", 2)], "limit"),
    ):
        (error,) = problem(http.get("/v1/jobs", params=query), "invalid-request")["errors"]
        assert error["field"] == field
    items = f"/v1/jobs/{later}/items"
    problem(http.get(items, params={"cursor": first["next"]}), "invalid-request")
    problem(http.get("/v1/jobs", params={"idempotency_key": "a\0b"}), "invalid-request")


def test_cancelling_and_deleting(service: JobsService, http: httpx.Client) -> None:
    job = http.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", PICTURE))).json()
    path = job["links"]["self"]
    problem(http.delete(path, params={"purge": "true"}), "job-state")
    problem(http.post(f"{path}/retry"), "job-state")
    answer = http.delete(path)
    assert (answer.status_code, answer.json()["cancelling"]) == (202, True)
    assert http.delete(path).status_code == 202  # asked for again, it changes nothing
    for odd in ("job_nope", f"job_{'0' * 28}", "x" * 500, "job_%00"):
        for method, more in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/retry"),
            ("GET", "/items"),
            ("GET", "/archive"),
        ):
            problem(http.request(method, f"/v1/jobs/{odd}{more}"), "job-not-found")
        problem(http.get(f"/v1/jobs/{odd}/events"), "job-not-found")


def test_too_many_jobs(triton: TritonProcess, tmp_path: Path) -> None:
    service = JobsService(triton.grpc_url, tmp_path, max_jobs=2)
    try:
        with service.client() as client:
            wait_usable(client)
            key = {"idempotency-key": "first"}
            assert client.post("/v1/jobs", json=SEEDS, headers=key).status_code == 202
            assert client.post("/v1/jobs", json=SEEDS).status_code == 202
            refused = client.post("/v1/jobs", json=SEEDS)
            assert problem(refused, "too-many-jobs")["limit"] == 2
            assert int(refused.headers["retry-after"]) > 0
            assert client.post("/v1/jobs", json=SEEDS, headers=key).status_code == 200
    finally:
        service.close()
