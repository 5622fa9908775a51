"""Losses, regularisation and averaging against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from training.config import parse_config
from training.ema import ema_decay, update_ema
from training.families.stylegan import StyleGAN2, lr_factor
from training.losses import l_logistic_d, l_nonsaturating_g
from training.regularizers import r1_penalty


def test_losses():
    logits = torch.tensor([[0.0], [2.0]])
    p = torch.sigmoid(logits)
    assert l_nonsaturating_g(logits).item() == pytest.approx(-p.log().mean().item())
    expected = -(p.log().mean() + (1 - p).log().mean())
    assert l_logistic_d(logits, logits).item() == pytest.approx(expected.item())


def test_r1_of_a_linear_discriminator_is_the_norm_of_its_weights():
    w = torch.randn(3 * 4 * 4)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = r1_penalty((x.flatten(1) @ w)[:, None], x)
    assert penalty.item() == pytest.approx(w.square().sum().item(), rel=1e-5)


def test_r1_can_be_trained_on():
    w = torch.randn(12, requires_grad=True)
    x = torch.randn(5, 3, 2, 2, requires_grad=True)
    r1_penalty((x.flatten(1) @ w)[:, None], x).backward()
    torch.testing.assert_close(w.grad, 2 * w.detach())


def test_lazy_regularisation_corrects_the_optimiser(tiny_config):
    model = StyleGAN2(tiny_config, torch.device("cpu"))
    group = model.D_opt.param_groups[0]
    assert group["lr"] == pytest.approx(0.0025 * 4 / 5)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (4 / 5)))
    assert model.G_opt.param_groups[0]["lr"] == 0.0025


def test_learning_rates_fall_to_zero_at_the_end():
    assert [lr_factor(kimg, 100, 20) for kimg in (0, 80, 90, 100)] == [1, 1, 0.5, 0]
    assert lr_factor(100, 100, 0) == 1


def test_learning_rates_are_a_function_of_the_step(tiny_config):
    config = tiny_config.model_dump()
    config["optimization"] |= {"kimg": 0.08, "lr_decay_kimg": 0.04}
    model = StyleGAN2(parse_config(config), torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    reals = torch.randn(8, 3, 16, 16, generator=rng)
    for step, factor in ((9, 0.2), (0, 1.0), (7, 0.6)):
        model.step(reals, step, rng)
        assert model.G_opt.param_groups[0]["lr"] == pytest.approx(0.0025 * factor)
        assert model.D_opt.param_groups[0]["lr"] == pytest.approx(0.0025 * 4 / 5 * factor)


def test_r1_is_computed_every_so_often(tiny_config):
    model = StyleGAN2(tiny_config, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    reals = torch.randn(8, 3, 16, 16, generator=rng)
    assert ["r1" in model.step(reals, step, rng) for step in range(5)] == [True, False, False, False, True]


def test_style_mixing_crosses_two_latents_at_one_layer(tiny_config):
    model = StyleGAN2(tiny_config, torch.device("cpu"))
    ws = model.mixed_ws(512, torch.Generator().manual_seed(0))
    switches = (ws[:, 1:] != ws[:, :-1]).any(dim=2).sum(dim=1)
    assert set(switches.tolist()) == {0, 1}
    assert (switches == 1).float().mean().item() == pytest.approx(0.9, abs=0.05)


def test_ema_half_life():
    assert ema_decay(1000, 10**9, 10, None) ** 10 == pytest.approx(0.5)
    assert ema_decay(100, 2000, 10, 0.05) == pytest.approx(0.5)  # ramping up: the half-life is 100 images
    assert ema_decay(16, 0, 10, 0.05) == 0.0


def test_ema_update():
    average, current = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.75 * average.weight + 0.25 * current.weight
    update_ema(average, current, 0.75)
    torch.testing.assert_close(average.weight, expected)


def test_w_avg_follows_w(tiny_config):
    model = StyleGAN2(tiny_config, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    for _ in range(3000):
        model.G.mapping.track_average(torch.randn(32, 8, generator=rng) + 5)
    assert model.G.mapping.w_avg.mean().item() == pytest.approx(5, abs=0.1)
    assert math.isfinite(model.G.mapping.w_avg.sum().item())
