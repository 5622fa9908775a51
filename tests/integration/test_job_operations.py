"""What a worker makes of an item is, byte for byte, what the interactive endpoint answers."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.api.errors.problems import ProblemError
from service.jobs.operations import check_operation, item_problem, read_operation
from service.jobs.produced import NotNowError, Produced
from service.jobs.runtime import Runtime
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.gateway_process import GatewayProcess
from tests.hostile_images import CASES, Case
from tests.image_files import orientation_exif, saved
from tests.toy_image_models import write_toy_image_model
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

StartTriton = Callable[[Path], TritonProcess]
# Of a call, and of no item.
OF_THE_CALL = ("instance", "request_id")


def write_models(path: Path) -> Path:
    write_toy_repository(path, transforms=True)
    write_toy_image_model(path, "large", 3)
    write_toy_image_model(path, "draw", resolution=32)
    write_toy_image_model(path, "whole", 2, receptive_radius=None, tileable=False, max_size=64)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    repository = write_models(tmp_path_factory.mktemp("models"))
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


@asynccontextmanager
async def runtime(triton: TritonProcess, **settings: Any) -> AsyncIterator[Runtime]:
    made = Settings(triton_url=triton.grpc_url, **{"upscale_tile": 32, **settings})
    async with Runtime(made, Metrics()) as running:
        for _ in range(200):
            if len(running.engine.catalog.names) == 4:
                break
            await asyncio.sleep(0.05)
            await running.engine.catalog.refresh()
        yield running


def with_runtime(
    triton: TritonProcess, work: Callable[[Runtime], Coroutine[Any, Any, Any]], **settings: Any
) -> Any:
    async def run() -> Any:
        async with runtime(triton, **settings) as running:
            return await work(running)

    return asyncio.run(run())


def picture(height: int, width: int, channels: int = 3) -> Image.Image:
    random = np.random.RandomState(height * 4099 + width)
    return Image.fromarray(random.randint(0, 256, (height, width, channels)).astype(np.uint8))


PLAIN = saved(picture(61, 47), "PNG")
CLEAR = saved(picture(40, 33, 4), "PNG")
TURNED = saved(picture(30, 50), "JPEG", quality=90, exif=orientation_exif(6))
MOVING = saved(picture(20, 20), "GIF", save_all=True, append_images=[picture(20, 20).rotate(90)])


async def images(running: Runtime, name: str, model: str, file: bytes, **parameters: Any) -> Produced:
    return await running.run_image(read_operation(name, model, parameters), file)


async def seeds(running: Runtime, wanted: list[int], **parameters: Any) -> list[Produced]:
    operation = read_operation("generate", "toy", parameters)
    async with aclosing(running.run_seeds(operation, wanted)) as made:
        return [one async for one in made]


@pytest.mark.parametrize(
    ("name", "model", "file", "parameters"),
    [
        ("super-resolution", "large", PLAIN, {}),
        ("super-resolution", "large", PLAIN, {"format": "jpeg", "quality": 80, "scale": 2.3}),
        ("super-resolution", "large", CLEAR, {"format": "webp"}),
        ("super-resolution", "large", CLEAR, {"background": "#203040", "format": "jpeg"}),
        ("super-resolution", "large", TURNED, {"keep_exif": True}),
        ("super-resolution", "large", MOVING, {"frame": 1}),
        ("translate", "draw", PLAIN, {}),
        ("translate", "draw", PLAIN, {"fit": "pad", "background": "#ff0000", "restore": True}),
        ("translate", "draw", CLEAR, {"fit": "crop", "alpha": "keep", "format": "webp", "quality": 60}),
        ("translate", "draw", TURNED, {"fit": "resize", "format": "jpeg", "keep_exif": True}),
    ],
)
def test_images_are_those_of_the_endpoint(
    server: TritonProcess, calls: httpx.Client, name: str, model: str, file: bytes, parameters: dict[str, Any]
) -> None:
    fields = {key: str(value).lower() for key, value in parameters.items()}
    answer = calls.post(f"/v1/{name}", files={"image": file}, data={"model": model, **fields})
    assert answer.status_code == 200, answer.text

    async def work(running: Runtime) -> None:
        made = await images(running, name, model, file, **parameters)
        with made.file as opened:
            data = opened.read()
        assert data == answer.content
        assert made.size == len(data)
        assert made.media_type == answer.headers["content-type"]
        assert made.pixels_sha256 == made.recipe["pixels_sha256"] == answer.headers["x-pixels-sha256"]
        assert f"{made.width}x{made.height}" == answer.headers["x-image-size"]
        assert made.model_digest == answer.headers["x-model-digest"]
        assert set(made.timings) == {"queue", "infer", "encode"}
        assert all(seconds >= 0 for seconds in made.timings.values())

    with_runtime(server, work)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"truncation": 0.6, "truncation_cutoff": 2, "format": "jpeg", "quality": 70},
        {"noise": 5, "format": "webp", "rotation": 30, "translation": [0.25, -0.5]},
    ],
)
def test_seeds_are_those_of_single_calls(
    server: TritonProcess, calls: httpx.Client, parameters: dict[str, Any]
) -> None:
    wanted = [*range(18), 4294967295]

    async def work(running: Runtime) -> list[Produced]:
        return await seeds(running, wanted, **parameters)

    made = with_runtime(server, work)
    assert len(made) == len(wanted)
    accept = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}[parameters.get("format", "png")]
    for seed, one in zip(wanted, made, strict=True):
        body = {"model": "toy", "seeds": [seed], **parameters}
        answer = calls.post("/v1/generate", json=body, headers={"accept": accept})
        assert one.file.read() == answer.content, seed
        assert one.pixels_sha256 == answer.headers["x-pixels-sha256"]
        assert one.recipe["seed"] == seed
        assert one.extension == {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}[accept]


def test_a_bad_image_has_the_problem_that_a_call_has(server: TritonProcess, calls: httpx.Client) -> None:
    bad = [case for case in CASES if len(case.data) < 1 << 20]
    assert len(bad) > 20

    async def work(running: Runtime) -> dict[str, dict[str, Any] | None]:
        return {case.name: await problem_of(running, case) for case in bad}

    async def problem_of(running: Runtime, case: Case) -> dict[str, Any] | None:
        try:
            made = await images(running, "super-resolution", "large", case.data)
        except ProblemError as error:
            return item_problem(error)
        made.file.close()
        return None

    found = with_runtime(server, work)
    for case in bad:
        answer = calls.post("/v1/super-resolution", files={"image": case.data}, data={"model": "large"})
        said = None if answer.status_code == 200 else answer.json()
        if said is not None:
            said = {key: value for key, value in said.items() if key not in OF_THE_CALL}
        assert found[case.name] == said, case.name
    assert sum(problem is not None for problem in found.values()) > 10


@pytest.mark.parametrize(
    ("model", "file", "parameters", "slug"),
    [
        ("nothing", PLAIN, {}, "model-not-found"),
        ("toy", PLAIN, {}, "wrong-model-kind"),
        ("large", b"", {}, "image-unreadable"),
        ("large", PLAIN + b" " * (1 << 20), {}, "body-too-large"),
        ("large", saved(picture(90, 90), "PNG"), {"format": "webp"}, "output-too-large"),
        ("large", CLEAR, {"format": "jpeg"}, "invalid-request"),
        ("whole", saved(picture(65, 3), "PNG"), {}, "image-exceeds-model"),
    ],
)
def test_what_is_final(
    server: TritonProcess, model: str, file: bytes, parameters: dict[str, Any], slug: str
) -> None:
    async def work(running: Runtime) -> None:
        with pytest.raises(ProblemError) as caught:
            await images(running, "super-resolution", model, file, **parameters)
        assert caught.value.problem.slug == slug
        made = await images(running, "super-resolution", "large", PLAIN)  # and nothing is left of it
        assert running.engine.queue_for(running.engine.catalog.get("large")).admitted == 0
        made.file.close()

    with_runtime(server, work, max_upload_bytes=1 << 20, max_webp_pixels=200 * 200)


def test_a_job_can_be_held_to_one_digest(server: TritonProcess) -> None:
    async def work(running: Runtime) -> None:
        digest = running.engine.catalog.get("large").digest
        right = read_operation("super-resolution", "large", {}, digest)
        wrong = read_operation("super-resolution", "large", {}, "0" * 64)
        assert check_operation(running.engine, right).digest == digest
        made = await running.run_image(right, PLAIN)
        assert made.model_digest == digest
        made.file.close()
        for attempt in (lambda: running.run_image(wrong, PLAIN), lambda: anext(seeds_of(running, "0" * 64))):
            with pytest.raises(ProblemError) as caught:
                await attempt()
            assert caught.value.problem.slug == "digest-mismatch"

    def seeds_of(running: Runtime, digest: str) -> AsyncIterator[Produced]:
        return running.run_seeds(read_operation("generate", "toy", {}, digest), [1])

    with_runtime(server, work)


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it is so, which has to be within half a minute."""
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never was")


async def tiles_made(running: Runtime, count: int) -> None:
    """Returns once the worker has so many tiles."""
    made = running.engine.metrics.images.labels("large")._value
    await until(lambda: made.get() >= count)


def tiles_computed(triton: TritonProcess, model: str) -> int:
    stats = httpx.get(f"{triton.http_url}/v2/models/{model}/stats", trust_env=False).json()
    return int(stats["model_stats"][0]["inference_count"])


def test_a_cancelled_image_stops_at_the_next_tile(server: TritonProcess, tmp_path: Path) -> None:
    file = saved(picture(1000, 1000), "PNG")

    async def work(running: Runtime) -> None:
        before = tiles_computed(server, "large")
        item = asyncio.create_task(images(running, "super-resolution", "large", file))
        await tiles_made(running, 20)
        item.cancel()
        cancelled = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await item
        assert time.perf_counter() - cancelled < 1
        at_once = tiles_computed(server, "large")
        await asyncio.sleep(0.5)
        window = running.engine.catalog.get("large").window
        assert tiles_computed(server, "large") - at_once <= window
        assert tiles_computed(server, "large") - before < 1000  # of more than 2,000
        assert running.engine.queue_for(running.engine.catalog.get("large")).admitted == 0

    with_runtime(server, work)


def test_seeds_that_nobody_takes_any_more_are_not_made(server: TritonProcess) -> None:
    async def work(running: Runtime) -> None:
        operation = read_operation("generate", "toy", {})
        before = tiles_computed(server, "toy-synthesis")
        async with aclosing(running.run_seeds(operation, range(1600))) as made:
            await anext(made)
        await asyncio.sleep(0.3)
        assert tiles_computed(server, "toy-synthesis") - before <= 4 * 16
        assert running.engine.queue_for(running.engine.catalog.get("toy")).admitted == 0

    with_runtime(server, work)


def test_triton_killed_meanwhile_is_no_fault_of_the_item(start_triton: StartTriton, tmp_path: Path) -> None:
    triton = start_triton(write_models(tmp_path / "models"))
    file = saved(picture(1000, 1000), "PNG")

    async def work(running: Runtime) -> None:
        item = asyncio.create_task(images(running, "super-resolution", "large", file))
        await tiles_made(running, 20)
        await asyncio.to_thread(triton.kill)
        with pytest.raises(NotNowError) as caught:
            await asyncio.wait_for(item, 20)
        assert caught.value.reason == "triton-unavailable"
        assert caught.value.suspect  # it may be what killed it
        for attempt in (images(running, "super-resolution", "large", PLAIN), seeds(running, [1])):
            with pytest.raises(NotNowError) as caught:
                await attempt
            assert (caught.value.reason, caught.value.suspect) == ("triton-unavailable", False)
        await asyncio.to_thread(triton.start)
        made = None
        for _ in range(100):
            try:
                made = await images(running, "super-resolution", "large", PLAIN)
                break
            except NotNowError:
                await asyncio.sleep(0.1)
        assert made is not None
        made.file.close()

    with_runtime(triton, work)


def test_a_model_that_is_not_loaded_may_be_later(start_triton: StartTriton, tmp_path: Path) -> None:
    triton = start_triton(write_models(tmp_path / "models"))

    async def work(running: Runtime) -> None:
        await running.engine.triton.unload("large", 10)
        await running.engine.catalog.refresh()
        with pytest.raises(NotNowError) as caught:
            await images(running, "super-resolution", "large", PLAIN)
        assert (caught.value.reason, caught.value.suspect) == ("model-unavailable", False)
        shutil.rmtree(triton.repository / "large")
        with pytest.raises(ProblemError) as gone:
            await images(running, "super-resolution", "large", PLAIN)
        assert gone.value.problem.slug == "model-not-found"

    with_runtime(triton, work)


def test_no_item_names_other_weights_than_made_it(start_triton: StartTriton, tmp_path: Path) -> None:
    """A gateway has the model reloaded, which nobody tells the worker."""
    folders = [
        write_toy_repository(tmp_path / "a", transforms=True),
        write_toy_repository(tmp_path / "b", extra_milliseconds=1, patterns=2, transforms=True),
    ]
    hashes = [{seed: toy_sha256(folder, seed) for seed in range(8)} for folder in folders]
    served = write_models(tmp_path / "served")
    triton = start_triton(served)

    async def work(running: Runtime) -> None:
        digests = [running.engine.catalog.get("toy").digest]
        found: set[tuple[str, int, str]] = set()
        put_off: set[tuple[str, bool]] = set()

        async def worker() -> None:
            while True:
                try:
                    for one in await seeds(running, list(range(8))):
                        found.add((one.model_digest, one.recipe["seed"], one.pixels_sha256))
                except NotNowError as error:
                    put_off.add((error.reason, error.suspect))

        working = [asyncio.create_task(worker()) for _ in range(3)]
        for folder in (*reversed(folders), folders[1]):
            await asyncio.sleep(0.3)
            shutil.copytree(folder / "toy-synthesis", served / "toy-synthesis", dirs_exist_ok=True)
            await running.engine.triton.load("toy-synthesis", 20)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await running.engine.catalog.refresh()
        digests += {digest for digest, _, _ in found} - {digests[0]}
        assert len(digests) == 2
        expected = {
            (digest, seed, sha256)
            for digest, of_seeds in zip(digests, hashes, strict=True)
            for seed, sha256 in of_seeds.items()
        }
        assert found == expected
        assert put_off == {("model-unavailable", False)}

    with_runtime(triton, work, catalog_refresh_seconds=60)


def test_an_item_that_takes_too_long_is_given_up(start_triton: StartTriton, tmp_path: Path) -> None:
    triton = start_triton(write_models(tmp_path / "models"))

    async def work(running: Runtime) -> None:
        with pytest.raises(NotNowError) as caught:
            await images(running, "super-resolution", "large", saved(picture(1000, 1000), "PNG"))
        assert (caught.value.reason, caught.value.suspect) == ("deadline-exceeded", True)

    with_runtime(triton, work, job_item_timeout_seconds=0.3)


def test_an_interactive_call_waits_for_little_of_what_a_worker_has(
    start_triton: StartTriton, tmp_path: Path
) -> None:
    """Counted in images, not in time: a tenth of a second of work is five; two batches would be 32."""
    repository = write_models(tmp_path / "models")
    shutil.rmtree(repository / "toy-synthesis")
    triton = start_triton(write_toy_repository(repository, extra_milliseconds=20))

    async def work(running: Runtime) -> list[int]:
        operation = read_operation("generate", "toy", {})
        images_made = running.engine.metrics.images.labels("toy")._value

        async def chunks() -> None:
            while True:
                async with aclosing(running.run_seeds(operation, range(16))) as made:
                    async for one in made:
                        one.file.close()

        overtaken = []
        async with Runtime(running.engine.settings, Metrics()) as gateway:  # a connection of its own
            working = [asyncio.create_task(chunks()) for _ in range(4)]
            for wanted in (48, 80, 112, 144):
                await until(lambda wanted=wanted: images_made.get() >= wanted)
                before = images_made.get()
                await seeds(gateway, [7])
                overtaken.append(images_made.get() - before)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        return overtaken

    overtaken = with_runtime(triton, work)
    assert max(overtaken) <= 12, overtaken
