"""Adversarial losses and the gradient penalty against closed forms."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.losses import ADVERSARIAL, AdversarialName
from training.regularizers import gradient_penalty

real = torch.tensor([[0.5], [2.0]])
fake = torch.tensor([[-0.25], [1.5]])
p, q = torch.sigmoid(real), torch.sigmoid(fake)

EXPECTED = {  # name: (D's loss, G's loss), written out as in the papers
    "nonsaturating": (-(p.log().mean() + (1 - q).log().mean()), -q.log().mean()),
    "vanilla": (-(p.log().mean() + (1 - q).log().mean()) / 2, -q.log().mean()),
    "vanilla-smoothed": (
        -(0.9 * p.log() + 0.1 * (1 - p).log() + 0.1 * q.log() + 0.9 * (1 - q).log()).mean() / 2,
        -q.log().mean(),
    ),
    "least-squares": ((0.5**2 + 1 + 0.25**2 + 1.5**2) / 4, (1.25**2 + 0.5**2) / 4),
    "hinge": ((0.5 + 0.75 + 2.5) / 2, -1.25 / 2),
    "wgan-gp": (0.625 - 1.25, -0.625),
}


@pytest.mark.parametrize("name", get_args(AdversarialName))
def test_losses_are_those_of_the_papers(name):
    loss = ADVERSARIAL[name]
    d, g = EXPECTED[name]
    assert float(loss.discriminator(real, fake)) == pytest.approx(float(d))
    assert float(loss.generator(fake)) == pytest.approx(float(g))


@pytest.mark.parametrize("name", get_args(AdversarialName))
def test_losses_pull_the_right_way_and_stay_finite(name):
    loss = ADVERSARIAL[name]
    logits = torch.tensor([[0.1, -0.3]]), torch.tensor([[0.2, 0.0]])
    r, f = (x.clone().requires_grad_(True) for x in logits)
    loss.discriminator(r, f).backward()
    assert (r.grad < 0).all()  # D raises what it says of real images
    assert (f.grad[0, 0] > 0).all()  # and lowers what it says of fakes
    f = logits[1].clone().requires_grad_(True)
    loss.generator(f).backward()
    assert (f.grad < 0).all()
    extreme = torch.tensor([[1e4], [-1e4]])
    assert math.isfinite(loss.discriminator(extreme, extreme) + loss.generator(extreme))


def test_only_wgan_gp_asks_for_the_gradient_penalty():
    assert {name: loss.gradient_penalty for name, loss in ADVERSARIAL.items() if loss.gradient_penalty} == {
        "wgan-gp": 10.0
    }


@pytest.mark.parametrize("shape", [(6,), (3, 4, 5), (6, 8, 8)])
@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic_is_two_sided(shape, norm):
    w = torch.randn(math.prod(shape))
    w *= norm / w.norm()
    reals, fakes = torch.randn(5, *shape), torch.randn(5, *shape)
    penalty = gradient_penalty(lambda x: (x.flatten(1) @ w)[:, None], reals, fakes, torch.rand(5))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_penalty_is_taken_on_the_lines_between_real_and_fake():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.flatten(1).square().sum(dim=1)  # its slope at x is 2 ‖x‖

    reals, fakes, t = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2), torch.tensor([0.0, 0.25, 0.5, 1.0])
    penalty = gradient_penalty(critic, reals, fakes, t)
    x = torch.stack([t[i] * reals[i] + (1 - t[i]) * fakes[i] for i in range(4)])
    torch.testing.assert_close(seen[0], x)
    torch.testing.assert_close(penalty, (2 * x.flatten(1).norm(dim=1) - 1).square().mean())


def test_penalty_of_patches_is_that_of_their_mean():
    conv = nn.Conv2d(3, 1, 1, bias=False)
    reals, fakes, t = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.rand(2)
    slope = conv.weight.norm() / 4  # each of 16 pixels counts 1/16: ‖w‖ · √16 / 16
    torch.testing.assert_close(gradient_penalty(conv, reals, fakes, t), (slope - 1) ** 2)


def test_penalty_trains_the_critic_towards_unit_slope():
    critic = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 4, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.02)
    reals, fakes = torch.randn(16, 2, 4, 4), torch.randn(16, 2, 4, 4)
    fakes.requires_grad_(True)
    first = gradient_penalty(critic, reals, fakes, torch.rand(16)).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = gradient_penalty(critic, reals, fakes, torch.rand(16))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first
    assert fakes.grad is None  # the penalty is D's business alone


def test_penalty_survives_a_flat_critic():
    critic = nn.Linear(6, 1)
    nn.init.zeros_(critic.weight)
    penalty = gradient_penalty(lambda x: critic(F.relu(x)), torch.ones(3, 6), torch.ones(3, 6), torch.rand(3))
    penalty.backward()
    assert penalty.item() == 1
    assert torch.isfinite(critic.weight.grad).all()
