"""What workers make of jobs, on SQLite and a folder, and on PostgreSQL and S3."""

from __future__ import annotations

import io
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from service.jobs.job_store import NewJob
from service.jobs.records import (
    ItemState,
    JobState,
    NewItem,
    PrefixSource,
    SeedSource,
    UploadedFile,
    ZipSource,
    new_job_id,
)
from service.jobs.storage import open_area
from service.jobs.tables import ITEMS, JOBS
from service.jobs.upload_store import UploadStore
from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.job_cluster import JobCluster
from tests.s3_process import READER_ID, S3Process
from tests.toy_image_models import write_toy_image_model
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess
from tests.worker_process import RUN, WorkerProcess

FULL = """
import os
from pathlib import Path
from service.jobs.local_folder import NewFile
opened = NewFile._opened
full = Path(os.environ["FULL"])
NewFile._opened = lambda self: os.open("/dev/full", os.O_WRONLY) if full.exists() else opened(self)
"""


class FullDisk(WorkerProcess):
    """A worker whose disk is full as long as there is the file that the variable FULL names."""

    command = FULL + RUN


def picture(n: int, mode: str = "RGB", size: tuple[int, int] = (18, 14)) -> Image.Image:
    channels = len(mode)
    pixels = np.random.RandomState(n).randint(0, 256, (*size, channels)).astype(np.uint8)
    return Image.fromarray(pixels, mode)


PNG = saved(picture(1), "PNG")
FILES = {
    "plain.png": PNG,
    "Fotos/Ferien ☀/größe 日本.jpeg": saved(picture(2), "JPEG", quality=90),
    "clear.webp": saved(picture(3, "RGBA"), "WEBP", lossless=True),
    "tiles.png": saved(picture(4, size=(70, 90)), "PNG"),
    "plain.jpg": saved(picture(5), "JPEG"),  # plain.png is taken
}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    repository = write_toy_repository(tmp_path_factory.mktemp("models"))
    write_toy_image_model(repository, "doubler", 2)
    write_toy_image_model(repository, "draw", resolution=32)
    process = TritonProcess(repository, tmp_path_factory.mktemp("server") / "log").start()
    yield process
    process.close()


@pytest.fixture(scope="module")
def calls(server: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a gateway over the same Triton."""
    process = GatewayProcess(server.grpc_url, tmp_path_factory.mktemp("calls") / "log", upscale_tile=32)
    process.wait_ready()
    with process.client() as client:
        yield client
    process.close()


@pytest.fixture(scope="module")
def s3_environment(s3: S3Process) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module", params=["sqlite-folder", "postgresql-s3"])
def cluster(
    request: pytest.FixtureRequest,
    server: TritonProcess,
    s3_environment: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[JobCluster]:
    """One with a worker that the tests share."""
    folder = tmp_path_factory.mktemp("cluster")
    run = secrets.token_hex(4)
    database, artifacts = f"sqlite:///{folder}/jobs.db", (folder / "artifacts").as_uri()
    (folder / "inputs").mkdir(exist_ok=True)
    inputs = (folder / "inputs").as_uri()
    if request.param == "postgresql-s3":
        database = request.getfixturevalue("postgres").create_database()
        artifacts, inputs = f"s3://artifacts/{run}", f"s3://photos/{run}"
    made = JobCluster(
        server.grpc_url, database, artifacts, folder, upscale_tile=32, job_inputs=inputs, job_outputs=inputs
    )
    made.inputs = inputs
    made.start_worker().wait_ready()
    yield made
    made.close()


@pytest.fixture
def start_cluster(server: TritonProcess, tmp_path: Path) -> Iterator[Callable[..., JobCluster]]:
    """Starts a cluster over SQLite and a folder, for one test."""
    made: list[JobCluster] = []

    def start(**settings: Any) -> JobCluster:
        url = f"sqlite:///{tmp_path}/jobs.db"
        artifacts = (tmp_path / "artifacts").as_uri()
        made.append(JobCluster(server.grpc_url, url, artifacts, tmp_path, **settings))
        return made[-1]

    yield start
    for cluster in made:
        cluster.close()


@pytest.mark.parametrize(
    ("operation", "model", "parameters"),
    [
        ("super-resolution", "doubler", {"scale": 2}),
        (
            "super-resolution",
            "doubler",
            {"scale": 1.5, "format": "jpeg", "quality": 80, "background": "#203040"},
        ),
        ("translate", "draw", {"fit": "pad", "format": "webp"}),
    ],
)
def test_images_are_those_of_the_endpoint(
    cluster: JobCluster, calls: httpx.Client, operation: str, model: str, parameters: dict[str, Any]
) -> None:
    extension = {"jpeg": "jpg"}.get(parameters.get("format", "png"), parameters.get("format", "png"))
    job = cluster.make(
        FILES, operation=operation, model=model, parameters=parameters, names={"ext": extension}
    )
    job = cluster.wait(job)
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, len(FILES))
    cluster.check_counts(job)
    outputs = cluster.outputs(job)
    for item in cluster.of(job):
        answer = calls.post(
            f"/v1/{operation}",
            files={"image": FILES[item.name]},
            data={"model": model, **{name: str(value) for name, value in parameters.items()}},
        )
        assert answer.status_code == 200, answer.text
        assert outputs[item.output_name] == answer.content, item.name
        assert item.output is not None
        assert item.output.size == len(answer.content)
        assert item.output.pixels_sha256 == answer.headers["x-pixels-sha256"]
        assert item.output.media_type == answer.headers["content-type"]
        assert set(item.timings) == {"read", "queue", "infer", "encode", "write"}
        assert (item.attempts, item.suspect) == (1, False)
    names = {item.name: item.output_name for item in cluster.of(job)}
    assert names["plain.png"] == f"plain.{extension}"
    assert names["Fotos/Ferien ☀/größe 日本.jpeg"] == f"Fotos/Ferien ☀/größe 日本.{extension}"
    assert len(set(names.values())) == len(FILES)


def test_seeds_are_those_of_the_endpoint(cluster: JobCluster, calls: httpx.Client) -> None:
    job = cluster.make(
        operation="generate",
        model="toy",
        parameters={"truncation": 0.7},
        sources=[SeedSource(first=3, count=20)],
        naming="{model}/{seed:03}.{ext}",
    )
    job = cluster.wait(job)
    cluster.check_counts(job)
    outputs = cluster.outputs(job)
    assert sorted(outputs) == [f"toy/{seed:03}.png" for seed in range(3, 23)]
    for seed in (3, 12, 22):
        body = {"model": "toy", "seeds": [seed], "truncation": 0.7}
        answer = calls.post("/v1/generate", json=body, headers={"accept": "image/png"})
        assert outputs[f"toy/{seed:03}.png"] == answer.content


def test_archives_and_prefixes_are_sources(cluster: JobCluster) -> None:
    listed = f"{cluster.inputs}/{secrets.token_hex(4)}"
    files = {f"album/{n:02} ä.png": saved(picture(n), "PNG") for n in range(5)}
    cluster.put("", {**files, "album/notes.txt": b"no image"}, open_area(listed))
    job = cluster.make(
        {"sent.png": PNG},
        parameters={"scale": 2},
        archive=zipped({"in/x.png": PNG, "in/y.txt": b"no image", "in/z.jpg": FILES["plain.jpg"]}),
        sources=[ZipSource(object="inputs/archive.zip"), PrefixSource(url=listed)],
        destination=f"{listed}/made",
        naming="{path}/{stem}-x{scale}.{ext}",
        names={"scale": 2},
    )
    job = cluster.wait(job)
    assert (job.state, job.counts.succeeded, job.counts.total) == (JobState.SUCCEEDED, 8, 8)
    assert [item.name for item in cluster.of(job)] == ["sent.png", "in/x.png", "in/z.jpg", *sorted(files)]
    made = cluster.stored("", open_area(f"{listed}/made"))
    names = ["sent-x2.png", "in/x-x2.png", "in/z-x2.png", *(f"album/{n:02} ä-x2.png" for n in range(5))]
    assert sorted(made) == sorted(names)
    assert all(Image.open(io.BytesIO(data)).size == (28, 36) for data in made.values())
    assert cluster.outputs(job) == {}


def test_bad_files_fail_by_themselves_and_are_tried_again(cluster: JobCluster, calls: httpx.Client) -> None:
    bad = {
        "empty.png": b"",
        "noise.png": secrets.token_bytes(200),
        "cut.png": PNG[: len(PNG) // 2],
        "text.txt": b"hello",
    }
    archive = bytearray(zipped({"in/ok.png": PNG, "in/broken.png": FILES["plain.jpg"]}))
    at = archive.index(b"in/broken.png") + 60
    archive[at : at + 8] = b"damaged!"
    job = cluster.make(
        {"good.png": PNG, **bad, "gone.png": PNG},
        parameters={"scale": 2},
        archive=bytes(archive),
        sources=[ZipSource(object="inputs/archive.zip")],
        leave_out=["gone.png"],
    )
    job = cluster.wait(job)
    cluster.check_counts(job)
    assert (job.state, job.counts.succeeded, job.counts.failed) == (JobState.SUCCEEDED, 2, 6)
    items = {item.name: item for item in cluster.of(job)}
    for name, content in bad.items():
        answer = calls.post("/v1/super-resolution", files={"image": content}, data={"model": "doubler"})
        said = {key: answer.json()[key] for key in ("type", "title", "status", "detail")}
        found = items[name].problem
        assert found is not None
        if name == "empty.png":  # a form without a file is what the endpoint complains of
            assert found["status"] == 422
        else:
            assert {key: found[key] for key in said} == said, name
    for name in ("gone.png", "in/broken.png"):
        assert items[name].problem is not None
        assert items[name].problem["type"].endswith("/input-unreadable")
    assert all(item.attempts == 1 for item in items.values())

    n = items["gone.png"].n
    cluster.put(f"{job.id}/", {f"inputs/{n}": PNG})
    job = cluster.wait(cluster.jobs.retry(job.id, cluster.client.enqueue_job))
    cluster.check_counts(job)
    assert (job.round, job.counts.succeeded, job.counts.failed) == (1, 3, 5)
    again = cluster.items.get(job, n)
    assert (again.state, again.problem, again.attempts) == (ItemState.SUCCEEDED, None, 1)


def test_a_job_that_cannot_be_listed_fails(cluster: JobCluster) -> None:
    job = cluster.make(archive=b"PK no archive", sources=[ZipSource(object="inputs/archive.zip")])
    job = cluster.wait(job)
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem["type"].endswith("/input-unreadable")
    nothing = cluster.wait(cluster.make(sources=[PrefixSource(url=f"{cluster.inputs}/nothing")]))
    assert nothing.state is JobState.FAILED
    assert nothing.problem is not None
    assert nothing.problem["type"].endswith("/no-inputs")


def test_cancelling_ten_thousand_items(cluster: JobCluster) -> None:
    job = cluster.make({"one.png": PNG}, parameters={"scale": 2})
    cluster.wait(job)
    items = [NewItem(f"{n}.png", UploadedFile(object="inputs/0", size=len(PNG))) for n in range(10_000)]
    name = new_job_id()
    cluster.put(f"{name}/", {"inputs/0": PNG})
    new = NewJob(name, "ann", job.spec, "normal", items=items)
    job, _ = cluster.jobs.create(new, cluster.client.enqueue_job)
    cluster.wait_until(job, lambda now: now.counts.succeeded >= 20)
    asked = time.monotonic()
    cluster.jobs.cancel(job.id)
    cancelled_at = database_now(cluster)
    ended = cluster.wait(job, 20)
    assert time.monotonic() - asked < 8  # of a machine that is busy otherwise; a second or two else
    assert ended.state is JobState.CANCELLED
    cluster.check_counts(ended)  # with which outputs are there
    assert ended.counts.cancelled > 9_000
    time.sleep(1)
    latest = sa.select(sa.func.max(ITEMS.c.started_at), sa.func.max(ITEMS.c.revision))
    begun, changed = cluster.database.read(
        lambda connection: connection.execute(latest.where(ITEMS.c.job == job.key)).one()
    )
    assert begun - cancelled_at < 2_000
    assert changed <= ended.revision, "an item changed after the job had ended"
    assert cluster.now(job).counts == ended.counts
    # Nothing of it stays in the queue, and the worker goes on with others.
    assert cluster.wait(cluster.make({"next.png": PNG}, parameters={"scale": 2})).counts.succeeded == 1


def database_now(cluster: JobCluster) -> int:
    query = sa.select(cluster.database.now)
    return int(cluster.database.read(lambda connection: connection.execute(query).scalar_one()))


def test_a_job_is_cancelled_before_anybody_took_it_up(start_cluster: Callable[..., JobCluster]) -> None:
    cluster = start_cluster()
    job = cluster.make({"a.png": PNG})
    cluster.jobs.cancel(job.id)
    cluster.start_worker()
    job = cluster.wait(job)
    assert (job.state, job.counts.cancelled) == (JobState.CANCELLED, 1)
    assert cluster.outputs(job) == {}
    # What was cancelled can be tried again.
    job = cluster.wait(cluster.jobs.retry(job.id, cluster.client.enqueue_job))
    assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, 1)


def test_items_wait_for_room_on_the_disk(start_cluster: Callable[..., JobCluster], tmp_path: Path) -> None:
    cluster = start_cluster(job_patience_seconds=3)
    full = tmp_path / "full"
    full.touch()
    cluster.start_worker(FullDisk, environment={"FULL": str(full)}).wait_ready()
    waits = cluster.make({f"{n}.png": PNG for n in range(3)}, parameters={"scale": 2})
    cluster.wait_until(waits, lambda now: now.counts.running == 3)
    time.sleep(0.5)
    assert cluster.now(waits).counts.done == 0
    full.unlink()
    waits = cluster.wait(waits)
    cluster.check_counts(waits)
    assert waits.counts.succeeded == 3
    assert {item.attempts for item in cluster.of(waits)} == {1}  # that storage is away is nobody's fault

    full.touch()
    fails = cluster.wait(cluster.make({"a.png": PNG}, parameters={"scale": 2}))
    (item,) = cluster.of(fails)
    assert (fails.state, item.state) == (JobState.FAILED, ItemState.FAILED)
    assert item.problem is not None
    assert item.problem["type"].endswith("/storage-unavailable")
    assert cluster.outputs(fails) == {}
    full.unlink()
    again = cluster.wait(cluster.jobs.retry(fails.id, cluster.client.enqueue_job))
    assert again.counts.succeeded == 1


def test_storage_that_refuses_outputs(
    server: TritonProcess, s3: S3Process, s3_environment: None, tmp_path: Path
) -> None:
    outputs = f"s3://outputs/{secrets.token_hex(4)}"
    cluster = JobCluster(
        server.grpc_url,
        f"sqlite:///{tmp_path}/jobs.db",
        (tmp_path / "artifacts").as_uri(),
        tmp_path,
        job_outputs=outputs,
    )
    try:
        cluster.start_worker(environment=s3.environment(READER_ID))
        job = cluster.wait(cluster.make({"a.png": PNG, "b.png": PNG}, destination=outputs))
        assert (job.state, job.counts.failed) == (JobState.FAILED, 2)
        for item in cluster.of(job):
            assert item.problem is not None
            assert item.problem["type"].endswith("/output-refused")
    finally:
        cluster.close()


def test_what_is_over_disappears_and_uploads_without_job_too(
    start_cluster: Callable[..., JobCluster],
) -> None:
    cluster = start_cluster(job_retention_seconds=2, job_upload_grace_seconds=1)
    uploads = UploadStore(cluster.database)
    abandoned, going_on = new_job_id(), new_job_id()
    for name in (abandoned, going_on):
        uploads.begin(name)
        cluster.put(f"{name}/", {"inputs/0": PNG})
    touching = threading.Event()

    def touch() -> None:
        while not touching.wait(0.2):
            assert uploads.touch(going_on)

    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        cluster.start_worker()
        job = cluster.make({"a.png": PNG, "b.png": b""}, parameters={"scale": 2})
        cluster.wait(job)
        deadline = time.monotonic() + 30
        while [name for name in cluster.stored() if not name.startswith(f"{going_on}/")]:
            assert time.monotonic() < deadline, sorted(cluster.stored())
            time.sleep(0.1)
    finally:
        touching.set()
        toucher.join()
    assert list(cluster.stored()) == [f"{going_on}/inputs/0"]
    tables = (sa.select(sa.func.count()).select_from(table) for table in (JOBS, ITEMS))
    while any(cluster.database.read(lambda c, q=query: c.execute(q).scalar_one()) for query in tables):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert cluster.workflows(job) == []
