"""Upscalers of others: every layout, what is inferred of it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.importers import tiny_upscalers as tiny
from training.export.exportable import FLOATS
from training.export.formats import convert
from training.export.upscaler import upscaler_product
from training.families.base import Deployable
from training.importers.base import StoredFile, UnsupportedWeightsError
from training.importers.proof import prove
from training.importers.table import FORMATS, recognise
from training.networks.compact import CompactNet
from training.networks.rrdb import RRDBNet
from training.networks.srresnet import SRResNet

CASES = {
    "real-esrgan x4": (tiny.rrdb("new"), "esrgan", {"scale": 4, "blocks": 2, "growth": 4, "unshuffle": 1}),
    "real-esrgan x2": (tiny.rrdb("new", channels=12), "esrgan", {"scale": 2, "unshuffle": 2}),
    "real-esrgan x1": (tiny.rrdb("new", channels=48), "esrgan", {"scale": 1, "unshuffle": 4}),
    "realsr x4": (tiny.rrdb("realsr", blocks=3), "esrgan", {"scale": 4, "blocks": 3}),
    "bsrgan x2": (tiny.rrdb("realsr", ups=1), "esrgan", {"scale": 2, "unshuffle": 1}),
    "old x1": (tiny.rrdb("old", ups=0), "esrgan", {"scale": 1}),
    "old x2": (tiny.rrdb("old", ups=1), "esrgan", {"scale": 2}),
    "old x4": (tiny.rrdb("old", features=12), "esrgan", {"scale": 4, "features": 12}),
    "old x8": (tiny.rrdb("old", ups=3, blocks=1), "esrgan", {"scale": 8, "blocks": 1}),
    "compact x1": (tiny.compact(1), "real-esrgan-compact", {"scale": 1, "activation": "prelu"}),
    "compact x4": (tiny.compact(4, blocks=5), "real-esrgan-compact", {"scale": 4, "blocks": 5}),
    "compact relu": (tiny.compact(3, slopes=False), "real-esrgan-compact", {"scale": 3}),
    "msrresnet x2": (tiny.msrresnet(2), "msrresnet", {"scale": 2, "blocks": 2, "features": 8}),
    "msrresnet x3": (tiny.msrresnet(3), "msrresnet", {"scale": 3}),
    "msrresnet x4": (tiny.msrresnet(4), "msrresnet", {"scale": 4}),
    "srgan x2": (tiny.leftthomas(1), "leftthomas-srgan", {"scale": 2, "blocks": 5}),
    "srgan x8": (tiny.leftthomas(3), "leftthomas-srgan", {"scale": 8}),
}


def stored(content) -> StoredFile:
    return StoredFile(Path("some.pth"), "0" * 64, 1, "torch", content)


@pytest.mark.parametrize("case", CASES)
def test_every_layout_is_recognised_and_computes_what_its_tensors_say(case):
    state, name, expected = CASES[case]
    found = recognise(stored({f"module.{key}": tensor for key, tensor in state.items()}))
    assert (found.format, found.kind, found.part) == (name, "upscaler", "")
    assert expected.items() <= found.hyperparameters.items()
    assert found.parameters == sum(t.numel() for t in state.values() if t.is_floating_point())
    imported = found.build()
    assert imported.card["scale"] == found.hyperparameters["scale"] == imported.network.scale
    proof = prove(imported, "upscaler")
    assert proof.max_abs_error < 2e-5
    assert proof.max_level_error <= 1
    # A proof must be able to fail, and the network may not share memory with the file.
    before = {key: tensor.clone() for key, tensor in state.items()}
    first = next(iter(imported.network.parameters()))
    first.add_(torch.randn_like(first))
    assert prove_error(imported) > 0.01
    assert all(torch.equal(before[key], tensor) for key, tensor in state.items())


def prove_error(imported) -> float:
    x = torch.rand(1, 3, 12, 16)
    return float((imported.network(x) - imported.reference(x)).abs().max())


@pytest.mark.parametrize("case", CASES)
def test_published_weights_are_the_file_again(case):
    state, name, _ = CASES[case]
    network = recognise(stored(state)).build().network
    if name == "leftthomas-srgan":  # whose code has one size
        network = recognise(stored(tiny.leftthomas(2, features=64))).build().network
        state = tiny.leftthomas(2, features=64)
    published = next(f for f in FORMATS if f.name == name).publish(network)
    assert published is not None
    part = "params_ema" if "params_ema" in published else "params" if "params" in published else ""
    again = published[part] if part else published
    found = recognise(stored(published))
    assert (found.format, found.part) == (name, part)
    if not case.startswith(("old", "realsr")) or case in ("old x1", "old x8"):
        assert again.keys() == state.keys()
        assert all(torch.equal(again[key], state[key]) for key in state)
    back = found.build().network.state_dict()
    assert all(torch.equal(back[key], tensor) for key, tensor in network.state_dict().items())


def test_networks_of_ours_are_published_where_a_layout_has_a_place():
    by_name = {f.name: f for f in FORMATS}
    assert by_name["esrgan"].publish(RRDBNet(4, 8, 1, 4)).keys() == {"params_ema"}
    assert "upconv1.weight" in by_name["esrgan"].publish(RRDBNet(2, 8, 1, 4))
    assert by_name["esrgan"].publish(CompactNet(4, 8, 1)) is None
    with pytest.raises(UnsupportedWeightsError, match="by 3"):
        by_name["esrgan"].publish(RRDBNet(3, 8, 1, 4))
    with pytest.raises(UnsupportedWeightsError, match="tanh"):
        by_name["leftthomas-srgan"].publish(SRResNet(4, 64, 5))


def test_the_averaged_weights_are_taken_unless_others_are_asked_for():
    content = {"params": tiny.rrdb("new"), "params_ema": tiny.rrdb("new", blocks=3)}
    for part, blocks in ((None, 3), ("params", 2), ("params_ema", 3)):
        found = recognise(stored(content), part)
        assert (found.part, found.hyperparameters["blocks"]) == (part or "params_ema", blocks)
    with pytest.raises(UnsupportedWeightsError, match="no part 'G'"):
        recognise(stored(content), "G")


def test_a_file_without_slopes_leaves_the_activation_to_the_user():
    found = recognise(stored({"params": tiny.compact(4, slopes=False)}))
    assert list(found.variants) == ["relu", "leakyrelu"]
    x = torch.rand(1, 3, 6, 7)
    plain, leaky = found.build(), found.building("leakyrelu")()
    assert torch.equal(plain.network(x), found.building("relu")().network(x))
    assert (plain.network(x) - leaky.network(x)).abs().max() > 0.01
    assert prove(leaky, "upscaler").max_abs_error < 1e-5
    assert "relu was taken, --variant" in plain.notes[0]
    assert not recognise(stored({"params": tiny.compact(4)})).variants


def test_half_precision_is_widened_and_said():
    halves = {key: tensor.half() for key, tensor in tiny.rrdb("new").items()}
    imported = recognise(stored(halves)).build()
    assert {p.dtype for p in imported.network.parameters()} == {torch.float32}
    assert imported.notes == ["weights are stored as float16, and computed as float32"]
    assert prove(imported, "upscaler").max_abs_error < 1e-5


def without(state, key):
    return {k: t for k, t in state.items() if k != key}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without(tiny.rrdb("new"), "body.1.rdb2.conv3.bias"), "lacks 'body.1.rdb2.conv3.bias'"),
        ({**tiny.rrdb("new"), "extra": torch.ones(1)}, "also has 'extra'"),
        ({**tiny.rrdb("old"), "model.1.sub.0.RDB1.conv1x1.weight": torch.ones(1)}, r"ESRGAN\+"),
        (tiny.rrdb("new", channels=1), "takes 1 channels"),
        (tiny.rrdb("realsr", ups=1, channels=48), "no network that was published"),
        ({**tiny.rrdb("new"), "conv_hr.weight": torch.ones(8, 8, 1, 1)}, "'conv_hr.weight' is"),
        ({**tiny.compact(4), "body.0.weight": torch.ones(8, 1, 3, 3)}, "makes 48 channels of 1"),
        ({**tiny.msrresnet(2), "upconv1.weight": torch.ones(40, 8, 3, 3)}, "neither by 2, 3 nor 4"),
        (tiny.leftthomas(4), "enlarges 4 times"),
        ({**tiny.msrresnet(2), "conv_first.weight": torch.ones(0, 3, 3, 3)}, "not the weights"),
        ({**tiny.compact(4), "body.99999.weight": torch.ones(8)}, "of no format"),
        ({**tiny.compact(4), "body.99.weight": torch.ones(8)}, r"\(compact network\)|not the weights"),
        ({"layers.0.residual_group.blocks.0.attn.qkv.weight": torch.ones(1)}, "SwinIR.*RRDB"),
        ({"layers.0.residual_group.blocks.0.conv_block.cab.0.weight": torch.ones(1)}, "HAT"),
        ({"body.0.body.0.body.3.conv_du.0.weight": torch.ones(1)}, "RCAN or SAN"),
        ({"model.1.sub.0.res.0.weight": torch.ones(1)}, "MSRResNet"),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name(state, message):
    with pytest.raises(UnsupportedWeightsError, match=message):
        recognise(stored({"params": state}))


def test_an_exported_graph_computes_what_the_tensors_say():
    imported = recognise(stored(CASES["srgan x2"][0])).build()
    product = upscaler_product(Deployable("some", "Some", imported.network, card=dict(imported.card)))
    assert product.card["max_size"] >= 64
    converted = convert(product.models[0], "onnx")
    for one in product.models[0].cases[:2]:
        x = torch.from_numpy(one.inputs["source"]).permute(0, 3, 1, 2).float() / 255
        expected = imported.reference(x).permute(0, 2, 3, 1).mul(255).round().clamp(0, 255).to(torch.uint8)
        got = torch.from_numpy(converted.run(one.inputs)["images"])
        assert (got.int() - expected.int()).abs().max() <= 1
    assert FLOATS not in converted.run(one.inputs)
