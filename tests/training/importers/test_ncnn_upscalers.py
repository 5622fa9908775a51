"""Upscalers of ncnn: found by what computes what, and computed as the files say."""

from __future__ import annotations

import re

import pytest
import torch

from tests.training.importers import tiny_upscalers as tiny
from training.export.formats import convert
from training.export.upscaler import upscaler_product
from training.families.base import Deployable
from training.importers.base import UnsupportedWeightsError
from training.importers.files.reading import read_weights
from training.importers.proof import prove
from training.importers.table import recognise
from training.networks.rrdb import RRDBNet


def test_an_rrdb_network_is_found_whatever_its_layers_are_called(tmp_path):
    state = tiny.rrdb("new")
    path = tiny.ncnn_rrdb(tmp_path / "x4", state)
    for file in (path, path.with_suffix(".bin")):
        found = recognise(read_weights(file))
        assert (found.format, found.kind) == ("ncnn", "upscaler")
        assert found.hyperparameters == {"scale": 4, "features": 8, "blocks": 2, "growth": 4}
    imported = found.build()
    assert imported.notes == ["weights are stored as float16, and computed as float32"]
    proof = prove(imported, "upscaler")
    assert proof.max_abs_error < 2e-5
    # The very network that was written, but for what half precision takes away.
    network = RRDBNet(4, 8, 2, 4)
    network.load_state_dict(tiny.as_halves(state))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(imported.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_separate_activations_and_scaled_sums_are_the_same_network(tmp_path):
    """As other converters write them: ReLU layers, and a multiplication before an addition."""
    path = tiny.ncnn_rrdb(tmp_path / "x4", tiny.rrdb("new"))
    expected = recognise(read_weights(path)).build().network.state_dict()
    lines = []
    for line in path.read_text().splitlines()[2:]:
        kind, name, _, _, *rest = line.split()
        if "9=2" in line:
            lines += [
                f"Convolution {name} 1 1 {rest[0]} {name}_plain {' '.join(rest[2:-2])}",
                f"ReLU {name}_relu 1 1 {name}_plain {rest[1]} 0=0.2",
            ]
        elif kind == "Eltwise":
            lines += [
                f"BinaryOp {name}_mul 1 1 {rest[0]} {name}_scaled 0=2 1=1 2=2.000000e-01",
                f"BinaryOp {name} 2 1 {rest[1]} {name}_scaled {rest[2]} 0=0",
            ]
        else:
            lines.append(line)
    path.write_text(f"7767517\n{len(lines)} 0\n" + "\n".join(lines) + "\n")
    imported = recognise(read_weights(path)).build()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in imported.network.state_dict().items())
    assert prove(imported, "upscaler").max_abs_error < 2e-5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_compact_networks_may_reduce_what_they_made(tmp_path, scale):
    path = tiny.ncnn_compact(tmp_path / "small", tiny.compact(4), reduced=scale)
    found = recognise(read_weights(path))
    assert found.hyperparameters == {"scale": scale, "features": 8, "blocks": 3, "computed_scale": 4}
    imported = found.build()
    assert imported.network.scale == imported.card["scale"] == scale
    assert prove(imported, "upscaler").max_abs_error < 1e-5


def test_a_reduced_network_is_exported(tmp_path):
    path = tiny.ncnn_compact(tmp_path / "small", tiny.compact(4, blocks=1), reduced=3)
    imported = recognise(read_weights(path)).build()
    product = upscaler_product(Deployable("some", "Some", imported.network, card=imported.card))
    converted = convert(product.models[0], "onnx")
    assert converted.parity.max_level_error <= 1
    # Four convolutions of 3×3 pixels at low resolution, and the taps of the reduction.
    assert product.card["receptive_radius"] in (3, 4)
    assert product.measure([converted.run], converted.runtime)["tileable"]


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (("-23301=2,2.000000e-01,1.000000e+00", "-23301=2,3.000000e-01,1.000000e+00"), "Eltwise"),
        (("9=2 -23310=1,2.000000e-01", "9=2 -23310=1,1.000000e-01"), "Convolution"),
        (("9=2 -23310=1,2.000000e-01", "9=1"), "Convolution"),
        (("0=1 1=2.000000e+00 2=2.000000e+00", "0=2 1=2.000000e+00 2=2.000000e+00"), "Interp"),
        (("Concat", "Eltwise"), "Eltwise"),
        (("1=3 4=1", "1=3 4=2"), "Convolution"),
        ((" 0=0\n", " 0=1\n"), "BinaryOp"),
    ],
)
def test_other_networks_are_refused_by_the_layer_that_differs(tmp_path, change, layer):
    path = tiny.ncnn_rrdb(tmp_path / "x4", tiny.rrdb("new", blocks=1), blocks=1)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UnsupportedWeightsError, match=rf"layer '\w+' is a {layer} .* where .* is; RRDB"):
        recognise(read_weights(path))


def test_a_graph_that_goes_in_circles_is_refused(tmp_path):
    path = tiny.ncnn_rrdb(tmp_path / "x4", tiny.rrdb("new", blocks=1), blocks=1)
    lines = path.read_text().splitlines()
    last = next(i for i, line in enumerate(lines) if line.startswith("Eltwise"))
    lines[last] = re.sub(r" (\w+) (\w+) 0=1", r" \2 \2 0=1", lines[last])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UnsupportedWeightsError, match="takes or makes what it cannot"):
        recognise(read_weights(path))
