"""Other people's checkpoints, from `gantrain import` to pixels over HTTP, against their own tensors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.training.importers import tiny_stylegan2, tiny_stylegan3, tiny_translators, tiny_upscalers
from tests.training.importers.nvidia_container import write_pickle
from tests.triton_process import TritonProcess
from training.cli import app
from training.importers.base import Imported
from training.importers.files.reading import read_weights
from training.importers.table import recognise
from training.pixels import to_uint8, to_unit_range

LICENCE_URL = "https://example.com/terms"


def stylegan2(folder: Path) -> Path:
    """A snapshot of NVIDIA's training, of three classes; its averaged generator is another one."""
    networks = {
        name: tiny_stylegan2.nvidia((6, 6), c_dim=3, seed=seed) for seed, name in enumerate(("G", "G_ema"))
    }
    return write_pickle(folder / "network-snapshot-000100.pkl", networks)


def stylegan3(folder: Path) -> Path:
    """A pickle of StyleGAN3-R: turned by a quarter, it makes its own picture turned."""
    generator = tiny_stylegan3.nvidia(num_layers=2, **tiny_stylegan3.R)
    return write_pickle(folder / "stylegan3-r.pkl", {"G_ema": generator})


def translator(folder: Path) -> Path:
    """A generator of CycleGAN, as its training leaves it behind."""
    path = folder / "latest_net_G_A.pth"
    torch.save(tiny_translators.resnet(blocks=1, legacy=True), path)
    return path


def upscaler(folder: Path) -> Path:
    """An upscaler of Real-ESRGAN; its averaged weights are other ones."""
    path = folder / "realesr-tiny.pth"
    averaged = tiny_upscalers.compact(4, blocks=1)
    torch.save({"params": {k: 2 * v for k, v in averaged.items()}, "params_ema": averaged}, path)
    return path


@dataclass(frozen=True)
class Case:
    """A checkpoint: who writes it, what it must be served as, and how its terms are told."""

    write: Any
    kind: str
    part: str
    terms: tuple[str, ...] = ("--licence", "CC-BY-NC-4.0", "--licence-url", LICENCE_URL)
    said: dict[str, Any] = field(
        default_factory=lambda: {
            "licence": "CC-BY-NC-4.0",
            "licence_url": LICENCE_URL,
            "commercial_use": False,
            "notice": f"Not for commercial use: its weights are under CC-BY-NC-4.0, see {LICENCE_URL}.",
        }
    )


FREE = ("--licence", "MIT")
UNKNOWN = ("--licence", "unknown")
CASES = {
    "cats": Case(stylegan2, "generator", "G_ema"),
    "wild": Case(stylegan3, "generator", "G_ema"),
    "horse-to-zebra": Case(translator, "translator", "", FREE, {"licence": "MIT", "commercial_use": True}),
    "photo-real": Case(
        upscaler, "upscaler", "params_ema", UNKNOWN, {"licence": "unknown", "commercial_use": None}
    ),
}


@dataclass(frozen=True)
class Served:
    """A gateway over all that was imported, and what the files themselves compute."""

    gateway: GatewayProcess
    files: dict[str, Path]

    def reference(self, name: str) -> Imported:
        return recognise(read_weights(self.files[name])).build()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each file imported by the command, and all of them in one Triton."""
    folder = tmp_path_factory.mktemp("imported")
    files = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.cli.keep_freed_memory", lambda: None)  # this process has other tests to do
        for name, case in CASES.items():
            (folder / name).mkdir()
            files[name] = case.write(folder / name)
            arguments = ["import", str(files[name]), "--name", name, *case.terms]
            arguments += ["--repository", str(folder / "models"), "--out", str(folder / name / "report")]
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
    triton = TritonProcess(folder / "models", folder / "triton.log").start()
    gateway = GatewayProcess(triton.grpc_url, folder / "gateway.log")
    gateway.wait_ready()
    yield Served(gateway, files)
    gateway.close()
    triton.close()


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with served.gateway.client() as client:
        yield client


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([x * 255 // width, y * 255 // height, (x * x + 3 * y * y) % 256], axis=-1)
    return ramps.astype(np.uint8)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def levels(image: torch.Tensor) -> np.ndarray:
    return to_uint8(image).permute(0, 2, 3, 1).numpy()


def sent(http: httpx.Client, path: str, model: str, pixels: np.ndarray) -> np.ndarray:
    file = saved(Image.fromarray(pixels), "PNG")
    answer = http.post(f"/v1/{path}", files={"image": file}, data={"model": model})
    assert answer.status_code == 200, answer.text
    with Image.open(BytesIO(answer.content)) as image:
        return np.asarray(image)


def generated(http: httpx.Client, **body: Any) -> np.ndarray:
    answer = http.post("/v1/generate", json=body, headers={"accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    return np.load(BytesIO(answer.content))


def within_a_level(made: np.ndarray, expected: np.ndarray) -> None:
    assert made.shape == expected.shape
    assert made.std() > 5  # of something
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_cards_say_what_was_imported_and_under_what_terms(http: httpx.Client, served: Served) -> None:
    cards = {card["name"]: card for card in http.get("/v1/models").json()["data"]}
    assert cards.keys() == CASES.keys()
    for name, case in CASES.items():
        card = cards[name]
        assert (card["kind"], card["state"], card["golden"]["state"]) == (case.kind, "READY", "exact")
        said = {key: card.get(key) for key in ("licence", "licence_url", "commercial_use", "notice")}
        assert said == {"licence_url": None, "notice": None, **case.said}, name
        origin, stored = card["imported_from"], read_weights(served.files[name])
        assert (origin["file"], origin["sha256"]) == (stored.path.name, stored.sha256)
        assert origin["part"] == case.part
        report = json.loads((served.files[name].parent / "report" / "import.json").read_text())
        assert report["proof"]["max_level_error"] <= 1
        assert report["sha256"] == origin["sha256"]


@torch.no_grad()
@pytest.mark.parametrize(("name", "label"), [("cats", 2), ("wild", None)])
def test_a_generator_makes_the_pixels_of_its_file(
    http: httpx.Client, served: Served, name: str, label: int | None
) -> None:
    imported = served.reference(name)
    z = np.stack([np.random.RandomState(seed).randn(imported.network.mapping.z_dim) for seed in range(10)])
    latents = torch.from_numpy(z.astype(np.float32))
    of_class = None if label is None else torch.eye(3)[[label] * 10]
    for truncation in (1.0, 0.6):
        body: dict[str, Any] = {"model": name, "seed": 0, "n": 10, "truncation": truncation}
        made = generated(http, **body, **({} if label is None else {"label": label}))
        within_a_level(made, levels(imported.reference(latents, of_class, truncation)))


@torch.no_grad()
def test_stylegan3_turns_and_moves_its_picture(http: httpx.Client, served: Served) -> None:
    """By a quarter counter-clockwise, and by whole pixels to the right and down, which is exact."""
    z = torch.from_numpy(np.random.RandomState(4).randn(1, 6).astype(np.float32))
    expected = levels(served.reference("wild").reference(z, None, 1.0))
    assert http.get("/v1/models/wild").json()["transforms"] == ["rotation", "translation"]
    turned = generated(http, model="wild", seeds=[4], rotation=90)
    within_a_level(turned, np.rot90(expected, axes=(1, 2)))
    moved = generated(http, model="wild", seeds=[4], translation=[4 / 16, 2 / 16])
    within_a_level(moved[:, 2:, 4:], expected[:, :-2, :-4])
    refused = http.post("/v1/generate", json={"model": "cats", "seeds": [4], "label": 0, "rotation": 90})
    assert refused.status_code == 422


@torch.no_grad()
def test_a_translator_makes_the_pixels_of_its_file(http: httpx.Client, served: Served) -> None:
    pixels = picture(36, 48)
    made = sent(http, "translate", "horse-to-zebra", pixels)
    expected = served.reference("horse-to-zebra").reference(to_unit_range(tensor(pixels)))
    within_a_level(made, levels(expected)[0])


@torch.no_grad()
def test_an_upscaler_makes_the_pixels_of_its_file(http: httpx.Client, served: Served) -> None:
    pixels = picture(23, 40)
    made = sent(http, "super-resolution", "photo-real", pixels)
    expected = served.reference("photo-real").reference(tensor(pixels).float() / 255)
    within_a_level(made, levels(2 * expected - 1)[0])
