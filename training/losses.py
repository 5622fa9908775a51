"""Adversarial losses on logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def l_nonsaturating_g(fake_logits: Tensor) -> Tensor:
    """The generator's non-saturating loss, −log σ(D(G(z))) (Goodfellow et al. 2014, section 3). Scalar."""
    return F.softplus(-fake_logits).mean()


def l_logistic_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's loss, −log σ(D(x)) − log(1 − σ(D(G(z)))). Scalar."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
