"""Translators of pytorch-CycleGAN-and-pix2pix and of CUT: into our networks, and out again."""

from __future__ import annotations

import pytest
import torch

from tests.training.importers.tiny_translators import resnet, stored, unet
from training.export.formats import convert
from training.export.translator import translator_product
from training.families.base import Deployable
from training.families.translation import TestTime, as_served
from training.importers.base import UnsupportedWeightsError
from training.importers.proof import ProofError, prove
from training.importers.table import recognise
from training.importers.translators.cut import CUT
from training.importers.translators.cyclegan_pix2pix import CycleGANPix2Pix
from training.networks.grey import grey
from training.networks.resnet import ResNet
from training.networks.unet import UNet

FILES = {
    "resnet": resnet(),
    "resnet-batch": resnet("batch"),
    "resnet-batch-dropout": resnet("batch", dropout=True),
    "resnet-instance-dropout": resnet("instance", blocks=3, dropout=True),
    "resnet-batch-biased": resnet("batch", biased=True),
    "resnet-none": resnet("none"),
    "resnet-affine": resnet("instance-affine"),
    "resnet-legacy": resnet(legacy=True),
    "resnet-from-grey": resnet(channels=(1, 3)),
    "unet": unet(),
    "unet-instance": unet("instance", num_downs=6),
    "unet-none": unet("none"),
    "unet-legacy": unet("instance", legacy=True),
    "unet-grey": unet(channels=(1, 1)),
    "cut": resnet(down_filter=True, up_filter=True),
    "cut-down": resnet("batch", down_filter=True),
    "cut-up": resnet(up_filter=True, dropout=True),
}


@pytest.mark.parametrize("name", FILES)
def test_ours_computes_what_the_tensors_say(name):
    found = recognise(stored(FILES[name]))
    assert found.kind == "translator"
    assert found.format == ("cut" if name.startswith("cut") else "cyclegan-pix2pix")
    assert found.family == {"resnet": "cyclegan", "unet": "pix2pix", "cut": "cut"}[name.split("-")[0]]
    builds = {**found.variants, "": found.build}
    assert len(builds) == (3 if found.hyperparameters["norm"] == "batch" else 1)
    for build in builds.values():
        assert prove(build(), "translator").max_abs_error < 2e-5


def test_hyperparameters_come_from_names_and_shapes():
    found = recognise(stored(FILES["resnet-instance-dropout"]))
    assert found.hyperparameters == {
        "blocks": 3,
        "channels": 4,
        "downs": 2,
        "norm": "instance",
        "dropout": 0.5,
        "in_channels": 3,
        "out_channels": 3,
        "antialias_down": False,
        "antialias_up": False,
    }
    found = recognise(stored(FILES["unet-instance"]))
    assert found.title == "Pix2Pix translator, U-Net for 64 × 64 pixels"
    assert found.hyperparameters == {
        "num_downs": 6,
        "channels": 2,
        "norm": "instance",
        "in_channels": 3,
        "out_channels": 3,
    }


def test_batch_normalisation_is_by_averages_unless_those_of_each_image_are_wanted():
    found = recognise(stored(FILES["resnet-batch"]))
    usual, by_image = found.build(), found.variants["image-statistics"]()
    assert "running averages" in usual.card["normalisation"]
    assert "each image alone" in by_image.card["normalisation"]
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert (usual.network(x) - by_image.network(x)).abs().max() > 0.1
    together = by_image.network(x)
    assert (together[:1] - by_image.network(x[:1])).abs().max() < 1e-5
    with pytest.raises(UnsupportedWeightsError, match="no variant 'mine': running-statistics"):
        found.building("mine")


def test_what_was_left_out_is_told():
    imported = recognise(stored(FILES["resnet-legacy"])).build()
    assert "18 running statistics" in imported.notes[0]
    assert imported.card == {
        "size_multiple": 4,
        "min_size": 8,
        "normalisation": "Instance normalisation, by the statistics of each image, in training as in use.",
        "dropout": "None, in training or in use.",
    }
    half = {name: tensor.half() for name, tensor in FILES["unet-instance"].items()}
    imported = recognise(stored(half)).build()
    assert imported.notes[0].startswith("Stored in half precision")
    assert "does not tell" in imported.card["dropout"]
    assert "Dropout is off" in imported.notes[-1]


def test_files_of_before_pytorch_0_4_1_do_not_count_batches():
    counted = FILES["resnet-batch"]
    uncounted = {name: tensor for name, tensor in counted.items() if "num_batches" not in name}
    a, b = (recognise(stored(file)).build().network for file in (counted, uncounted))
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(a(x), b(x))


@pytest.mark.parametrize(
    "wrapped",
    [
        {"netG_A": FILES["cut"]},
        {f"module.{name}": tensor for name, tensor in FILES["cut"].items()},
        {name.replace("conv_block", "block"): tensor for name, tensor in FILES["cut"].items()},
    ],
)
def test_wrapped_files(wrapped):
    assert recognise(stored(wrapped)).parameters == recognise(stored(FILES["cut"])).parameters


def test_luma_is_that_of_pillow():
    image = pytest.importorskip("PIL.Image")
    colours = torch.randint(0, 256, (40, 50, 3), dtype=torch.uint8)
    expected = torch.tensor(list(image.fromarray(colours.numpy()).convert("L").tobytes())).view(40, 50)
    levels = (grey(colours.permute(2, 0, 1)[None] / 127.5 - 1) + 1) * 127.5
    assert torch.equal(levels.round()[0, 0].long(), expected)


def replaced(name, change):
    tensors = {key: tensor.clone() for key, tensor in FILES[name].items()}
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (
            {"model.0.weight": torch.ones(4, 3, 4, 4), "model.2.weight": torch.ones(1, 4, 4, 4)},
            "discriminator",
        ),
        ({"net.0.weight": torch.ones(4, 3, 1, 1)}, "discriminator"),
        ({"mlp_0.0.weight": torch.ones(4, 3)}, "net_F"),
        ({"encoder.convs.1.0.weight": torch.ones(4, 3, 1, 1)}, "StyleGAN2 blocks"),
        ({"enc_content.model.0.conv.weight": torch.ones(4, 3, 7, 7)}, "resnet_cat"),
        (resnet(channels=(35, 3)), "takes 35 channels"),
        (unet(channels=(1, 2)), "makes 2 channels"),
        (replaced("resnet", lambda t: t.pop("model.7.weight")), "variant"),
        (replaced("unet", lambda t: t.pop("model.model.1.model.5.weight")), "missing"),
        (replaced("unet", lambda t: t.pop("model.model.3.weight")), "missing"),
        (replaced("resnet", lambda t: t.update({"extra.weight": torch.ones(1)})), "no place"),
        (replaced("resnet", lambda t: t.update({"model.4.weight": torch.ones(8, 4, 5, 5)})), "variant"),
        (replaced("cut", lambda t: t["model.7.filt"].__setitem__((0, 0, 0, 0), 1)), "binomial filter"),
        (unet(num_downs=4), "4 levels"),
        (replaced("resnet", lambda t: t.update({"model.13.extra": torch.ones(1)})), "no place"),
        (replaced("resnet", lambda t: t.update({"model.99.extra": torch.ones(1)})), "last layer"),
        (
            replaced("resnet", lambda t: t.update({"model.14.conv_block.1.weight": torch.ones(1)})),
            "next to each",
        ),
        (
            {"model.1.weight": torch.ones(0, 3, 7, 7), "model.4.conv_block.1.bias": torch.ones(0)},
            "last layer",
        ),
        (replaced("unet", lambda t: t.update({"model.model.0.bias": torch.ones(2)})), "no place"),
    ],
)
def test_what_cannot_be_imported_is_refused_before_anything_is_built(tensors, reason):
    with pytest.raises(UnsupportedWeightsError, match=reason):
        recognise(stored(tensors))


def test_a_layer_in_the_wrong_place_is_noticed():
    """The proof is a second computation: it does not follow our networks where they go wrong."""
    imported = recognise(stored(FILES["resnet"])).build()
    with torch.no_grad():
        imported.network.layers[4].weight.copy_(imported.network.layers[4].weight.transpose(2, 3).clone())
    with pytest.raises(ProofError):
        prove(imported, "translator")


@pytest.mark.parametrize("name", [name for name in FILES if "affine" not in name and "biased" not in name])
def test_a_round_trip_changes_no_bit(name):
    network = recognise(stored(FILES[name])).build().network
    published = (CUT() if name.startswith("cut") else CycleGANPix2Pix()).publish(network)
    expected = FILES[name]
    if "legacy" in name:
        expected = {n: t for n, t in expected.items() if "running" not in n}
    assert published.keys() == expected.keys()
    for tensor_name, tensor in expected.items():
        assert torch.equal(published[tensor_name], tensor), tensor_name


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: ResNet(1, 2, downs=3), "8 times smaller"),
        (lambda: ResNet(1, 2, norm="instance-affine"), "neither scales nor shifts"),
        (lambda: ResNet(1, 2, norm="none", antialias_up=True), "by filters"),
        (lambda: UNet(4, 2), "at least 5 times"),
    ],
)
def test_what_the_public_code_cannot_make_is_not_published(network, reason):
    with pytest.raises(UnsupportedWeightsError, match=reason):
        CycleGANPix2Pix().publish(network().eval())


def test_biases_without_normalisation_are_not_published():
    network = UNet(5, 2, norm="none").eval()
    assert CycleGANPix2Pix().publish(network).keys() == FILES["unet-none"].keys()
    torch.nn.init.ones_(network.down[0].bias)
    with pytest.raises(UnsupportedWeightsError, match="no biases"):
        CycleGANPix2Pix().publish(network)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_a_narrow_u_net_is_published_with_channels_of_zeros(norm):
    network = UNet(6, 2, 5, norm)
    if norm == "batch":
        network(torch.randn(2, 3, 64, 64))
    published = CycleGANPix2Pix().publish(network.eval())
    wide = unet(norm, num_downs=6)
    assert {name: t.shape for name, t in published.items()} == {name: t.shape for name, t in wide.items()}
    found = recognise(stored(published))
    back = found.build().network
    x = torch.rand(1, 3, 64, 128) * 2 - 1
    torch.testing.assert_close(back(x), network(x), atol=1e-6, rtol=0)
    assert back(x).std() > 1e-3


def test_a_trained_network_is_published_whatever_it_is_served_with():
    network = ResNet(1, 2, norm="batch", dropout=0.5).train()
    network(torch.randn(2, 3, 8, 8))
    plain = CycleGANPix2Pix().publish(network.eval())
    served = CycleGANPix2Pix().publish(as_served(network, TestTime(statistics="batch", dropout=True)))
    assert plain["model.2.running_mean"].any()
    assert all(torch.equal(served[name], tensor) for name, tensor in plain.items())
    assert CUT().publish(UNet(5, 2)) is None
    with pytest.raises(UnsupportedWeightsError, match="write it as `cyclegan-pix2pix`"):
        CUT().publish(network)
    assert CycleGANPix2Pix().publish(torch.nn.Identity()) is None


def test_anti_aliased_networks_are_exported_and_tiled():
    file = stored(resnet("batch", blocks=1, down_filter=True, up_filter=True))
    imported = recognise(file).build()
    product = translator_product(Deployable("cut", "CUT", imported.network, card=imported.card))
    assert product.card["receptive_radius"] == 3 + 1 + 1 + 2 * (1 + 1) + 4 * 2 + 4 + 2 * 1 + 2 + 1 + 3
    converted = convert(product.models[0], "onnx")  # which runs it beside the network, at four sizes
    assert product.measure([converted.run], "")["tileable"] is True
