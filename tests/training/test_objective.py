"""StyleGAN2's losses, regularisation and averaging against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from training.config_files import parse_config
from training.ema import ema_decay, update_ema
from training.engine import Engine
from training.families.stylegan import StyleGAN2
from training.losses import l_logistic_d, l_nonsaturating_g
from training.regularizers import path_lengths, r1_penalty


@pytest.fixture
def model(tiny_config):
    return StyleGAN2(tiny_config, Engine(0, device="cpu"))


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=rng)
    return {"image": image, "label": torch.zeros(8, dtype=torch.int64)}


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


def test_path_lengths_of_a_linear_generator():
    """For images M ws, Jᵀy is Mᵀy in each layer; its length is the root of the mean over layers."""
    m = torch.randn(3 * 4 * 4, 5 * 6, requires_grad=True)
    ws, y = torch.randn(7, 5, 6, requires_grad=True), torch.randn(7, 3, 4, 4)
    images = (ws.flatten(1) @ m.T).view(7, 3, 4, 4)
    lengths = path_lengths(images, ws, y)
    jty = (y.flatten(1) / 4 @ m).view(7, 5, 6)  # y at unit variance over 4² pixels
    torch.testing.assert_close(lengths, jty.square().sum(dim=2).mean(dim=1).sqrt())
    lengths.sum().backward()
    assert m.grad is not None
    assert m.grad.abs().sum() > 0


def test_path_length_penalty_pulls_towards_the_mean_length(model, batch):
    model.pl_mean.fill_(3.0)
    draws = {"y": torch.randn(4, 3, 16, 16), **model.draw(model.one_hot(batch["label"][:4]))}
    ws = model.styles(draws)
    lengths = path_lengths(model.G.synthesis(ws, draws["noise"]), ws, draws["y"])
    o = model.config.optimization
    expected = (lengths - 3).square().mean() * o.pl_weight * o.pl_interval
    model.seen["path_length"].clear()
    assert model.path_length_loss(draws).item() == pytest.approx(expected.item(), rel=1e-4)
    model.follow_averages()
    assert model.pl_mean.item() == pytest.approx(3 + 0.01 * (lengths.mean().item() - 3), rel=1e-4)


def test_lazy_regularisation_corrects_the_optimisers(tiny_config, model):
    group = model.D_opt.param_groups[0]
    assert group["lr"] == pytest.approx(0.0025 * 4 / 5)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (4 / 5)))
    group = model.G_opt.param_groups[0]
    assert group["lr"] == pytest.approx(0.0025 * 4 / 5)
    config = tiny_config.model_dump()
    config["optimization"] |= {"pl_weight": 0.0, "pl_interval": 8, "r1_gamma": 0.0}
    plain = StyleGAN2(parse_config(config), Engine(0, device="cpu"))
    assert plain.G_opt.param_groups[0]["lr"] == plain.D_opt.param_groups[0]["lr"] == 0.0025


def test_regularisation_is_computed_every_so_often(model, batch):
    seen = []
    for step in range(5):
        model.step(batch, step)
        seen.append({"r1", "path/penalty"} & model.engine.take_reports().keys())
    assert seen == [{"r1", "path/penalty"}, set(), set(), set(), {"r1", "path/penalty"}]


def test_style_mixing_crosses_two_latents_at_one_layer(model):
    ws = model.styles(model.draw(torch.zeros(512, 0)))
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


def test_w_avg_follows_w(model):
    rng = torch.Generator().manual_seed(0)
    for _ in range(3000):
        model.G.mapping.track_average(torch.randn(32, 8, generator=rng).mean(dim=0) + 5)
    assert model.G.mapping.w_avg.mean().item() == pytest.approx(5, abs=0.1)
    assert math.isfinite(model.G.mapping.w_avg.sum().item())


def test_w_avg_is_tracked_in_training(model, batch):
    for step in range(2):
        model.step(batch, step)
    w_avg = model.G.mapping.w_avg
    assert w_avg.abs().sum() > 0
    assert torch.equal(model.G_ema.mapping.w_avg, w_avg)
