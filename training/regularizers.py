"""Regularisation terms."""

from __future__ import annotations

import torch
from torch import Tensor


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² on real images, averaged over the batch (Mescheder et al. 2018, equation 9, without γ/2).

    Args:
        real_logits: D(x), [N, 1].
        real_images: x, [N, C, H, W], which must require gradients.

    Returns:
        A scalar that can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
