"""The StyleGAN2 networks against the paper: sizes, and each layer against a naive computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from training.networks.layers import (
    HALF_BOUND,
    binomial_filter,
    downsample2x,
    first_half_resolution,
    modulated_conv2d,
    normalize_2nd_moment,
    upsample2x,
)
from training.networks.mapping import truncate
from training.networks.stylegan2 import (
    Generator,
    StyledConv,
    count_ws,
)
from training.networks.stylegan2_discriminator import Discriminator, LabelMapping, minibatch_stddev


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("resolution", "channel_base", "g_size", "d_size"),
    [(256, 16384, 24_767_458, 24_001_089), (1024, 32768, 30_370_060, 29_012_513)],
)
def test_published_sizes(resolution, channel_base, g_size, d_size):
    with torch.device("meta"):
        g = Generator(resolution=resolution, channel_base=channel_base)
        d = Discriminator(resolution, channel_base)
    assert parameters(g) == g_size
    assert parameters(d) == d_size


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512, 1024])
def test_every_power_of_two_has_its_networks(resolution):
    g, d = Generator(4, 4, resolution, 2048, 4, 2), Discriminator(resolution, 2048, 4)
    images = g(torch.randn(1, 4))
    assert images.shape == (1, 3, resolution, resolution)
    assert d(images).shape == (1, 1)


def test_names_of_weights_that_checkpoints_rely_on():
    names = Generator(8, 8, 8, 64, 8, 2).state_dict().keys()
    assert {"mapping.w_avg", "mapping.layers.0.weight", "mapping.layers.1.bias"} <= names
    assert {"synthesis.blocks.0.const", "synthesis.blocks.1.conv0.noise_const"} <= names
    assert not any("embed" in name for name in names)  # an unconditional network knows no labels


def test_w_plus_is_18_by_512_at_1024():
    assert count_ws(1024) == 18
    assert count_ws(64) == 10


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("resolution", [2, 48, 100])
def test_resolution_must_be_a_power_of_two(network, resolution):
    with pytest.raises(ValueError, match="power of two"):
        network(resolution=resolution, channel_base=64)


def test_a_generator_of_other_sizes_than_the_published():
    """Channels that follow no rule, no noise, a bound in FP32, other widths and rates of the mapping."""
    g = Generator(
        6, 8, 16, channels=(5, 3, 4), mapping_layers=3, c_dim=2, noise=False, bound=0.5,
        layer_features=7, embed_features=4, lr_multiplier=0.1,
    )  # fmt: skip
    assert [conv.out_channels for conv in g.synthesis.styled_convs()] == [5, 3, 3, 4, 4]
    assert g.synthesis.constant_noise() == []
    assert [tuple(layer.weight.shape) for layer in g.mapping.layers] == [(7, 10), (7, 7), (8, 7)]
    assert g.mapping.layers[0].bias_gain == 0.1
    largest = []
    for conv in [*g.synthesis.styled_convs(), *(block.torgb for block in g.synthesis.blocks)]:
        conv.register_forward_hook(lambda module, inputs, output: largest.append(output.abs().max().item()))
    assert g(torch.randn(2, 6), label=torch.eye(2)).shape == (2, 3, 16, 16)
    assert len(largest) == 8
    assert max(largest) == 0.5
    with pytest.raises(ValueError, match="2 numbers of channels do not lead to a resolution of 16"):
        Generator(resolution=16, channels=(4, 4))


def test_the_smallest_generator_is_one_block():
    g = Generator(4, 4, 4, 16, 4, 2)
    assert g.synthesis.num_ws == 2
    assert g(torch.randn(1, 4)).shape == (1, 3, 4, 4)


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


def test_a_label_enters_the_mapping_network_beside_z():
    mapping = Generator(8, 6, 16, 128, 16, 2, c_dim=3).mapping
    z, label = torch.randn(3, 8), torch.eye(3)
    embedded = mapping.embed.weight.T * mapping.embed.weight_gain + mapping.embed.bias  # a row for each class
    x = torch.cat([normalize_2nd_moment(z), normalize_2nd_moment(embedded)], dim=1)
    for layer in mapping.layers:
        x = layer(x)
    torch.testing.assert_close(mapping.styles(z, label), x)
    assert torch.equal(mapping.ws(z, label), mapping(z, label=label))
    assert not torch.allclose(mapping.styles(z, label), mapping.styles(z, label.roll(1, 0)))
    with pytest.raises(ValueError, match=r"needs labels, \[N, 3\]"):
        mapping.styles(z)


def test_a_conditional_discriminator_projects_on_its_view_of_the_label():
    """D(x, c) = ⟨φ(x), m(c)⟩ / √width."""
    d = Discriminator(16, 128, 16, 4, c_dim=3)
    features = []
    d.out.register_forward_hook(lambda module, inputs, output: features.append(output))
    images, label = torch.randn(4, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0]]
    logits = d(images, label)
    expected = [features[0][i] @ d.label_mapping(label)[i] / math.sqrt(16) for i in range(4)]
    torch.testing.assert_close(logits[:, 0], torch.stack(expected))
    assert not torch.allclose(d(images, label.roll(1, 1)), logits)
    with pytest.raises(ValueError, match=r"needs labels, \[N, 3\]"):
        d(images)


def test_the_view_of_a_label_starts_at_unit_variance():
    mapped = LabelMapping(10, 512)(torch.eye(10))
    assert mapped.square().mean().sqrt().item() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_only_where_it_was_asked_for(dtype):
    g = Generator(8, 8, 32, 512, 16, 2, num_fp16_res=2)
    d = Discriminator(32, 512, 16, num_fp16_res=2)
    types = {}
    for block in g.synthesis.blocks:
        block.conv1.register_forward_hook(
            lambda module, inputs, output: types.__setitem__(module.resolution, output.dtype)
        )
    for block in d.blocks:
        block.conv0.register_forward_hook(
            lambda module, inputs, output: types.__setitem__(-output.shape[-1], output.dtype)
        )
    z = torch.randn(4, 8)
    images, logits = g(z), d(g(z))
    assert set(types.values()) == {torch.float32}
    with torch.autocast("cpu", dtype):
        half_images = g(z)
        half_logits = d(half_images)
    assert {r for r, t in types.items() if t == dtype} == {16, 32, -16, -32}
    assert half_images.dtype == half_logits.dtype == torch.float32
    assert (half_images - images).abs().max() < 0.1 * images.abs().max()
    assert (half_logits - logits).abs().max() < 0.1


def test_how_many_resolutions_are_half():
    assert [first_half_resolution(256, n) for n in (0, 1, 4, 9)] == [512, 256, 32, 8]


def test_half_precision_survives_weights_that_overflow_it():
    """FP16 would be at infinity before the demodulation takes the scale out again; its outcome is bounded."""
    conv = StyledConv(8, 8, 8, 8)
    conv.weight.data *= 1e5
    conv.affine.bias.data.fill_(1e4)
    x, w = torch.randn(2, 8, 8, 8), torch.randn(2, 8)
    full, half = conv(x, w, None), conv(x.half(), w, None)
    torch.testing.assert_close(half.float(), full, rtol=0.02, atol=0.02)
    conv.bias.data.fill_(1e3)
    assert conv(x.half(), w, None).max() == HALF_BOUND
    assert conv(x, w, None).max() > HALF_BOUND


def test_freezing_counts_from_the_image():
    d = Discriminator(16, 128, 16)
    d.freeze(4)  # the convolution from RGB, and the three of the first block
    frozen = {name.rsplit(".", 1)[0] for name, p in d.named_parameters() if not p.requires_grad}
    assert frozen == {"fromrgb", "blocks.0.conv0", "blocks.0.conv1", "blocks.0.skip"}
