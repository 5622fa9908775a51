"""Models written for MNN: the same gate, other convolutions."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.exported_models import read_config, tiny_generator
from tests.training.importers import tiny_upscalers as tiny
from training.cli import app
from training.errors import GantrainError
from training.export import formats
from training.export.export import export_deployables
from training.export.exportable import FLOATS
from training.export.formats import convert
from training.export.generator import generator_product
from training.export.onnx_graph import ExportError
from training.export.parity import MAX_ABS_ERROR, MAX_FAST_ERROR, ParityError
from training.export.upscaler import upscaler_product
from training.families.base import Deployable
from training.importers import commands
from training.networks.compact import CompactNet


def upscaler():
    torch.manual_seed(0)
    network = CompactNet(scale=2, features=16, blocks=2)
    return Deployable("larger", "Larger", network.eval().requires_grad_(False), card={"scale": 2})


def test_pixels_are_those_of_the_network_and_of_the_image_alone():
    (model,) = upscaler_product(upscaler()).models
    converted = convert(model, "mnn")
    assert converted.parity.batches == [1, 2, 5, 8]
    assert converted.parity.max_abs_error < MAX_ABS_ERROR
    assert converted.runtime.startswith("MNN ")
    images = np.random.RandomState(0).randint(0, 256, (3, 40, 33, 3), dtype=np.uint8)
    together = converted.run({"source": images})["images"]
    assert (together.shape, together.dtype) == ((3, 80, 66, 3), np.uint8)
    alone = [converted.run({"source": images[i : i + 1]})["images"] for i in range(3)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    again = converted.run({"source": images})["images"]
    np.testing.assert_array_equal(together, again)


@pytest.mark.parametrize(("error", "passes"), [(MAX_FAST_ERROR / 2, True), (MAX_FAST_ERROR * 2, False)])
def test_the_gate_lets_through_a_quarter_of_a_level(monkeypatch, error, passes):
    """Faster convolutions round more than the other formats may."""
    (model,) = upscaler_product(upscaler()).models
    run_mnn = formats.run_mnn

    def opened(file, outputs):
        run = run_mnn(file, outputs)

        def off(arrays):
            results = run(arrays)
            if FLOATS in results:
                results[FLOATS] = results[FLOATS] + np.float32(error)
            return results

        return off

    monkeypatch.setattr(formats, "run_mnn", opened)
    if passes:
        assert convert(model, "mnn").parity.max_abs_error > MAX_ABS_ERROR
    else:
        with pytest.raises(ParityError, match="at most 1e-03 passes"):
            convert(model, "mnn")


@pytest.mark.thorough
def test_a_generator_is_refused_for_its_seeds():
    synthesis = generator_product(Deployable("tiny", "Tiny", tiny_generator())).models[1]
    with pytest.raises(ExportError, match="64-bit integers, which noise_seed is made of"):
        convert(synthesis, "mnn")


def test_a_graph_that_it_cannot_express_is_refused_with_what_it_said(monkeypatch):
    monkeypatch.setattr(
        "training.export.mnn_graph._CONVERT", "print('no such operator'); raise SystemExit(3)"
    )
    (model,) = upscaler_product(upscaler()).models
    with pytest.raises(ExportError, match="cannot express this graph: no such operator"):
        convert(model, "mnn")


def test_without_mnn_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (model,) = upscaler_product(upscaler()).models
    with pytest.raises(GantrainError, match=r"install ganserve\[mnn\]"):
        convert(model, "mnn")
    assert commands._formats("auto", "upscaler") == ("onnx",)


def test_the_entry_is_of_the_backend_of_that_name_and_on_the_cpu(tmp_path):
    export_deployables([(upscaler(), {"name": "larger", "kind": "upscaler"})], tmp_path, formats=("mnn",))
    config, card = read_config(tmp_path, "larger")
    assert config.backend == "mnn"
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_CPU]
    assert card["parity"]["model"]["runtime"].startswith("MNN ")
    assert [file.name for file in (tmp_path / "larger/1").iterdir()] == ["model.mnn"]


@pytest.mark.parametrize(
    ("chosen", "kind", "formats"),
    [
        ("auto", "upscaler", ("mnn",)),
        ("auto", "translator", ("onnx",)),
        ("auto", "generator", ("onnx",)),
        ("onnx", "upscaler", ("onnx",)),
        ("both", "upscaler", ("onnx", "torchscript")),
        ("mnn", "translator", ("mnn",)),
    ],
)
def test_upscalers_are_imported_for_mnn_and_it_is_said(capsys, chosen, kind, formats):
    assert commands._formats(chosen, kind) == formats
    said = capsys.readouterr()
    assert ("--format onnx" in said.out + said.err) is (chosen == "auto" and kind == "upscaler")


def compact_file(tmp_path):
    path = tmp_path / "photo.pth"
    torch.save({"params": tiny.compact(2)}, path)
    return path


def imported(tmp_path, monkeypatch, **limits):
    for name, limit in limits.items():
        monkeypatch.setattr(formats, name, limit)
    words = ["--repository", tmp_path / "models", "--out", tmp_path / "out", "--licence", "MIT"]
    result = CliRunner().invoke(app, ["import", *map(str, [compact_file(tmp_path), *words])])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split()), read_config(tmp_path / "models", "photo")[0].backend


def test_an_upscaler_is_imported_for_mnn(tmp_path, monkeypatch):
    said, backend = imported(tmp_path, monkeypatch)
    assert backend == "mnn"
    assert "it is written for MNN" in said


@pytest.mark.thorough
def test_an_upscaler_that_mnn_rounds_too_much_is_imported_to_onnx_and_it_is_said(tmp_path, monkeypatch):
    said, backend = imported(tmp_path, monkeypatch, MAX_FAST_ERROR=0.0)
    assert backend == "onnxruntime"
    assert "MNN will not do (differs from PyTorch" in said
