"""`ganserve batch` and `ganserve jobs` against a real gateway and a real worker, stopped in every way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.cli import app
from service.cli.batch_jobs.state import Part, read_state
from service.cli.batch_jobs.units import file_units
from service.client import Client
from service.jobs.storage import open_area
from tests.jobs_service import JobsService, pages, wait_ended, wait_usable
from tests.s3_process import S3Process
from tests.triton_process import TritonProcess, free_ports
from tests.up_process import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that jobs may read and write."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def service(
    triton: TritonProcess, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JobsService]:
    service = JobsService(
        triton.grpc_url,
        tmp_path_factory.mktemp("jobs"),
        job_inputs=shared.as_uri(),
        job_outputs=shared.as_uri(),
        max_upload_bytes=100_000,
    )
    service.start_worker()
    with service.client() as client:
        wait_usable(client)
    yield service
    service.close()


@pytest.fixture
def http(service: JobsService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


class Command:
    """Runs commands in a folder, with a home of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._environment = {
            "GANSERVE_URL": url,
            "XDG_STATE_HOME": str(folder / "home"),
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """In this process, which spares the imports."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self._environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "service.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **self._environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in the background inherit that SIGINT is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def report(self, *arguments: str) -> dict[str, Any]:
        code, output, errors = self(*arguments, "--json")
        assert code in (0, 1), errors
        return {"code": code, **json.loads(output)}


@pytest.fixture
def run(service: JobsService, tmp_path: Path) -> Command:
    return Command(tmp_path, service.gateway.url)


def write_pictures(folder: Path, count: int, side: int = 12) -> None:
    for index in range(count):
        path = folder / "abc"[index % 3] / f"{index:03}.{'png' if index % 2 else 'bmp'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(index).randint(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(path)


def results(folder: Path) -> dict[str, int]:
    """Files and when they were written."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def jobs_of(http: httpx.Client, since: set[str]) -> list[dict[str, Any]]:
    return [job for job in pages(http, "/v1/jobs") if job["id"] not in since]


@pytest.fixture
def before(http: httpx.Client) -> set[str]:
    """Jobs of other tests."""
    return {job["id"] for job in pages(http, "/v1/jobs")}


def test_a_folder_is_enlarged_with_the_pixels_of_single_calls(run: Command, http: httpx.Client) -> None:
    write_pictures(run.folder / "in", 30)
    (run.folder / "in/a/bad.png").write_text("no image")
    (run.folder / "in/empty.png").touch()
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4", "--scale", "2.5")
    code, output, errors = run(*command, "--report", "failures.json")
    assert code == 1
    assert output.startswith("30 images in out")
    assert output.endswith(", 2 failed\n")
    assert "32/32" in errors
    assert "The image cannot be read. The file is empty" in errors
    failures = {one["name"]: one for one in json.loads((run.folder / "failures.json").read_text())}
    assert failures.keys() == {"a/bad.png", "empty.png"}
    assert failures["empty.png"]["problem"]["type"] == "/problems/image-unreadable"
    made = results(run.folder / "out")
    assert len(made) == 30
    for name in ("a/000.png", "b/001.png"):
        source = next((run.folder / "in").glob(name.replace(".png", ".*")))
        fields = {"model": "photo-x4", "scale": "2.5"}
        answer = http.post("/v1/super-resolution", data=fields, files={"image": source.read_bytes()})
        (run.folder / "single.png").write_bytes(answer.content)
        with Image.open(run.folder / "out" / name) as ours, Image.open(run.folder / "single.png") as single:
            assert np.array_equal(np.asarray(ours), np.asarray(single))
    assert not (run.folder / "out/.ganserve-batch.parts").exists()

    again = run.report(*command)
    assert (again["code"], again["made"], again["kept"], again["failed"], again["jobs"]) == (1, 0, 30, 2, [])
    assert results(run.folder / "out") == made


def test_only_what_is_missing_or_changed_is_made_again(run: Command) -> None:
    write_pictures(run.folder / "in", 6)
    (run.folder / "in/c/002.bmp").write_text("no image")
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4")
    assert run.report(*command)["made"] == 5
    made = results(run.folder / "out")
    (run.folder / "out/a/000.png").unlink()
    Image.new("RGB", (5, 7), "red").save(run.folder / "in/b/001.png")
    Image.new("RGB", (5, 7), "blue").save(run.folder / "in/c/002.bmp")
    again = run.report(*command)
    assert (again["code"], again["made"], again["kept"], again["failed"]) == (0, 3, 3, 0)
    now = results(run.folder / "out")
    assert {name for name in now if now[name] != made.get(name)} == {"a/000.png", "b/001.png", "c/002.png"}
    with Image.open(run.folder / "out/b/001.png") as image:
        assert image.size == (20, 28)


def test_what_failed_is_tried_again_only_when_that_is_wanted(run: Command) -> None:
    (run.folder / "in").mkdir()
    (run.folder / "in/bad.png").write_text("no image")
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4")
    assert len(run.report(*command)["jobs"]) == 1
    assert run.report(*command)["jobs"] == []
    code, _, errors = run(*command)
    assert code == 1
    assert "--retry-failed tries them again" in errors
    tried = run.report(*command, "--retry-failed")
    assert (len(tried["jobs"]), tried["failed"]) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_was_stopped_goes_on_and_makes_nothing_twice(
    number: signal.Signals, run: Command, http: httpx.Client, before: set[str]
) -> None:
    write_pictures(run.folder / "in", 90)
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4")
    process = run.start(*command)
    until(lambda: process.poll() is not None or len(results(run.folder / "out")) >= 4)
    process.send_signal(number)
    started = time.monotonic()
    _, errors = process.communicate(timeout=20)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert time.monotonic() - started < 5
        assert "go on on the server" in errors
        assert "Traceback" not in errors
    made = results(run.folder / "out")
    assert 4 <= len(made) < 90
    again = run.report(*command)
    assert (again["code"], again["failed"], again["cancelled"]) == (0, 0, 0)
    assert again["made"] + again["kept"] == 90
    now = results(run.folder / "out")
    assert len(now) == 90
    assert made.items() <= now.items(), "a result was fetched again"
    hidden = [path.name for path in (run.folder / "out").rglob(".*")]
    assert hidden == [".ganserve-batch.json"], "something unfinished is left"
    for name in made:
        with Image.open(run.folder / "out" / name) as image:
            image.load()
    found = jobs_of(http, before)
    assert sum(job["counts"]["total"] for job in found) == 90, "each image is in one job"
    assert {job["state"] for job in found} == {"succeeded"}


@pytest.mark.parametrize("arrived", [True, False])
def test_a_job_whose_answer_was_never_read_is_not_made_twice(
    arrived: bool, run: Command, http: httpx.Client, before: set[str]
) -> None:
    """The command was killed when all was sent, or before."""
    write_pictures(run.folder / "in", 5)
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4")
    origin = run.folder / "in"
    units = file_units(
        origin, run.folder / "out", ".png", recursive=True, pattern=None, naming=None, model="", scale=None
    )
    part = Part.of(units)
    assert run.report(*command)["made"] == 5  # writes the settings, which are not looked at here
    state = read_state(run.folder / "out/.ganserve-batch.json", None)
    (first,) = jobs_of(http, before)
    for path in results(run.folder / "out"):
        (run.folder / "out" / path).unlink()
    state.done, state.parts = {}, [part]
    state.save()
    if arrived:
        with Client(str(http.base_url)) as client:
            files = [(unit.name, unit.source) for unit in units]
            sent = {"parameters": {"format": "png"}, "priority": "normal", "idempotency_key": part.key}
            client.create_job("super-resolution", "photo-x4", files=files, **sent)
    made = run.report(*command)
    assert (made["code"], made["made"], made["failed"]) == (0, 5, 0)
    (again,) = [job for job in jobs_of(http, before) if job["id"] != first["id"]]
    assert (again["idempotency_key"], made["jobs"]) == (part.key, [again["id"]])


def test_jobs_end_with_the_command_if_that_is_wanted(
    run: Command, http: httpx.Client, before: set[str]
) -> None:
    write_pictures(run.folder / "in", 75, side=64)
    command = ("batch", "upscale", "in", "out", "--model", "photo-x4")
    process = run.start(*command, "--cancel-on-interrupt")
    until(lambda: process.poll() is not None or results(run.folder / "out"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "is cancelled." in errors
    ended = [wait_ended(http, job["id"], 20) for job in jobs_of(http, before)]
    cancelled = sum(job["counts"]["cancelled"] for job in ended)
    assert cancelled > 0
    again = run.report(*command)
    assert (again["code"], again["cancelled"], again["made"] + again["kept"]) == (0, 0, 75)
    assert len(results(run.folder / "out")) == 75
    total = sum(job["counts"]["total"] for job in jobs_of(http, before))
    assert total == 75 + cancelled, "what had been made was made again"


def test_a_gateway_that_is_killed_and_comes_back_is_waited_for(
    triton: TritonProcess, tmp_path: Path, service: JobsService
) -> None:
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "GANSERVE_PORT": str(port),
        "GANSERVE_TRITON_URL": triton.grpc_url,
        "GANSERVE_STATE_FOLDER": str(service.state),
    }

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "gateway.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", "gateway"], env=environment, stdout=log, stderr=log
            )

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    gateway = start()
    try:
        until(is_ready)
        run = Command(tmp_path, url)
        write_pictures(tmp_path / "in", 90)
        process = run.start("batch", "upscale", "in", "out", "--model", "photo-x4", "--json")
        until(lambda: process.poll() is not None or len(results(tmp_path / "out")) >= 4)
        gateway.kill()
        gateway.wait()
        time.sleep(0.5)
        gateway = start()
        output, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        assert json.loads(output)["made"] == 90
        assert len(results(tmp_path / "out")) == 90
    finally:
        gateway.kill()
        gateway.wait()


def test_from_bucket_to_bucket_it_is_one_job(run: Command, shared: Path) -> None:
    write_pictures(shared / "photos", 8)
    (shared / "photos/bad.png").write_text("no image")
    source, out = f"{shared.as_uri()}/photos/", f"{shared.as_uri()}/large"
    command = ("batch", "upscale", source, out, "--model", "photo-x4", "--naming", "{stem}-x4.{ext}")
    made = run.report(*command)
    assert (made["code"], made["made"], made["failed"], len(made["jobs"])) == (1, 8, 1, 1)
    assert sorted(results(shared / "large")) == [f"{n:03}-x4.png" for n in range(8)]
    Image.new("RGB", (5, 7), "blue").save(shared / "photos/bad.png")
    again = run.report(*command)
    assert (again["made"], again["kept"], again["failed"], again["jobs"]) == (0, 8, 1, made["jobs"])
    again = run.report(*command, "--retry-failed")
    assert (again["code"], again["made"], again["kept"], again["jobs"]) == (0, 1, 8, made["jobs"])
    assert "bad-x4.png" in results(shared / "large")


def test_from_bucket_to_folder_results_are_fetched(run: Command, shared: Path) -> None:
    write_pictures(shared / "some", 9)
    command = ("batch", "upscale", f"{shared.as_uri()}/some/", "out", "--model", "photo-x4")
    made = run.report(*command, "--pattern", "a/*")
    assert (made["code"], made["made"]) == (0, 3)
    files = results(run.folder / "out")
    assert sorted(files) == ["a/000.png", "a/003.png", "a/006.png"]
    (run.folder / "out/a/003.png").unlink()
    again = run.report(*command, "--pattern", "a/*")
    assert (again["made"], again["kept"], again["jobs"]) == (1, 2, made["jobs"])
    assert results(run.folder / "out")["a/000.png"] == files["a/000.png"]


def test_from_folder_to_bucket_nothing_is_fetched(run: Command, shared: Path) -> None:
    write_pictures(run.folder / "in", 4)
    out = f"{shared.as_uri()}/translated"
    command = ("batch", "translate", "in", out, "--model", "sketch-to-emoji", "--fit", "pad")
    made = run.report(*command, "--format", "webp")
    assert (made["code"], made["made"]) == (0, 4)
    assert sorted(results(shared / "translated")) == [
        "a/000.webp",
        "a/003.webp",
        "b/001.webp",
        "c/002.webp",
    ]
    again = run.report(*command, "--format", "webp")
    assert (again["made"], again["kept"], again["jobs"]) == (0, 4, [])


def test_a_dataset_of_seeds(run: Command, http: httpx.Client) -> None:
    command = ("batch", "generate", "out", "--model", "toy", "--truncation", "0.5")
    made = run.report(*command, "--seeds", "0-29")
    assert (made["code"], made["made"]) == (0, 30)
    more = run.report(*command, "--seeds", "0-31,40")
    assert (more["made"], more["kept"]) == (3, 30)
    assert len(results(run.folder / "out")) == 33
    with Image.open(run.folder / "out/toy-seed0007.png") as image:
        ours = np.asarray(image)
    answer = http.get("/v1/models/toy/images/7.png", params={"truncation": "0.5"})
    (run.folder / "single.png").write_bytes(answer.content)
    with Image.open(run.folder / "single.png") as image:
        assert np.array_equal(ours, np.asarray(image))
    code, _, errors = run(*command[:-1], "0.6", "--seeds", "0-3")
    assert code == 2
    assert "a batch with other settings (parameters)" in " ".join(errors.replace("│", "").split())


def test_what_cannot_be_is_said_once(run: Command, shared: Path) -> None:
    write_pictures(run.folder / "in", 3)
    code, _, errors = run("batch", "upscale", "in", "out", "--model", "toy")
    assert (code, errors.startswith("toy is a generator, no upscaler;")) == (1, True)
    code, _, errors = run("batch", "upscale", "in", "s3://nobody/x", "--model", "photo-x4", "--quiet")
    assert code == 1
    assert "not below a prefix that is allowed here" in errors
    assert "goes on" not in errors
    code, _, errors = run("batch", "upscale", "in", "out", "--model", "photo-x4", "--scale", "9", "--quiet")
    assert code == 1
    assert "scale" in errors
    assert not list(run.folder.glob("out/.ganserve*"))


def test_jobs_are_listed_shown_watched_fetched_and_deleted(run: Command) -> None:
    (job,) = run.report("batch", "generate", "out", "--model", "toy", "--seeds", "3-5")["jobs"]
    code, output, _ = run("jobs", "list", "--state", "succeeded", "-n", "5")
    assert code == 0
    assert job in output
    assert "3/3" in output
    code, output, _ = run("jobs", "show", job)
    assert "3 of 3 succeeded" in output
    assert json.loads(run("jobs", "show", job, "--json")[1])["id"] == job
    code, output, _ = run("jobs", "items", job)
    assert [line.split()[:2] for line in output.splitlines()[1:]] == [[str(n), "succeeded"] for n in range(3)]
    assert len(run("jobs", "items", job, "--json", "-n", "2")[1].splitlines()) == 2
    assert run("jobs", "watch", job)[:2] == (0, f"{job} is succeeded: 3 of 3 succeeded.\n")
    assert run("jobs", "download", job, "fetched")[:2] == (0, "3 images in fetched\n")
    assert len(results(run.folder / "fetched")) == 3
    assert run("jobs", "download", job, "fetched")[1].startswith("0 images in fetched, 3 were there already")
    assert run("jobs", "download", job, "all.zip")[0] == 0
    with zipfile.ZipFile(run.folder / "all.zip") as archive:
        assert len(archive.namelist()) == 4
        assert archive.testzip() is None
    assert run("jobs", "retry", job)[0] == 1
    assert run("jobs", "cancel", job)[:2] == (0, f"{job} is succeeded: 3 of 3 succeeded.\n")
    assert run("jobs", "delete", job, "nope")[0] == 1
    code, _, errors = run("jobs", "show", job)
    assert (code, "There is no job" in errors) == (1, True)


def test_watching_ends_with_a_cancelled_job(run: Command, http: httpx.Client) -> None:
    body = {"operation": "generate", "model": "terrain", "seeds": {"first": 0, "count": 5000}}
    job = http.post("/v1/jobs", json=body).json()["id"]
    process = run.start("jobs", "watch", job)
    until(lambda: http.get(f"/v1/jobs/{job}").json()["state"] == "running")
    code, output, _ = run("jobs", "cancel", job)
    assert code == 0
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    assert output.startswith(f"{job} is cancelled: ")


def test_a_file_that_is_too_large_fails_by_itself(run: Command) -> None:
    write_pictures(run.folder / "in", 20)
    (run.folder / "in/large.bmp").write_bytes(bytes(200_000))
    made = run.report("batch", "upscale", "in", "out", "--model", "photo-x4")
    assert (made["code"], made["made"]) == (1, 20)
    ((name, kind),) = [(one["name"], one["problem"]["type"]) for one in made["failures"]]
    assert (name, kind) == ("large.bmp", "/problems/body-too-large")
    again = run.report("batch", "upscale", "in", "out", "--model", "photo-x4")
    assert (again["kept"], again["failed"], again["jobs"]) == (20, 1, [])


def test_buckets_of_a_real_s3(triton: TritonProcess, s3: S3Process, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        source, out = "s3://photos/cli-batch", "s3://outputs/cli-batch"
        write_pictures(tmp_path / "in", 7)

        async def put() -> None:
            area = open_area(source)
            for path in (tmp_path / "in").rglob("*.*"):
                await area.put(path.relative_to(tmp_path / "in").as_posix(), path.read_bytes())

        async def names() -> list[str]:
            return sorted([found.name async for page in open_area(out).list_pages() for found in page])

        asyncio.run(put())
        settings = {"job_inputs": source, "job_outputs": out, "artifacts_url": "s3://artifacts/cli-batch"}
        service = JobsService(triton.grpc_url, tmp_path, **settings)
        try:
            service.start_worker()
            with service.client() as client:
                wait_usable(client)
            run = Command(tmp_path, service.gateway.url)
            assert run.report("batch", "upscale", source, out, "--model", "photo-x4")["made"] == 7
            assert run.report("batch", "upscale", "in", f"{out}/more", "--model", "photo-x4")["made"] == 7
            large = [f"{name.rpartition('.')[0]}.png" for name in sorted(results(tmp_path / "in"))]
            assert asyncio.run(names()) == sorted([*large, *(f"more/{name}" for name in large)])
            assert run.report("batch", "upscale", "in", "here", "--model", "photo-x4")["made"] == 7
            assert sorted(results(tmp_path / "here")) == large
        finally:
            service.close()


def test_files_that_disappear_or_may_not_be_read_fail_by_themselves(run: Command) -> None:
    write_pictures(run.folder / "in", 3)
    (run.folder / "in/a/000.bmp").unlink()
    (run.folder / "in/a/000.bmp").symlink_to("/proc/1/mem")  # stat says 0 bytes, and nobody reads it
    made = run.report("batch", "upscale", "in", "out", "--model", "photo-x4")
    assert (made["code"], made["made"], made["failed"]) == (1, 2, 1)
