"""Projection: a picture becomes styles of which the served model makes it again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from training.cli import app
from training.metrics.image_quality import psnr
from training.pixels import to_uint8
from training.projection import search
from training.projection.files import read_target
from training.projection.pictures import choose_distance, class_index
from training.projection.projectable import ProjectableError, ServedGenerator, TrainedGenerator, open_projectable
from training.projection.search import Settings, noise_penalty, project, rate, standardize, w_statistics
from training.projection.torch_graph import TorchGraph, UnknownOperationError
from tests.exported_models import CLASSES, tiny_generator

REPOSITORY = Path(__file__).parents[2] / "model_repository"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def terrain():
    return ServedGenerator(REPOSITORY, "terrain", CPU)


def made_by(generator, seed):
    """A picture that the generator serves for a random w, UINT8 [3, R, R]."""
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    label = torch.eye(generator.c_dim)[:1] if generator.c_dim else None
    return generator.pixels(generator.styles(z, label).expand(1, generator.num_ws, -1).contiguous())


def save(path, pixels):
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return path


def served(ws):
    """What ONNX Runtime alone makes of ws for `terrain`, UINT8 [64, 64, 3]."""
    import onnxruntime as ort

    session = ort.InferenceSession(REPOSITORY / "terrain-synthesis/1/model.onnx")
    inputs = {"ws": ws[None], "noise_gain": np.ones((1, 1), np.float32), "noise_seed": np.full((1, 1), -1)}
    return session.run(["images"], inputs)[0][0]


def test_a_picture_of_the_shipped_model_is_found_again(terrain, tmp_path):
    """By the command: distances fall, and what is written is what the served model makes."""
    target = made_by(terrain, 3)
    picture = save(tmp_path / "picture.png", target)
    done = CliRunner().invoke(
        app,
        ["project", str(picture), "--model", "terrain", "--repository", str(REPOSITORY), "--device", "cpu"]
        + ["--steps", "60", "--out", str(tmp_path / "out")],
    )
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out/projection.json").read_text())
    assert report["found"]["distance"] < report["start"]["distance"] / 4
    assert report["found"]["psnr"] > 22
    assert report["found"]["psnr"] > report["start"]["psnr"] + 6
    assert (report["steps"], report["stopped"]) == (60, False)

    ws = np.load(tmp_path / "out/ws.npy")
    request = json.loads((tmp_path / "out/ws.json").read_text())
    assert request["model"] == "terrain"
    assert base64.b64decode(request["ws"]) == ws.astype("<f4").tobytes()
    again = torch.from_numpy(served(ws)).permute(2, 0, 1)
    assert float(psnr(again[None], target[None])) == pytest.approx(report["found"]["psnr"], abs=1e-3)
    page = np.asarray(Image.open(tmp_path / "out/projection.png"))
    right = page[30 : 30 + 192, 208 : 208 + 192][::3, ::3]
    assert np.array_equal(right, served(ws))
    assert f"-d @{tmp_path}/out/ws.json" in done.stderr
