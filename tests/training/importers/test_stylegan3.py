"""StyleGAN3 generators of NVIDIA, T and R, become networks of ours that compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.importers.nvidia_container import Module, write_pickle
from tests.training.importers.tiny_stylegan3 import R, nvidia
from training.importers.base import StoredFile, UnsupportedWeightsError
from training.importers.files.reading import read_weights
from training.importers.proof import prove
from training.importers.table import recognise

PICKLES = {
    "t": {},
    "t-conditional": {"c_dim": 3},
    "r": R,
    "r-conditional": {**R, "c_dim": 2, "channel_base": 200},
    "clamped": {"conv_clamp": 0.5, "output_scale": 0.7},
    "not-clamped": {"conv_clamp": None, "lr_multiplier": 0.1},
    "other-band": {"first_cutoff": 1.5, "first_stopband": 3.5, "last_stopband_rel": 1.3, "num_critical": 2},
    "other-sampling": {"lrelu_upsampling": 4, "filter_size": 4, "margin_size": 7, "num_critical": 0},
    "point-wise": {"lrelu_upsampling": 1},
    "grey": {"colours": 1},
}


def pickled(tmp_path: Path, module: Module) -> StoredFile:
    return read_weights(
        write_pickle(tmp_path / "network-snapshot-000100.pkl", {"G": nvidia(), "G_ema": module})
    )


def in_memory(content) -> StoredFile:
    return StoredFile(Path("some.pt"), "0" * 64, 1, "torch", content)


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_becomes_a_network_that_computes_the_same(name, tmp_path):
    found = recognise(pickled(tmp_path, nvidia(**PICKLES[name])))
    assert (found.format, found.part, found.kind, found.family) == (
        "nvidia-stylegan3", "G_ema", "generator", "stylegan3",
    )  # fmt: skip
    imported = found.build()
    assert not imported.notes
    proof = prove(imported, "generator")
    assert proof.max_abs_error < 1e-4
    assert proof.max_level_error <= 1


def test_all_hyperparameters_come_from_the_file(tmp_path):
    found = recognise(pickled(tmp_path, nvidia(**PICKLES["r-conditional"])))
    assert found.title == "StyleGAN3-R generator, 16 × 16, 2 classes"
    assert found.hyperparameters == {
        "configuration": "StyleGAN3-R", "z_dim": 6, "w_dim": 8, "c_dim": 2, "image_channels": 3,
        "mapping_layers": 2, "lr_multiplier": 0.01, "resolution": 16, "num_layers": 4, "num_critical": 1,
        "first_cutoff": 2, "first_stopband": 2**2.1, "last_stopband_rel": 2**0.3, "margin_size": 10,
        "output_scale": 0.25, "conv_kernel": 1, "filter_size": 6, "lrelu_upsampling": 2,
        "use_radial_filters": True, "conv_clamp": 256.0, "channels": [7, 7, 7, 7],
    }  # fmt: skip
    shown = recognise(pickled(tmp_path, nvidia(**PICKLES["other-band"]))).hyperparameters
    assert (shown["first_cutoff"], shown["first_stopband"], shown["num_critical"]) == (1.5, 3.5, 2)
    grey = recognise(pickled(tmp_path, nvidia(**PICKLES["grey"])))
    assert grey.title == "StyleGAN3-T generator, 16 × 16, unconditional, grey"


@pytest.mark.parametrize("name", ["t-conditional", "r", "other-sampling"])
def test_a_state_dict_tells_as_much(name, tmp_path):
    """What its names and shapes leave open is found by the filters."""
    module = nvidia(**PICKLES[name])
    bare = recognise(in_memory(module.state_dict()))
    told = recognise(pickled(tmp_path, module)).hyperparameters
    assert bare.hyperparameters == told
    imported = bare.build()
    assert "±256 and 0.25" in imported.notes[0]
    assert prove(imported, "generator").max_level_error <= 1


@pytest.mark.parametrize("options", [{"c_dim": 2}, R], ids=["t", "r"])
@pytest.mark.parametrize(("rotation", "translation"), [(30, (0, 0)), (0, (0.1, -0.2)), (-75.5, (-0.3, 0.25))])
def test_images_turn_and_move_as_in_gen_images(options, rotation, translation, tmp_path):
    """Whose `--rotate` and `--translate` set the inverse of a turn followed by a move."""
    imported = recognise(pickled(tmp_path, nvidia(**options))).build()
    angle = rotation / 360 * np.pi * 2
    forward = np.eye(3)
    forward[:2] = [
        [np.cos(angle), np.sin(angle), translation[0]],
        [-np.sin(angle), np.cos(angle), translation[1]],
    ]
    network = imported.network
    z = torch.from_numpy(np.random.RandomState(4).randn(2, 6).astype(np.float32))
    ws = network.mapping.ws(z, torch.eye(2))
    ours = network.synthesis.moved(ws, torch.full((2, 1), float(rotation)), torch.tensor([translation] * 2))
    theirs = imported.reference.images(ws[:, 0], torch.from_numpy(np.linalg.inv(forward)))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (ours - network.synthesis(ws)).abs().max() > 0.01


def test_the_filters_of_the_file_are_used(tmp_path):
    module = nvidia()
    stored = module.children["synthesis"].children["L1_36_7"].buffers["down_filter"]
    stored *= 1 + 1e-5
    network = recognise(pickled(tmp_path, module)).build().network
    assert torch.equal(network.synthesis.get_buffer("L1_36_7.down_filter"), stored)


def test_a_transformation_in_the_file_is_left_out_and_said_so(tmp_path):
    module = nvidia()
    module.children["synthesis"].children["input"].buffers["transform"] = torch.eye(3).flip(0)
    imported = recognise(pickled(tmp_path, module)).build()
    assert "`rotation` and `translation`" in imported.notes[0]
    assert prove_moved(imported) > 0.01  # the original, without another transformation, would show it


def prove_moved(imported) -> float:
    ws = imported.network.mapping.ws(torch.ones(1, 6), None)
    flipped = imported.reference.images(ws[:, 0], torch.eye(3).flip(0))
    return float((flipped - imported.network.synthesis(ws)).abs().max())


def broken(what: str) -> Module:
    module = nvidia()
    synthesis = module.children["synthesis"]
    layer = synthesis.children["L1_36_7"]
    match what:
        case "filter":
            layer.buffers["up_filter"] = layer.buffers["up_filter"].roll(1)
        case "taps":
            layer.buffers["down_filter"] = torch.ones(14) / 14
        case "layer":
            del synthesis.children["L1_36_7"]
        case "tensor":
            del layer.parameters["bias"]
        case "extra":
            layer.buffers["noise_const"] = torch.ones(36, 36)
        case "shape":
            layer.parameters["weight"] = layer.parameters["weight"][:, :-1]
        case "option":
            module.options["magic"] = 3
        case "value":
            synthesis.options["margin_size"] = 10**9
        case "sense":
            synthesis.options["first_cutoff"] = 0
        case "sizes":
            synthesis.options["margin_size"] = 8
        case "channels":
            return nvidia(colours=4)
    return module


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("filter", r"L1_36_7.up_filter is not the filter"),
        ("taps", r"L1_36_7.down_filter is not the filter"),
        ("layer", r"without some of its layers: \[0, 2, 3, 4\]"),
        ("tensor", r"lacks synthesis.L1_36_7.bias; it is a variant"),
        ("extra", r"also has synthesis.L1_36_7.noise_const"),
        ("shape", r"L1_36_7.weight is \[7, 6, 3, 3\], where this StyleGAN3 has \[7, 7, 3, 3\]"),
        ("option", r"made with the options magic"),
        ("value", r"margin_size=1000000000, which has no sense"),
        ("sense", r"settings are of no network"),
        ("sizes", r"its layers have the sizes"),
        ("channels", r"images of 4 channels; supported are colour \(3\) and grey \(1\)"),
    ],
)
def test_what_is_no_generator_of_ours_is_refused_with_the_reason(what, said, tmp_path):
    with pytest.raises(UnsupportedWeightsError, match=said):
        recognise(pickled(tmp_path, broken(what)))


def test_a_state_dict_of_unusual_settings_asks_for_the_pickle():
    module = nvidia(first_cutoff=1.5)
    with pytest.raises(UnsupportedWeightsError, match="the pickle it comes from says more"):
        recognise(in_memory(module.state_dict()))


def test_a_network_too_large_is_refused_before_it_is_built():
    tensors = {name: t.expand(t.shape) for name, t in nvidia().state_dict().items()}
    huge = {name.replace("L1_36_7", "L1_99999_7"): t for name, t in tensors.items()}
    with pytest.raises(UnsupportedWeightsError, match="makes 7 maps of 99999 × 99999"):
        recognise(in_memory(huge))


def test_nothing_is_served_of_a_discriminator(tmp_path):
    names = ("b4.conv.weight", "b4.fc.weight", "b4.out.weight")
    d = Module("Discriminator", parameters={name: torch.ones(1) for name in names})
    stored = read_weights(write_pickle(tmp_path / "n.pkl", {"G_ema": nvidia(), "D": d}))
    with pytest.raises(UnsupportedWeightsError, match=r"part D of .* is a discriminator"):
        recognise(stored, "D")
