"""`gantrain inspect`, `import` and `convert` as people type them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.exported_models import read_config, tiny_generator
from tests.training.importers.tiny_translators import resnet, unet
from training.checkpoint import Checkpoint, save_checkpoint
from training.cli import app
from training.config import RunConfig
from training.config_files import parse_config
from training.engine import Engine
from training.families.table import FAMILIES
from training.importers.files.reading import read_weights
from training.importers.generators.nvidia_stylegan2 import NvidiaStyleGAN2
from training.importers.table import recognise
from training.importers.translators.cyclegan_pix2pix import CycleGANPix2Pix


def gantrain(*words: object, code: int = 0, typed: str | None = None) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], input=typed)
    assert result.exit_code == code, result.output
    return result


def said(result: Result) -> str:
    """What it wrote, however it was broken into lines."""
    return " ".join(result.output.split())


@pytest.fixture
def horse(tmp_path: Path) -> Path:
    path = tmp_path / "Horse 2 Zebra.pth"
    torch.save(resnet(), path)
    return path


def save_run(folder: Path, **settings: Any) -> Path:
    """A run of ours that has not learnt anything."""
    config: RunConfig = parse_config({"optimization": {"batch": 4, "kimg": 1}, **settings})
    family = FAMILIES[config.family](config, Engine(0, device="cpu"), ())
    folder.mkdir()
    save_checkpoint(
        folder / "checkpoint.pt", Checkpoint(config, (), 1, family.state_dict(), {}, 1.0, "CPU", None)
    )
    return folder


def test_inspect_says_what_it_is_and_what_to_type(horse: Path) -> None:
    text = gantrain("inspect", horse).stdout
    assert "CycleGAN translator, ResNet of 2 blocks" in text
    assert f"gantrain import '{horse}' --name horse-2-zebra" in text
    told = json.loads(gantrain("inspect", horse, "--json").stdout)
    assert told["format"] == "cyclegan-pix2pix"
    assert told["hyperparameters"]["blocks"] == 2
    assert told["sha256"] == read_weights(horse).sha256
    assert told["licence"] is None


def test_what_is_unknown_is_refused_with_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    torch.save({"a.weight": torch.ones(3, 5), "step": 7}, path)
    text = said(gantrain("inspect", path, code=1))
    assert "'a.weight' [3, 5], 'step' int" in text
    assert "rosinality" in text, "what could be imported"


def test_nothing_is_imported_without_terms(horse: Path, tmp_path: Path) -> None:
    assert "--licence" in said(gantrain("import", horse, "--repository", tmp_path / "models", code=1))
    assert not (tmp_path / "models").exists()


def test_what_cannot_be_exported_is_refused_in_words(
    horse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    words = ("import", horse, "--repository", models, "--licence", "MIT", "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("training.importers.importing._ONNX_BYTES", 1000)
        assert "--format torchscript has no such limit" in said(gantrain(*words, code=1))
    with monkeypatch.context() as patch:

        def odd(*_: object, **__: object) -> None:
            raise TypeError("of an operator nobody thought of")

        patch.setattr("training.importers.importing.export_deployables", odd)
        assert "cannot be exported: TypeError, of an operator" in said(gantrain(*words, code=1))
    assert not models.exists()


def test_an_import_leaves_a_model_a_card_and_a_report(horse: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    words = ("import", horse, "--repository", models, "--name", "zebra", "--out", tmp_path / "out")
    words += ("--title", "Horses to zebras", "--format", "torchscript")
    result = gantrain(*words, "--licence", "CC-BY-NC-4.0", "--licence-url", "https://example.org/nc")
    assert "no commercial use" in said(result)
    _, card = read_config(models, "zebra")
    assert (card["kind"], card["title"], card["commercial_use"]) == ("translator", "Horses to zebras", False)
    assert card["licence_url"] == "https://example.org/nc"
    report = json.loads((tmp_path / "out" / "import.json").read_text())
    assert report["proof"]["max_level_error"] <= 1
    assert card["imported_from"] == {
        **{key: report[key] for key in ("format", "part", "file", "sha256", "proof")},
    }
    assert report["file"] == "Horse 2 Zebra.pth", "a name, and nobody's folders"
    again = gantrain(*words, "--licence", "MIT", code=1)
    assert "--overwrite" in said(again)
    gantrain(*words, "--licence", "MIT", "--overwrite")
    assert read_config(models, "zebra")[1]["commercial_use"] is True


def test_a_generator_shows_what_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "cats.safetensors"
    gantrain("convert", *_saved(tmp_path), "--to", "nvidia-stylegan2", "--out", path)
    gantrain(
        *("import", path, "--repository", tmp_path / "models", "--out", tmp_path / "out"),
        *("--licence", "MIT", "--format", "torchscript"),
    )
    samples = np.asarray(Image.open(tmp_path / "out" / "samples.png"))
    assert samples.shape == (16, 40, 3)
    assert samples.std() > 10
    assert read_config(tmp_path / "models", "cats-synthesis")[1]["resolution"] == 8


def _saved(tmp_path: Path) -> tuple[Path]:
    """A generator in a layout that can be imported."""
    path = tmp_path / "tiny.pt"
    torch.save(NvidiaStyleGAN2().publish(tiny_generator()), path)
    return (path,)


def test_a_network_that_is_not_that_of_the_file_is_never_served(
    horse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognise_it = CycleGANPix2Pix.recognise

    def with_a_fault(self: CycleGANPix2Pix, *words: Any) -> Any:
        found = recognise_it(self, *words)

        def build() -> Any:
            imported = found.build()
            last_bias = list(imported.network.parameters())[-1]
            last_bias.data = last_bias.data + 0.5  # not in the tensors of the file
            return imported

        return dataclasses.replace(found, build=build)

    monkeypatch.setattr(CycleGANPix2Pix, "recognise", with_a_fault)
    words = ("--repository", tmp_path / "models", "--out", tmp_path / "out", "--licence", "MIT")
    assert "levels of 255" in said(gantrain("import", horse, *words, code=1))
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "..", "-x", "a" * 57])
def test_names_that_no_model_can_have(horse: Path, name: str) -> None:
    assert "name" in said(gantrain("import", horse, f"--name={name}", code=1))


def test_both_networks_of_a_cyclegan_leave_in_the_public_layout(tmp_path: Path) -> None:
    run = save_run(
        tmp_path / "run",
        name="to-relief",
        title="There",
        backward_name="to-satellite",
        backward_title="Back",
        family="cyclegan",
        data={"recipe": "pairs", "resolution": 16},
        generator={
            "network": "resnet",
            "blocks": 1,
            "channels": 2,
            "downs": 2,
            "norm": "instance",
            "dropout": 0,
        },
        discriminator={"channels": 2, "n_layers": 1},
    )
    out = tmp_path / "out"
    gantrain("convert", run, "--to", "cyclegan-pix2pix", "--out", out)
    assert {path.name for path in out.iterdir()} == {"to-relief.pth", "to-satellite.pth"}
    assert "exists" in said(gantrain("convert", run, "--to", "cyclegan-pix2pix", "--out", out, code=1))
    assert "gantrain export" in said(gantrain("inspect", run / "checkpoint.pt", code=1))


def test_a_layout_that_has_no_place_for_it(horse: Path, tmp_path: Path) -> None:
    words = ("convert", horse, "--out", tmp_path / "x.pth")
    assert "cyclegan-pix2pix" in said(gantrain(*words, "--to", "rosinality-stylegan2", code=1))
    assert "cyclegan-pix2pix" in gantrain(*words, "--to", "?").stdout
    assert not (tmp_path / "x.pth").exists()


def test_converted_weights_are_the_same(tmp_path: Path) -> None:
    path, out = tmp_path / "net_G.pth", tmp_path / "net_G.safetensors"
    tensors = unet()
    torch.save(tensors, path)
    gantrain("convert", path, "--to", "cyclegan-pix2pix", "--out", out)
    written = load_file(out)
    for name, tensor in tensors.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(written[name], tensor), name
    assert recognise(read_weights(out)).format == "cyclegan-pix2pix"
