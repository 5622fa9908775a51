"""What the export writes, of every kind and format, in the embedded Triton and behind the gateway."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.grpc as grpc

from service.embedded import tritonserver
from tests.exported_models import CLASSES, read_config
from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess

GENERATORS = ["tiny", "tiny-torchscript", "digits"]
SERVED = {"tiny": "generator", "tiny-torchscript": "generator", "digits": "generator"}
SERVED |= {"sketch": "translator", "sketch-torchscript": "translator", "larger": "upscaler"}
SERVED |= {"sketch-mnn": "translator", "larger-mnn": "upscaler"}


@pytest.fixture(scope="module")
def triton(exported_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    """A Triton that serves exported models of every kind and format."""
    repository = tmp_path_factory.mktemp("served")
    for name, kind in SERVED.items():
        for role in ("-mapping", "-synthesis") if kind == "generator" else ("",):
            shutil.copytree(exported_repository / (name + role), repository / (name + role))
    process = TritonProcess(repository, tmp_path_factory.mktemp("triton") / "log").start()
    yield process
    process.close()


@pytest.fixture(scope="module")
def gateway(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(triton.grpc_url, tmp_path_factory.mktemp("gateway") / "log")
    process.wait_ready()
    yield process
    process.close()


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def pixels(http: httpx.Client, model: str, **parameters: object) -> np.ndarray:
    answer = http.post(
        "/v1/generate", json={"model": model, **parameters}, headers={"accept": "application/x-npy"}
    )
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def translate(triton: TritonProcess, model: str, images: np.ndarray) -> np.ndarray:
    tensor = grpc.InferInput("source", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images)
    client = grpc.InferenceServerClient(triton.grpc_url)
    return client.infer(model, [tensor]).as_numpy("images")


def test_every_model_is_served(triton: TritonProcess, http: httpx.Client) -> None:
    index = triton.index()
    assert {entry["state"] for entry in index.values()} == {"READY"}, index
    cards = {card["name"]: card for card in http.get("/v1/models").json()["data"]}
    assert {name: card["kind"] for name, card in cards.items()} == SERVED
    assert cards["tiny"]["classes"] == CLASSES
    assert [d["name"] for d in cards["tiny"]["directions"]] == [f"direction-{i:02d}" for i in range(1, 9)]


@pytest.mark.parametrize("model", GENERATORS)
def test_a_generator_serves_its_golden_hashes(http: httpx.Client, exported_repository, model: str) -> None:
    """`tiny` has classes and edit directions: neither is asked for, so the first class and no edit."""
    golden = read_config(exported_repository, f"{model}-synthesis")[1]["golden"]
    label = {} if golden["label"] is None else {"label": golden["label"]}
    answer = http.post("/v1/generate", json={"model": model, "seeds": [0, 1, 2, 3], **label}).json()
    assert {str(item["seed"]): item["pixels_sha256"] for item in answer["data"]} == golden["pixels_sha256"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"truncation": 0.6, "noise": 7, "label": 2},
        {"truncation_cutoff": 2, "truncation": 0.5, "noise": "none", "label": 1},
    ],
)
def test_both_formats_make_the_same_pixels(http: httpx.Client, parameters: dict[str, object]) -> None:
    onnx = pixels(http, "tiny", seed=0, n=20, **parameters)
    torchscript = pixels(http, "tiny-torchscript", seed=0, n=20, **parameters)
    assert onnx.std() > 10
    assert np.abs(onnx.astype(int) - torchscript).max() <= 1


def test_noise_changes_nothing_where_there_is_none(http: httpx.Client) -> None:
    plain = pixels(http, "digits", seeds=[0, 1])
    for noise in ("none", 3):
        np.testing.assert_array_equal(pixels(http, "digits", seeds=[0, 1], noise=noise), plain)


@pytest.mark.parametrize(
    ("model", "scale"),
    [("sketch", 1), ("sketch-torchscript", 1), ("sketch-mnn", 1), ("larger", 3), ("larger-mnn", 3)],
)
def test_images_of_any_size(triton: TritonProcess, exported_repository: Path, model: str, scale: int) -> None:
    name, _, other = model.partition("-")
    session = ort.InferenceSession(exported_repository / name / "1" / "model.onnx")
    for n, height, width in ((1, 16, 16), (3, 23, 40), (8, 1, 9)):
        images = np.random.RandomState(n).randint(0, 256, (n, height, width, 3), dtype=np.uint8)
        served = translate(triton, model, images)
        assert served.shape == (n, height * scale, width * scale, 3)
        expected = session.run(["images"], {"source": images})[0]
        assert np.abs(served.astype(int) - expected).max() <= (1 if other else 0)


def test_without_pytorch_and_mnn_other_models_serve_on(
    tmp_path: Path, exported_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models"
    for model in ("larger", "larger-torchscript", "larger-mnn"):
        shutil.copytree(exported_repository / model, repository / model)
    make_environment: Callable[[Path], None] = tritonserver._make_environment

    def without_torch(path: Path) -> None:
        make_environment(path)
        (packages,) = path.glob("lib/*/site-packages")
        for hidden in ("torch", "MNN"):
            (packages / f"{hidden}.py").write_text("raise ImportError('hidden by a test')")

    monkeypatch.setattr(tritonserver, "_make_environment", without_torch)
    process = TritonProcess(repository, tmp_path / "log").start()
    try:
        index = process.index()
    finally:
        process.close()
    assert index["larger"]["state"] == "READY"
    assert index["larger-torchscript"]["state"] != "READY"
    assert "PyTorch is not installed" in index["larger-torchscript"]["reason"]
    assert index["larger-mnn"]["state"] != "READY"
    assert "install ganserve[mnn]" in index["larger-mnn"]["reason"]
