"""Generators and discriminators of image translation: canonical sizes, shapes, receptive fields, norms."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from training.families.translation import GeneratorConfig, build_generator
from training.networks.antialias import UP_TAPS, Downsample, Upsample, binomial
from training.networks.dropout import Dropout
from training.networks.initialization import init_normal
from training.networks.norms import BatchNorm2d, normalise_by_image
from training.networks.patchgan import PatchGAN
from training.networks.resnet import ResNet
from training.networks.unet import UNet


def millions(network):
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: UNet(8), 54.414),
        (lambda: UNet(7), 41.829),
        (lambda: ResNet(9), 11.378),
        (lambda: ResNet(6), 7.838),
        (lambda: PatchGAN(6), 2.769),
        (lambda: PatchGAN(3, norm="instance"), 2.765),
    ],
)
def test_canonical_sizes(build, size):
    with torch.device("meta"):
        assert millions(build()) == size


@pytest.mark.parametrize("norm", ["batch", "instance", "instance-affine", "none"])
@pytest.mark.parametrize(
    "build",
    [
        lambda norm: UNet(3, 4, 8, norm),
        lambda norm: UNet(6, 4, norm=norm),
        lambda norm: ResNet(1, 4, 2, norm),
        lambda norm: ResNet(1, 4, 0, norm, dropout=0.5),
        lambda norm: ResNet(1, 4, 2, norm, antialias_down=True, antialias_up=True),
    ],
)
def test_generators_keep_every_size_they_promise(build, norm):
    network = build(norm).eval()
    step, least = network.size_multiple, network.min_size
    for h, w in ((least, least), (least + step, least + 3 * step)):
        y = network(torch.randn(2, 3, h, w))
        assert y.shape == (2, 3, h, w)
        assert y.abs().max() <= 1


def test_generators_start_from_small_normal_weights():
    network = UNet(5, 32)
    weights = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    scales = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    layer = nn.Linear(4, 4)
    init_normal(layer)
    assert not layer.bias.any()


def test_the_u_net_hands_detail_across():
    """With the bottleneck cut, the output still depends on the input pixel for pixel."""
    network = UNet(4, 4, norm="none", dropout=0.0).eval()
    nn.init.zeros_(network.down[-1][1].weight)
    a = torch.randn(1, 3, 16, 16)
    assert (network(a) - network(-a)).abs().max() > 1e-6
    assert [len(list(layer)) for layer in network.down[1:]] == [2, 2, 2]


def test_dropout_is_in_the_first_three_decoder_layers_at_most():
    with torch.device("meta"):
        layers = [any(isinstance(m, Dropout) for m in layer) for layer in UNet(8).up]
    assert layers == [True, True, True, False, False, False, False, False]


@pytest.mark.parametrize(("n_layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_one_patch(n_layers, field):
    network = PatchGAN(3, 4, n_layers, norm="none").double()
    for p in network.parameters():
        nn.init.ones_(p)  # so that no path cancels
    assert network.receptive_field == field
    x = torch.rand(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    logits = network(x)
    side = logits.shape[2]
    logits[0, 0, side // 2, side // 2].backward()
    seen = x.grad[0].abs().sum(dim=0) > 0
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == field


def test_patchgan_of_70_pixels_judges_30_by_30_patches():
    assert PatchGAN(6, 4)(torch.randn(1, 6, 256, 256)).shape == (1, 1, 30, 30)
    assert PatchGAN(6, 4)(torch.randn(1, 6, 24, 24)).shape == (1, 1, 1, 1)


def test_dropout_that_stays_on_drops_a_share_of_units_always_the_same():
    layer = Dropout(8, 0.5).eval()
    x = torch.rand(3, 8, 40, 50) + 1
    assert torch.equal(layer(x), x)
    layer.keep_at_test_time()
    y = layer(x)
    assert torch.equal(layer(x), y)
    zeros = y == 0
    assert torch.equal(zeros[0], zeros[1])
    assert zeros.float().mean().item() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(y[~zeros], 2 * x[~zeros])
    other = Dropout(8, 0.5).eval()
    other.keep_at_test_time()
    assert torch.equal(other(x), y)
    assert not layer.state_dict()  # a checkpoint does not depend on the policy


class TestBatchNorm:
    def test_it_is_that_of_pytorch_on_one_process(self):
        mine, theirs = BatchNorm2d(4), nn.BatchNorm2d(4)
        assert mine.state_dict().keys() == theirs.state_dict().keys()
        x = torch.randn(3, 4, 5, 5)
        assert torch.equal(mine(x), theirs(x))
        assert torch.equal(mine.running_var, theirs.running_var)

    def test_by_image_it_is_that_of_a_batch_of_one(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNorm2d(4), nn.Sequential(nn.ReLU(), BatchNorm2d(4)))
        init_normal(network, std=0.5)
        served = copy.deepcopy(network).eval()
        normalise_by_image(served)
        x = torch.randn(3, 3, 8, 8)
        expected = torch.cat([network(image[None]) for image in x])
        torch.testing.assert_close(served(x), expected, atol=1e-5, rtol=1e-5)


class TestAntiAliasing:
    def test_halving_blurs_before_pixels_are_dropped(self):
        x = torch.zeros(1, 2, 8, 8)
        x[0, 0, 4, 4] = 16.0
        y = Downsample(2)(x)
        assert y.shape == (1, 2, 4, 4)
        assert y[0, 0, 2, 2] == 4.0  # ½ · ½
        assert not y[0, 1].any()
        checks = torch.full((6, 6), -1.0)
        checks[::2, ::2] = checks[1::2, 1::2] = 1.0
        torch.testing.assert_close(
            Downsample(1)(checks[None, None]), torch.zeros(1, 1, 3, 3)
        )  # the alias is gone

    def test_doubling_is_the_transposed_binomial_filter(self):
        x = torch.randn(2, 3, 5, 7)
        kernel = binomial(UP_TAPS, gain=4.0).repeat(3, 1, 1, 1)
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
        expected = nn.functional.conv_transpose2d(padded, kernel, stride=2, padding=3, groups=3)
        torch.testing.assert_close(Upsample(3)(x), expected, atol=1e-6, rtol=1e-6)

    def test_a_configuration_asks_for_it(self):
        config = GeneratorConfig(network="resnet", blocks=1, channels=4, antialias=True)
        layers = [type(layer) for layer in build_generator(config).layers]
        assert (layers.count(Downsample), layers.count(Upsample)) == (2, 2)
