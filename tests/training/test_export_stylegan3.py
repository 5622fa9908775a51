"""Exported StyleGAN3: two more inputs, which every sample has for itself, and the network's own pixels."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from tests.exported_models import read_config
from tests.training.importers.tiny_stylegan3 import R, lively_generator
from training.export.export import export_deployables
from training.export.generator import largest_batch, synthesis_model
from training.export.golden import pixels_sha256
from training.export.onnx_graph import run_onnx
from training.export.stylegan3_synthesis import PreparedSynthesis
from training.export.torchscript import run_torchscript
from training.families.base import Deployable
from training.networks.stylegan3 import Generator, SynthesisNetwork, SynthesisSettings
from training.pixels import to_uint8

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:DeprecationWarning")
SIDES = {256: 16384, 512: 32768, 1024: 32768}
SIZES = {"num_layers": 2, "num_critical": 1, "channel_base": 64}
INPUTS = ["ws", "noise_gain", "noise_seed", "rotation", "translation"]


@pytest.fixture(scope="module")
def generator():
    return lively_generator(c_dim=2, **SIZES)


@pytest.fixture(scope="module")
def repository(generator, tmp_path_factory):
    """`turning` as ONNX, and `turning-torchscript`."""
    folder = tmp_path_factory.mktemp("models")
    deployable = Deployable("turning", "Turning", generator)
    card = {"name": "turning", "kind": "generator", "classes": ["a", "b"]}
    export_deployables([(deployable, card)], folder, formats=["onnx", "torchscript"])
    return folder


@pytest.fixture(scope="module")
def runs(repository):
    return {
        "onnx": run_onnx((repository / "turning-synthesis/1/model.onnx").read_bytes(), ["images"]),
        "torchscript": run_torchscript(
            (repository / "turning-torchscript-synthesis/1/model.pt").read_bytes(), ["images"]
        ),
    }


def inputs(generator, n: int):
    rng = np.random.RandomState(n)
    z = torch.from_numpy(rng.randn(n, 6).astype(np.float32))
    return {
        "ws": generator.mapping.ws(z, torch.eye(2)[torch.arange(n) % 2]).numpy().copy(),
        "noise_gain": np.ones((n, 1), np.float32),
        "noise_seed": np.full((n, 1), -1, np.int64),
        "rotation": rng.uniform(-90, 90, (n, 1)).astype(np.float32),
        "translation": rng.uniform(-0.3, 0.3, (n, 2)).astype(np.float32),
    }


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
@pytest.mark.parametrize("n", [1, 2, 3, 16])
def test_pixels_equal_pytorch_at_any_batch(generator, runs, format, n):
    given = inputs(generator, n)
    images = runs[format](given)["images"].astype(int)
    assert images.shape == (n, 16, 16, 3)
    for i in range(n):
        sample = {name: torch.from_numpy(value[i : i + 1]) for name, value in given.items()}
        moved = generator.synthesis.moved(sample["ws"], sample["rotation"], sample["translation"])
        assert np.abs(images[i] - to_uint8(moved)[0].permute(1, 2, 0).numpy()).max() <= 1


def test_what_does_not_move_is_the_picture_itself(generator, runs):
    still = inputs(generator, 2)
    still["rotation"][:], still["translation"][:] = 0, 0
    images = runs["onnx"](still)["images"].astype(int)
    plain = to_uint8(generator.synthesis(torch.from_numpy(still["ws"]))).permute(0, 2, 3, 1).numpy()
    assert np.abs(images - plain).max() <= 1
    still["rotation"][1] = 20
    turned = runs["onnx"](still)["images"].astype(int)
    assert np.array_equal(turned[0], images[0])
    assert not np.array_equal(turned[1], images[1])


@pytest.mark.parametrize("name", ["turning", "turning-torchscript"])
def test_the_contract_has_two_more_inputs(repository, name):
    config, card = read_config(repository, f"{name}-synthesis")
    assert card["transforms"] == ["rotation", "translation"]
    assert read_config(repository, f"{name}-mapping")[1]["transforms"] == ["rotation", "translation"]
    assert [(i.name, list(i.dims)) for i in config.input][3:] == [("rotation", [1]), ("translation", [2])]
    assert [i.name for i in config.input] == INPUTS
    for warmup in config.model_warmup:  # at rest, as most calls are
        assert all(warmup.inputs[key].zero_data for key in ("rotation", "translation"))
    assert card["parity"]["synthesis"]["batches"] == [1, 2, 5, 16]
    assert card["parity"]["synthesis"]["max_abs_error"] < 1e-5
    if name == "turning":
        session = ort.InferenceSession(repository / "turning-synthesis/1/model.onnx")
        assert [i.name for i in session.get_inputs()] == INPUTS
        assert all(isinstance(i.shape[0], str) for i in session.get_inputs())
    else:
        schema = torch.jit.load(repository / "turning-torchscript-synthesis/1/model.pt").forward.schema
        assert [argument.name for argument in schema.arguments[1:]] == INPUTS


def test_golden_hashes_are_of_pictures_at_rest(generator, repository, runs):
    _, card = read_config(repository, "turning-mapping")
    z = np.random.RandomState(3).randn(1, 6).astype(np.float32)
    mapping = run_onnx((repository / "turning-mapping/1/model.onnx").read_bytes(), ["ws"])
    styles = {
        "z": z,
        "truncation_psi": np.ones((1, 1), np.float32),
        "truncation_cutoff": np.full((1, 1), -1, np.int32),
        "label": np.eye(1, 2, dtype=np.float32),
        "edits": np.zeros((1, 8), np.float32),
    }
    still = {**inputs(generator, 1), "ws": mapping(styles)["ws"]}
    still["rotation"][:], still["translation"][:] = 0, 0
    assert card["golden"]["pixels_sha256"]["3"] == pixels_sha256(runs["onnx"](still)["images"][0])


def test_channels_come_in_blocks(repository):
    model = onnx.load(repository / "turning-synthesis/1/model.onnx")
    depthwise = [
        next(a.i for a in node.attribute if a.name == "group")
        for node in model.graph.node
        if node.op_type == "Conv" and any(a.name == "group" and a.i > 1 for a in node.attribute)
    ]
    assert depthwise
    assert all(groups % 16 == 0 for groups in depthwise)


@pytest.mark.parametrize("options", [{}, R], ids=["t", "r"])
def test_prepared_weights_make_the_same_pictures(options):
    g = lively_generator(channel_base=200, channel_max=19, **options)
    given = inputs(lively_generator(c_dim=2), 2)
    ws, rotation, translation = (torch.from_numpy(given[name]) for name in ("ws", "rotation", "translation"))
    prepared = PreparedSynthesis(g.synthesis).moved(ws, rotation, translation)
    torch.testing.assert_close(prepared, g.synthesis.moved(ws, rotation, translation), atol=2e-5, rtol=0)


def test_a_batch_of_large_images_does_not_fill_the_memory():
    """Of 1024² three go together, of 256² as many as of other generators."""
    with torch.device("meta"):
        made = {r: SynthesisNetwork(8, SynthesisSettings(r, channel_base=c)) for r, c in SIDES.items()}
    assert {r: largest_batch(network) for r, network in made.items()} == {256: 16, 512: 6, 1024: 3}
    model = synthesis_model(Generator(8, 8, SynthesisSettings(16, **SIZES)))
    assert [len(case["ws"]) for case in model.draw_cases()] == [1, 2, 5, 16]
