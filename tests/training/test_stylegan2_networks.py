"""The StyleGAN2 networks against the paper: sizes, and each layer against a naive computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from training.networks.layers import binomial_filter, downsample2x, upsample2x
from training.networks.stylegan2 import (
    Discriminator,
    Generator,
    StyledConv,
    SynthesisNetwork,
    count_ws,
    minibatch_stddev,
    modulated_conv2d,
    truncate,
)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("resolution", "channel_base", "g_million", "d_million"),
    [(256, 16384, 24.77, 24.00), (1024, 32768, 30.37, 29.01)],
)
def test_published_sizes(resolution, channel_base, g_million, d_million):
    with torch.device("meta"):
        g = Generator(resolution=resolution, channel_base=channel_base)
        d = Discriminator(resolution, channel_base)
    assert round(parameters(g) / 1e6, 2) == g_million
    assert round(parameters(d) / 1e6, 2) == d_million


def test_w_plus_is_18_by_512_at_1024():
    assert count_ws(1024) == 18
    assert count_ws(64) == 10


@pytest.mark.parametrize("resolution", [4, 48, 100])
def test_resolution_must_be_a_power_of_two(resolution):
    with pytest.raises(ValueError, match="power of two"):
        SynthesisNetwork(8, resolution, 64, 8)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_modulation_equals_weights_of_each_sample(demodulate, up):
    torch.manual_seed(0)
    x, weight, s = torch.randn(3, 5, 8, 8), torch.randn(7, 5, 3, 3), torch.randn(3, 5)
    expected = []
    for i in range(3):
        w = weight * s[i][None, :, None, None]  # equation 1
        if demodulate:
            w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()  # equation 3
        if up:
            expected.append(F.conv_transpose2d(x[i : i + 1], w.transpose(0, 1), stride=2))
        else:
            expected.append(F.conv2d(x[i : i + 1], w, padding=1))
    got = modulated_conv2d(x, weight, s, demodulate=demodulate, up=up)
    torch.testing.assert_close(got, torch.cat(expected), rtol=1e-4, atol=1e-4)


def test_upsampling_is_zero_insertion_and_a_low_pass_filter():
    torch.manual_seed(0)
    x, f = torch.randn(2, 3, 5, 6), binomial_filter()
    spread = torch.zeros(2, 3, 10, 12)
    spread[:, :, ::2, ::2] = x
    kernel = (f * 4).expand(3, 1, 4, 4)
    expected = F.conv2d(F.pad(spread, (2, 1, 2, 1)), kernel, groups=3)
    torch.testing.assert_close(upsample2x(x, f, 3), expected)


def test_resampling_keeps_a_constant_and_its_place():
    f = binomial_filter()
    constant = torch.ones(1, 2, 16, 16)
    assert torch.allclose(upsample2x(constant, f, 2)[:, :, 2:-2, 2:-2], torch.ones(1, 2, 28, 28))
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    halved = downsample2x(ramp, f, 1)[0, 0, 4, 1:-1]
    torch.testing.assert_close(halved, torch.arange(16.0).view(8, 2).mean(1)[1:-1])


def test_activations_have_unit_variance_at_the_start():
    torch.manual_seed(0)
    conv = StyledConv(64, 64, 32, 32)
    y = conv(torch.randn(4, 64, 32, 32), torch.randn(4, 32), None)
    assert y.square().mean().sqrt().item() == pytest.approx(1.0, abs=0.1)


def test_noise_is_scaled_by_its_learned_strength():
    torch.manual_seed(0)
    conv = StyledConv(4, 4, 8, 8)
    x, w, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 8), torch.randn(1, 1, 8, 8)
    assert torch.equal(conv(x, w, noise), conv(x, w, None))  # the strength starts at zero
    conv.noise_strength.data.fill_(0.5)
    assert not torch.equal(conv(x, w, noise), conv(x, w, None))


def test_the_synthesis_constant_does_not_change_between_calls():
    torch.manual_seed(0)
    g = Generator(16, 16, 16, 128, 16, 2).eval()
    z = torch.randn(2, 16)
    assert torch.equal(g(z), g(z))


def test_mapping_ignores_the_length_of_z():
    torch.manual_seed(0)
    mapping = Generator(16, 16, 16, 128, 16, 2).mapping
    z = torch.randn(3, 16)
    torch.testing.assert_close(mapping.styles(z), mapping.styles(z * 7))


def test_every_ws_has_an_effect():
    """Changing the last w must leave everything but the last to-RGB alone, and so on upwards."""
    torch.manual_seed(0)
    s = Generator(16, 16, 32, 512, 16, 2).synthesis
    ws = torch.randn(1, s.num_ws, 16)
    base = s(ws, None)
    changed = []
    for layer in range(s.num_ws):
        other = ws.clone()
        other[:, layer] += 1
        changed.append((s(other, None) - base).abs().max().item())
    assert all(c > 0 for c in changed)


def test_truncation():
    torch.manual_seed(0)
    ws, w_avg = torch.randn(4, 6, 3), torch.randn(3)
    psi = torch.tensor([[1.0], [0.0], [0.5], [0.5]])
    cutoff = torch.tensor([[-1], [-1], [2], [0]], dtype=torch.int32)
    out = truncate(ws, w_avg, psi, cutoff)
    assert torch.equal(out[0], ws[0])  # bit for bit
    torch.testing.assert_close(out[1], w_avg.expand(6, 3))
    torch.testing.assert_close(out[2, :2], (ws[2, :2] + w_avg) / 2)
    assert torch.equal(out[2, 2:], ws[2, 2:])
    assert torch.equal(out[3], ws[3])


def test_minibatch_stddev():
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4)
    y = minibatch_stddev(x, 4)
    assert y.shape == (8, 4, 4, 4)
    group = x[[0, 2, 4, 6]]  # with two groups of four, every second image is in the first
    expected = group.var(dim=0, unbiased=False).add(1e-8).sqrt().mean()
    torch.testing.assert_close(y[0, 3], expected.expand(4, 4))
    torch.testing.assert_close(y[6, 3], expected.expand(4, 4))
    assert minibatch_stddev(x[:1].expand(4, -1, -1, -1), 4)[:, 3].max() < 1e-3
    with pytest.raises(ValueError, match="no multiple"):
        minibatch_stddev(x[:6], 4)


def test_discriminator_sees_a_batch_in_groups():
    torch.manual_seed(0)
    d = Discriminator(16, 128, 16, 4)
    x = torch.randn(8, 3, 16, 16)
    logits = d(x)
    assert logits.shape == (8, 1)
    torch.testing.assert_close(d(x[[0, 2, 4, 6]]), logits[[0, 2, 4, 6]])


def test_equalised_learning_rate_scales_at_run_time():
    torch.manual_seed(0)
    d = Discriminator(16, 2048, 128)
    weight = d.blocks[0].conv0.weight
    assert weight.std().item() == pytest.approx(1.0, abs=0.02)
    assert d.blocks[0].conv0.weight_gain == pytest.approx(1 / math.sqrt(128 * 9))
