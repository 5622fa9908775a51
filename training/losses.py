"""Adversarial losses on logits: what a discriminator's output is worth, to it and to the generator.

Discriminators end without an activation; logits have any shape, [N, 1] or one a patch, and losses are means.
Each loss is minimised. A family names one of `ADVERSARIAL` in its configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

AdversarialName = Literal["nonsaturating", "vanilla", "vanilla-smoothed", "least-squares", "hinge", "wgan-gp"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of an adversarial game.

    Attributes:
        discriminator: From logits of real and of fake images to D's loss, a scalar.
        generator: From logits of fake images to G's loss, a scalar.
        gradient_penalty: Weight of `regularizers.gradient_penalty` that D's loss needs beside it; 0 is none.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    gradient_penalty: float = 0.0


def l_nonsaturating_g(fake_logits: Tensor) -> Tensor:
    """The generator's non-saturating loss, −log σ(D(G(z))) (Goodfellow et al. 2014, section 3). Scalar."""
    return F.softplus(-fake_logits).mean()


def l_logistic_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's loss, −log σ(D(x)) − log(1 − σ(D(G(z)))) (ibid., equation 1). Scalar."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def l_vanilla_d(real_logits: Tensor, fake_logits: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy against 1 − s for real and s for fake images, halved. Scalar.

    Source: Isola et al. (CVPR 2017), section 3.3, who halve it so that D learns slower than G; soft labels,
    such as 0.9 and 0.1: Salimans et al. (NIPS 2016), section 3.4.
    """
    real = F.binary_cross_entropy_with_logits(real_logits, torch.full_like(real_logits, 1 - smoothing))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.full_like(fake_logits, smoothing))
    return (real + fake) / 2


def l_least_squares_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(x) − 1)² + ½ D(G(z))² (Mao et al. 2017, equation 9: targets b = 1, a = 0). Scalar."""
    return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2


def l_least_squares_g(fake_logits: Tensor) -> Tensor:
    """½ (D(G(z)) − 1)² (Mao et al. 2017, equation 9: target c = 1). Scalar."""
    return (fake_logits - 1).square().mean() / 2


def l_hinge_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 − D(x)) + max(0, 1 + D(G(z))) (Miyato et al. 2018, equation 16). Scalar."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def l_wasserstein_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) − D(x), of a critic kept 1-Lipschitz (Arjovsky et al. 2017, equation 2, negated). Scalar."""
    return fake_logits.mean() - real_logits.mean()


def l_critic_g(fake_logits: Tensor) -> Tensor:
    """−D(G(z)), of a critic (Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018, equation 17). Scalar."""
    return -fake_logits.mean()


ADVERSARIAL: dict[AdversarialName, AdversarialLoss] = {
    "nonsaturating": AdversarialLoss(l_logistic_d, l_nonsaturating_g),
    "vanilla": AdversarialLoss(l_vanilla_d, l_nonsaturating_g),
    "vanilla-smoothed": AdversarialLoss(partial(l_vanilla_d, smoothing=0.1), l_nonsaturating_g),
    "least-squares": AdversarialLoss(l_least_squares_d, l_least_squares_g),
    "hinge": AdversarialLoss(l_hinge_d, l_critic_g),
    # Gulrajani et al. (2017), equation 3, with λ = 10.
    "wgan-gp": AdversarialLoss(l_wasserstein_d, l_critic_g, gradient_penalty=10.0),
}
"""The losses there are, by the name that configurations call them."""
