"""What large images cost the gateway, with models so small that it is the gateway that is measured."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.tiling import plan_grid
from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.integration.test_super_resolution import picture
from tests.toy_image_models import toy_image, write_toy_image_model
from tests.triton_process import TritonProcess

URL = "/v1/super-resolution"
MIB = 1 << 20


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    repository = tmp_path_factory.mktemp("toys")
    write_toy_image_model(repository, "larger", 4)
    write_toy_image_model(repository, "reaching", 2, receptive_radius=100, max_size=400)
    write_toy_image_model(repository, "unbounded", 2, tileable=False, receptive_radius=None, max_size=64)
    write_toy_image_model(repository, "demanding", 3, min_size=9, max_size=50)
    write_toy_image_model(repository, "plain", resolution=None)
    write_toy_image_model(repository, "striding", size_multiple=16, receptive_radius=20, max_size=100)
    process = TritonProcess(repository, tmp_path_factory.mktemp("triton") / "log").start()
    yield process
    process.close()


@pytest.fixture(scope="module")
def gateway(toys: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(toys.grpc_url, tmp_path_factory.mktemp("gateway") / "log", upscale_tile=128)
    process.wait_ready()
    yield process
    process.close()


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def png(pixels: np.ndarray) -> bytes:
    return saved(Image.fromarray(pixels), "PNG")


def enlarge(http: httpx.Client, pixels: np.ndarray, model: str = "larger", **fields: str) -> httpx.Response:
    return http.post(
        URL,
        files={"image": png(pixels)},
        data={"model": model, **fields},
        headers={"prefer": "wait=200"},
        timeout=210,
    )


def shown(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def growth(gateway: GatewayProcess, work: Callable[[], Any]) -> tuple[int, Any]:
    """By how many MiB the gateway's memory rises above what it was, and what the work gave."""
    before, peak, done = gateway.rss(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], gateway.rss())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    return (peak[0] - before) // MIB, result


def far_off(made: np.ndarray, pixels: np.ndarray) -> int:
    """By how many levels an image enlarged by `larger` is wrong at most; a part at a time, as it is large."""
    expected = toy_image(pixels).astype(np.int16)[: len(made) // 4]
    return max(
        int(np.abs(made[y::4, x::4].astype(np.int16) - expected).max()) for y in range(4) for x in range(4)
    )


@pytest.mark.parametrize("fields", [{}, {"format": "jpeg"}])
def test_24_megapixels_in_the_memory_of_rows(
    gateway: GatewayProcess, http: httpx.Client, fields: dict[str, str]
) -> None:
    """The image alone would be 69 MiB as sent out, and Pillow's encoders would hold it twice."""
    pixels = picture(1250, 1200)
    rise, answer = growth(gateway, lambda: enlarge(http, pixels, **fields))
    made = shown(answer)
    assert made.shape == (5000, 4800, 3)
    if not fields:
        assert answer.headers["x-pixels-sha256"] == hashlib.sha256(made.tobytes()).hexdigest()
        assert far_off(made, pixels) <= 1
    else:
        assert far_off(made[:400], pixels[:101]) < 60
    print(f"memory grew by {rise} MiB for {fields}")
    assert rise < 120  # 24 of them to decode the image, the rest for rows of tiles on their way


def test_a_taller_image_takes_no_more(gateway: GatewayProcess, http: httpx.Client) -> None:
    narrow = picture(64, 250)
    few, _ = growth(gateway, lambda: enlarge(http, np.tile(narrow, (10, 1, 1))))
    many, answer = growth(gateway, lambda: enlarge(http, np.tile(narrow, (90, 1, 1))))
    assert shown(answer).shape == (64 * 90 * 4, 1000, 3)
    print(f"memory grew by {few} MiB, and by {many} MiB for nine times the height")
    assert many < few + 45  # sent in, nine times larger: 4 MB of pixels, 16 bytes each while decoded


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (129, 131), (1000, 77), (128, 128)])
def test_exact_at_any_size(http: httpx.Client, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    assert np.abs(shown(enlarge(http, pixels)) - toy_image(pixels, 4)).max() <= 1


def test_triton_puts_tiles_into_batches(toys: TritonProcess, http: httpx.Client) -> None:
    def counted(metric: str) -> int:
        lines = httpx.get(toys.metrics_url, trust_env=False).text.splitlines()
        return int(
            sum(float(line.split()[-1]) for line in lines if line.startswith(metric + '{model="larger"'))
        )

    tiles, batches = counted("nv_inference_count"), counted("nv_inference_exec_count")
    shown(enlarge(http, picture(900, 900)))
    tiles, batches = counted("nv_inference_count") - tiles, counted("nv_inference_exec_count") - batches
    assert tiles == plan_grid(900, 900, 128, 1).tiles == 64
    assert batches <= 32


def test_tiles_grow_with_the_reach_of_a_model(http: httpx.Client) -> None:
    """The tile asked for, 128 pixels, would keep nothing of a radius of 100."""
    pixels = picture(300, 900)
    assert np.abs(shown(enlarge(http, pixels, "reaching")) - toy_image(pixels, 2)).max() <= 1


def test_a_model_that_cannot_be_tiled_and_one_that_wants_more(http: httpx.Client) -> None:
    pixels = picture(64, 60)
    assert np.abs(shown(enlarge(http, pixels, "unbounded")) - toy_image(pixels, 2)).max() <= 1
    answer = enlarge(http, picture(65, 60), "unbounded")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/image-exceeds-model")
    for size in ((1, 1), (3, 200), (8, 9)):
        pixels = picture(*size)
        larger = np.pad(pixels, [(0, max(0, 9 - size[0])), (0, max(0, 9 - size[1])), (0, 0)], mode="edge")
        expected = toy_image(larger, 3)[: size[0] * 3, : size[1] * 3]
        assert np.abs(shown(enlarge(http, pixels, "demanding")) - expected).max() <= 1


def test_translators_in_tiles_and_without_a_resolution(http: httpx.Client) -> None:
    pixels = picture(211, 333)
    for model in ("striding", "plain"):
        answer = http.post("/v1/translate", files={"image": png(pixels)}, data={"model": model})
        assert np.abs(shown(answer) - toy_image(pixels)).max() <= 1
    answer = http.post("/v1/translate", files={"image": png(pixels)}, data={"model": "plain", "fit": "pad"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "fit")


def test_many_calls_at_once_and_no_file_left_open(gateway: GatewayProcess, http: httpx.Client) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))

    pixels = picture(500, 400)
    shown(enlarge(http, pixels))
    before = open_files()
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(enlarge(http, pixels, format="webp")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 503}
    hashes = {answer.headers["x-pixels-sha256"] for answer in answers if answer.status_code == 200}
    assert len(hashes) == 1
    for _ in range(5):
        with pytest.raises(httpx.ReadTimeout):
            http.post(URL, files={"image": png(pixels)}, data={"model": "larger"}, timeout=0.05)
    deadline = time.monotonic() + 20
    while open_files() > before + 2:
        assert time.monotonic() < deadline, open_files() - before
        time.sleep(0.1)
