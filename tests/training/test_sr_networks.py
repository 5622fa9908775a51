"""Super-resolution networks: canonical sizes, any scale and any image size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.networks.compact import CompactNet
from training.networks.rrdb import RRDBNet
from training.networks.sr_discriminators import UNetDiscriminator, VGGDiscriminator
from training.networks.srresnet import SRResNet
from training.networks.vgg import VGG19Features


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: SRResNet(), 1_547_350),
        (lambda: RRDBNet(), 16_697_987),
        (lambda: RRDBNet(scale=2, unshuffle=2), 16_703_171),  # Real-ESRGAN's for scale 2
        (lambda: CompactNet(), 621_424),
        (lambda: UNetDiscriminator(), 4_376_897),
        (lambda: VGGDiscriminator(96), 23_563_649),
        (lambda: VGG19Features("conv5_4"), 20_024_384),  # VGG-19 without its classifier
    ],
)
def test_canonical_sizes(network, parameters):
    with torch.device("meta"):
        assert count(network()) == parameters


def small(name: str, scale: int) -> nn.Module:
    if name == "rrdb":
        return RRDBNet(scale, features=8, blocks=1, growth=4)
    if name == "compact":
        return CompactNet(scale, features=8, blocks=2)
    return SRResNet(scale, features=8, blocks=2, norm="none" if name == "plain" else "batch")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["srresnet", "plain", "rrdb", "compact"])
def test_any_size_becomes_scale_times_larger(name, scale):
    network = small(name, scale).eval()
    assert (network.scale, network.size_multiple) == (scale, 1)
    for h, w in ((7, 13), (8, 8), (1, 5)):
        assert network(torch.rand(2, 3, h, w)).shape == (2, 3, scale * h, scale * w)


def test_unshuffled_input_keeps_the_scale():
    network = RRDBNet(scale=2, features=8, blocks=1, growth=4, unshuffle=2)
    assert network.size_multiple == 2
    assert network(torch.rand(1, 3, 6, 10)).shape == (1, 3, 12, 20)


@pytest.mark.parametrize("name", ["plain", "rrdb", "compact"])
def test_each_image_is_by_itself_and_each_parameter_learns(name):
    network = small(name, 4)
    images = torch.rand(3, 3, 6, 5)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))
    network(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_an_untrained_compact_network_is_near_nearest_neighbours():
    images = torch.rand(1, 3, 8, 8)
    nearest = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert (CompactNet(4, features=16, blocks=4)(images) - nearest).abs().mean() < 0.05


def test_sub_pixel_convolutions_begin_without_a_checkerboard():
    up = SRResNet(scale=3, features=4, blocks=1).up(torch.rand(1, 4, 5, 5))
    cells = up.unfold(2, 3, 3).unfold(3, 3, 3)  # [1, 4, 5, 5, 3, 3]
    torch.testing.assert_close(cells, cells[..., :1, :1].expand_as(cells))


def test_rrdb_layers_are_named_as_published_weights_are():
    names = set(RRDBNet(4, features=8, blocks=2, growth=4).state_dict())
    assert {"conv_first.weight", "body.1.rdb3.conv5.bias", "conv_up2.weight", "conv_hr.bias"} <= names
    assert {"body.0.weight", "body.1.weight", "body.32.weight", "body.34.bias"} <= set(
        CompactNet().state_dict()
    )


def test_discriminators_judge_images_or_pixels():
    assert VGGDiscriminator(20, features=4)(torch.rand(2, 3, 20, 20)).shape == (2, 1)
    assert UNetDiscriminator(features=4)(torch.rand(2, 3, 16, 24)).shape == (2, 1, 16, 24)


@pytest.mark.parametrize("network", [UNetDiscriminator(4), VGGDiscriminator(16, 4, norm="spectral")])
def test_spectral_normalisation_bounds_every_convolution(network):
    bounded = [m for m in network.modules() if isinstance(m, nn.Conv2d) and hasattr(m, "parametrizations")]
    assert len(bounded) >= 7
    for conv in bounded:
        with torch.no_grad():
            conv.parametrizations.weight.original.mul_(10)
    for _ in range(30):
        network(torch.rand(1, 3, 16, 16))
    for conv in bounded:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)


def test_signals_do_not_fade_in_an_untrained_compact_network():
    network = CompactNet(4, features=32, blocks=16)
    assert network.body[:-1](torch.rand(1, 3, 16, 16)).std() > 0.1  # 0.02 with PyTorch's usual weights
