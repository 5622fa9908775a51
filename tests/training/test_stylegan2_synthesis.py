"""StyleGAN2 as it is served, against the network as the paper has it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from training.export import stylegan2_synthesis
from training.export.stylegan2_synthesis import ServedSynthesis, served_synthesis
from training.export.winograd import Winograd
from training.networks.stylegan2 import Generator


def random_synthesis(**sizes):
    torch.manual_seed(0)
    synthesis = Generator(8, 8, mapping_layers=1, **sizes).eval().requires_grad_(False).synthesis
    for name, parameter in synthesis.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter.normal_()
    return synthesis


@pytest.mark.parametrize(("o", "i", "side"), [(3, 5, 8), (6, 4, 32)])
def test_fewer_multiplications_make_the_same_convolution(o, i, side):
    torch.manual_seed(0)
    x, weight = torch.randn(2, i, side, side), torch.randn(o, i, 3, 3)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    torch.testing.assert_close(Winograd(weight, side)(x).double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"noise": False}, {"bound": 0.7}])
def test_the_served_order_of_sums_makes_the_same_images(fast, sizes, monkeypatch):
    monkeypatch.setattr(stylegan2_synthesis, "WIDE", 4)
    synthesis = random_synthesis(resolution=32, channels=(6, 5, 7, 8), **sizes)
    served = ServedSynthesis(synthesis, fast=fast)
    assert any(layer.convolve is not None for layer in served.layers) is fast
    ws = torch.randn(3, synthesis.num_ws, 8)
    for noise in (None, synthesis.constant_noise(), synthesis.random_noise(3)):
        if noise and not sizes.get("noise", True):
            continue
        torch.testing.assert_close(served(ws, noise), synthesis(ws, noise), rtol=1e-4, atol=3e-5)
    assert len(served.constant_noise()) == len(synthesis.constant_noise())


def test_wide_convolutions_stay_where_rounding_would_show(monkeypatch):
    monkeypatch.setattr(stylegan2_synthesis, "WIDE", 4)
    synthesis = random_synthesis(resolution=32, channels=(4, 4, 4, 4))
    assert served_synthesis(synthesis).layers[-1].convolve is not None
    for block in synthesis.blocks:
        block.torgb.weight *= 1e4  # whatever such a network is for
    assert served_synthesis(synthesis).layers[-1].convolve is None
