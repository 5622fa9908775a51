"""Batch jobs over HTTP with a worker: what comes out, followed, downloaded, tried again and deleted."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.image_files import saved
from tests.integration.test_gateway_problems import problem
from tests.integration.test_jobs_api import parts, zipped
from tests.jobs_service import JobsService, events, pages, wait_ended, wait_usable
from tests.triton_process import TritonProcess

SEEDS = {"operation": "generate", "model": "toy"}
UPSCALE = {"operation": "super-resolution", "model": "photo-x4", "parameters": {"scale": 2}}


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return saved(Image.fromarray(pixels), "PNG")


@pytest.fixture(scope="module")
def service(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsService]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "out").mkdir()
    service = JobsService(
        triton.grpc_url, folder, job_outputs=(folder / "out").as_uri(), event_heartbeat_seconds=0.4
    )
    with service.client() as client:
        wait_usable(client)
    service.start_worker().wait_ready()
    yield service
    service.close()


@pytest.fixture
def http(service: JobsService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def done(service: JobsService) -> dict[str, Any]:
    """A job of five items, of which two fail."""
    damaged = bytearray(zipped({"in/x.png": picture(2), "in/y.png": picture(3)}))
    at = damaged.index(b"in/y.png") + 40
    damaged[at : at + 4] = b"oops"
    files = [
        ("files", "a.png", picture(1)),
        ("files", "empty.png", b""),
        ("files", "ä/b.png", picture(4)),
        ("zip", "z.zip", bytes(damaged)),
    ]
    with service.client() as client:
        answer = client.post("/v1/jobs", files=parts(UPSCALE, *files))
        assert answer.status_code == 202, answer.text
        return wait_ended(client, answer.json()["id"])


def test_items_and_outputs(http: httpx.Client, done: dict[str, Any]) -> None:
    assert (done["state"], done["listed"], done["problem"]) == ("succeeded", True, None)
    counts = {"total": 5, "queued": 0, "running": 0, "succeeded": 3, "failed": 2, "cancelled": 0}
    assert done["counts"] == counts
    assert done["created_at"] <= done["started_at"] <= done["ended_at"] < done["expires_at"]
    items = list(pages(http, done["links"]["items"]))
    assert [item["name"] for item in items] == ["a.png", "empty.png", "ä/b.png", "in/x.png", "in/y.png"]
    failed = [item["name"] for item in pages(http, done["links"]["items"], state="failed")]
    assert failed == ["empty.png", "in/y.png"]
    assert items[1]["problem"]["type"].startswith("/problems/")
    assert items[1]["output"] is None
    for item, sent in ((items[0], picture(1)), (items[2], picture(4)), (items[3], picture(2))):
        interactive = http.post(
            "/v1/super-resolution", data={"model": "photo-x4", "scale": "2"}, files={"image": sent}
        )
        made = item["output"]
        output = http.get(made["href"])
        assert output.status_code == 200
        assert made["pixels_sha256"] == interactive.headers["x-pixels-sha256"]
        assert output.headers["x-pixels-sha256"] == made["pixels_sha256"]
        assert output.headers["x-model"] == "photo-x4"
        assert output.headers["x-model-digest"] == made["model_digest"]
        assert output.headers["x-image-size"] == "24x16"
        assert output.headers["content-type"] == made["media_type"] == "image/png"
        assert len(output.content) == made["size"] == int(output.headers["content-length"])
        assert output.headers["x-content-type-options"] == "nosniff"
        image = Image.open(io.BytesIO(output.content))
        assert hashlib.sha256(np.asarray(image).tobytes()).hexdigest() == made["pixels_sha256"]
        assert (made["width"], made["height"], made["url"]) == (24, 16, None)
        assert set(item["timings"]) >= {"infer"}
    names = [http.get(items[n]["output"]["href"]).headers["content-disposition"] for n in (0, 2)]
    assert names == ['attachment; filename="a.png"', 'attachment; filename="b.png"']


def test_caching_and_ranges(http: httpx.Client, done: dict[str, Any]) -> None:
    path = f"{done['links']['items']}/0/output"
    whole = http.get(path)
    etag, size = whole.headers["etag"], len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    again = http.get(path, headers={"if-none-match": f'"x", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    for wanted, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 100}", 5, size),
    ):
        part = http.get(path, headers={"range": wanted})
        assert (part.status_code, part.content) == (206, whole.content[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - start)
    for ignored in ("bytes=0-1,3-4", "lines=1-2", "bytes=9-1", "bytes=a-b"):
        assert http.get(path, headers={"range": ignored}).content == whole.content
    assert http.get(path, headers={"range": "bytes=0-1", "if-range": '"other"'}).content == whole.content
    assert len(http.get(path, headers={"range": "bytes=0-1", "if-range": etag}).content) == 2
    refused = http.get(path, headers={"range": f"bytes={size}-"})
    assert problem(refused, "range-not-satisfiable")["size"] == size
    assert refused.headers["content-range"] == f"bytes */{size}"
    head = http.head(path)
    assert (head.status_code, head.headers["etag"], head.content) == (200, etag, b"")


def test_the_archive(http: httpx.Client, done: dict[str, Any]) -> None:
    answer = http.get(done["links"]["archive"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{done["id"]}.zip"'
    assert "content-length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "ä/b.png", "in/x.png", "manifest.json"]
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["job"]["id"] == done["id"]
        assert "owner" not in manifest["job"]
        assert [item["n"] for item in manifest["items"]] == [0, 1, 2, 3, 4]
        for item in manifest["items"]:
            assert (item["output"] is None) == (item["problem"] is not None) == ("file" not in item)
            if item["output"] is not None:
                data = archive.read(item["file"])
                assert data == http.get(item["output"]["href"]).content


def test_events_of_a_job_that_has_ended(http: httpx.Client, done: dict[str, Any]) -> None:
    path = done["links"]["events"]
    with http.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        found = list(events(answer))
    assert [one.name for one in found] == ["job", "end"]
    assert found[0].data == done
    assert found[1].data == {"state": "succeeded", "revision": done["revision"]}
    with http.stream("GET", path, headers={"last-event-id": "0"}) as answer:
        found = list(events(answer))
    assert sorted(one.data["n"] for one in found if one.name == "item") == [0, 1, 2, 3, 4]
    assert [one.name for one in found[-2:]] == ["job", "end"]
    last = found[-1].id
    assert http.get(path, headers={"last-event-id": last}).status_code == 204
    assert http.get(path, params={"last_event_id": last}).status_code == 204
    with http.stream("GET", path, params={"last_event_id": "0", "items": "false"}) as answer:
        assert [one.name for one in events(answer)] == ["job", "end"]
    for odd in ("x", "-1", "1-odd", "9" * 30):
        problem(http.get(path, headers={"last-event-id": odd}), "invalid-request")


def test_events_are_followed_and_taken_up_again(http: httpx.Client) -> None:
    count = 300
    job = http.post("/v1/jobs", json={**SEEDS, "seeds": {"first": 0, "count": count}}).json()
    latest: dict[int, tuple[int, str]] = {}
    last, connections, ended, order = "0", 0, False, []
    while not ended:
        connections += 1
        assert connections < 100
        with http.stream("GET", job["links"]["events"], headers={"last-event-id": last}) as answer:
            for number, one in enumerate(events(answer)):
                if one.id is not None:
                    last = one.id
                    order.append(int(one.id.removesuffix("-end")))
                if one.name == "item":
                    latest[one.data["n"]] = one.data
                ended = ended or one.name == "end"
                if number == 70:  # the connection breaks, perhaps between items that changed together
                    break
    assert connections > 3
    assert order == sorted(order)
    assert sorted(latest) == list(range(count))
    assert {item["state"] for item in latest.values()} == {"succeeded"}
    assert [latest[n] for n in range(count)] == list(pages(http, job["links"]["items"]))


def test_a_sign_of_life_while_nothing_happens(http: httpx.Client, service: JobsService) -> None:
    (worker,) = service.workers
    worker.terminate()
    worker.process.wait(30)
    try:
        job = http.post("/v1/jobs", json={**SEEDS, "seeds": [1]}).json()
        with http.stream("GET", job["links"]["events"]) as answer:
            comments = 0
            for line in answer.iter_lines():
                comments += line.startswith(":")
                if comments == 3:
                    break
    finally:
        worker.start()
        worker.wait_ready()
    assert wait_ended(http, job["id"])["state"] == "succeeded"


def test_failed_items_are_tried_again(http: httpx.Client, service: JobsService) -> None:
    files = [("files", "a.png", picture(1)), ("files", "b.png", picture(2)), ("files", "c.png", b"no")]
    job = http.post("/v1/jobs", files=parts(UPSCALE, *files)).json()
    job = wait_ended(http, job["id"])
    first = list(pages(http, job["links"]["items"]))
    assert job["counts"]["failed"] == 1
    broken = service.state / "artifacts" / job["id"] / "inputs" / "2"
    broken.write_bytes(picture(3))
    answer = http.post(f"{job['links']['self']}/retry")
    assert (answer.status_code, answer.json()["counts"]["failed"]) == (202, 0)
    assert answer.json()["round"] == 1
    job = wait_ended(http, job["id"])
    assert (job["state"], job["counts"]["succeeded"]) == ("succeeded", 3)
    again = list(pages(http, job["links"]["items"]))
    assert again[:2] == first[:2]
    problem(http.post(f"{job['links']['self']}/retry"), "job-state")


def test_a_destination(http: httpx.Client, service: JobsService) -> None:
    place = f"{(service.folder / 'out').as_uri()}/here"
    body = {**SEEDS, "seeds": [5], "destination": place, "naming": "Bild {seed}.{ext}"}
    job = wait_ended(http, http.post("/v1/jobs", json=body).json()["id"])
    assert job["state"] == "succeeded", job
    (item,) = pages(http, job["links"]["items"])
    assert item["output"]["url"] == f"{place}/Bild%205.png"
    file = service.folder / "out" / "here" / "Bild 5.png"
    assert http.get(item["output"]["href"]).content == file.read_bytes()
    with zipfile.ZipFile(io.BytesIO(http.get(job["links"]["archive"]).content)) as archive:
        assert archive.namelist() == ["Bild 5.png", "manifest.json"]
    file.write_bytes(b"somebody else's")
    problem(http.get(item["output"]["href"]), "output-not-found")
    problem(http.get(job["links"]["archive"]), "output-not-found")
    file.unlink()
    problem(http.get(item["output"]["href"]), "output-not-found")


def test_an_output_called_as_the_manifest_is(http: httpx.Client) -> None:
    body = {**SEEDS, "seeds": [5], "naming": "manifest.json"}
    answer = http.post("/v1/jobs", json=body)
    job = wait_ended(http, answer.json()["id"])
    with zipfile.ZipFile(io.BytesIO(http.get(job["links"]["archive"]).content)) as archive:
        assert archive.namelist() == ["manifest~0.json", "manifest.json"]
        assert json.loads(archive.read("manifest.json"))["items"][0]["file"] == "manifest~0.json"


def test_an_archive_that_cannot_be_completed_is_not_taken_for_whole(
    http: httpx.Client, service: JobsService
) -> None:
    # Larger than what is read ahead of the first byte, so that the answer has begun.
    seeds = {"first": 0, "count": 400}
    job = wait_ended(http, http.post("/v1/jobs", json={**SEEDS, "seeds": seeds}).json()["id"])
    (service.state / "artifacts" / job["id"] / "outputs" / "seed0399.png").unlink()
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(job["links"]["archive"])
    assert "Traceback" not in service.gateway.log()
    assert '"outcome": "output-not-found"' in service.gateway.log()


def test_a_job_is_deleted_with_its_files(http: httpx.Client, service: JobsService) -> None:
    job = http.post("/v1/jobs", files=parts(UPSCALE, ("files", "a.png", picture(1)))).json()
    path = job["links"]["self"]
    wait_ended(http, job["id"])
    assert service.artifacts(job["id"])
    answer = http.delete(path)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    answer = http.delete(path, params={"purge": "true"})
    assert (answer.status_code, answer.content) == (204, b"")
    for more in ("", "/items", "/items/0", "/items/0/output", "/archive", "/events"):
        problem(http.get(f"{path}{more}"), "job-not-found")
    problem(http.delete(path, params={"purge": "true"}), "job-not-found")
    service.wait_for(lambda: not service.artifacts(job["id"]))


def test_cancelling_while_it_runs(http: httpx.Client) -> None:
    job = http.post("/v1/jobs", json={**SEEDS, "seeds": {"first": 0, "count": 20_000}}).json()
    with http.stream("GET", job["links"]["events"]) as answer:
        found = []
        for one in events(answer):
            found.append(one)
            if one.name == "job" and one.data["counts"]["succeeded"] and not one.data["cancelling"]:
                cancelled = http.delete(job["links"]["self"])
                assert cancelled.status_code in (200, 202)
    assert found[-1].data["state"] == "cancelled"
    counts = http.get(job["links"]["self"]).json()["counts"]
    assert counts["succeeded"] + counts["cancelled"] == counts["total"]
    assert counts["cancelled"] > 0


def test_the_backlog_is_among_the_metrics(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    assert "ganserve_jobs_database_up 1.0" in text
    assert 'ganserve_jobs_pending_items{operation="generate"}' in text
    for line in text.splitlines():
        assert "job_0" not in line
