"""`ganserve models` and `ganserve generate` against a real `ganserve up`."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.cli import app
from service.client import Client, ProblemError
from tests.up_process import Up


@pytest.fixture(scope="module")
def running(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    process = Up(toy_repository, tmp_path_factory.mktemp("up") / "log", {}, [])
    yield process.wait_until_ready()
    process.close()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_models_are_listed(running: Up) -> None:
    code, output = run("models", "--url", running.url)
    assert code == 0
    assert output.splitlines()[1].split()[:5] == ["toy", "generator", "stylegan", "16×16", "READY"]
    code, output = run("models", "--url", running.url, "--json")
    assert [card["name"] for card in json.loads(output)] == ["toy"]


def test_images_are_written_under_their_seeds(running: Up, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    arguments = ["generate", "--model", "toy", "--url", running.url, "--out", str(out)]
    code, output = run(*arguments, "--seeds", "0-17,12345", "--truncation", "0.5", "--noise", "none")
    assert code == 0, output
    assert f"19 images in {out}" in output
    names = [f"toy-seed{seed:04}.png" for seed in (*range(18), 12345)]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    with Client(running.url) as client:
        expected = client.image("toy", 12345, truncation=0.5, noise="none")
    with Image.open(out / "toy-seed12345.png") as image:
        pixels = np.asarray(image)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected.pixels_sha256


def test_a_sheet_is_one_file(running: Up, tmp_path: Path) -> None:
    arguments = ["generate", "--model", "toy", "--url", running.url, "--out", str(tmp_path)]
    code, output = run(*arguments, "--seeds", "0-15", "--sheet", "--format", "webp")
    assert code == 0, output
    assert [path.name for path in tmp_path.iterdir()] == ["toy-sheet.webp"]
    with Image.open(tmp_path / "toy-sheet.webp") as image:
        width, height = image.size
    assert width >= 4 * 16
    assert height >= 4 * 16


def test_an_unknown_model_is_one_sentence(running: Up, tmp_path: Path) -> None:
    arguments = ["generate", "--model", "nope", "--url", running.url, "--out", str(tmp_path)]
    code, output = run(*arguments, "--seeds", "1")
    assert code == 1
    assert "No model 'nope' is served." in output
    assert list(tmp_path.iterdir()) == []


def test_the_client_gets_the_same_pixels_both_ways(running: Up) -> None:
    with Client(running.url) as client:
        card = client.model("toy")
        (made,) = client.generate("toy", [5], format="webp")
        fetched = client.image("toy", 5, digest=card.digest)
        assert made.pixels_sha256 == fetched.pixels_sha256
        assert made.model_digest == fetched.model_digest == card.digest
        assert Image.open(io.BytesIO(made.bytes)).size == (made.width, made.height) == (16, 16)
        with pytest.raises(ProblemError) as caught:
            client.generate("toy", [-1])
        assert caught.value.status == 422
        assert "seeds.0" in str(caught.value)
