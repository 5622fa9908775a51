"""Regularisation terms."""

from __future__ import annotations

import math
from collections.abc import Callable

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


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], reals: Tensor, fakes: Tensor, position: Tensor
) -> Tensor:
    """(‖∇ₓ D(x)‖₂ − 1)² between real and fake images, averaged over the batch.

    Two-sided: slopes below one are penalised too. Of a patch discriminator D(x) is the mean over the patches,
    as it is in the loss. Source: Gulrajani et al. (2017), equation 3 and algorithm 1.

    Args:
        critic: D, from [N, …] to logits [N, …]. A condition is concatenated to both ends of the lines, or
            bound in the function if the slope along it is to be free.
        reals: One end of each line, [N, …].
        fakes: The other end, of the same shape.
        position: Where on its line each image is taken, uniform in [0, 1); 1 is the real end. [N].

    Returns:
        A scalar, without the weight λ, that can be differentiated again.
    """
    t = position.to(reals.dtype).view(-1, *[1] * (reals.ndim - 1))
    x = (t * reals.detach() + (1 - t) * fakes.detach()).requires_grad_(True)
    values = critic(x).reshape(len(x), -1).mean(dim=1)  # [N]
    (gradient,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    slopes: Tensor = torch.linalg.vector_norm(gradient.flatten(1).float(), dim=1)  # [N]
    return (slopes - 1).square().mean()


def path_lengths(images: Tensor, ws: Tensor, y: Tensor) -> Tensor:
    """‖Jᵀy‖₂ for each image: how far it moves with w (StyleGAN2, section 3.2, equation 4).

    Args:
        images: G(ws), [N, C, H, W].
        ws: [N, num_ws, w_dim], which must require gradients; the lengths are averaged over its layers.
        y: Random directions of standard normal pixels, [N, C, H, W].

    Returns:
        Lengths for y of unit variance over the image, [N], that can be differentiated again.
    """
    unit = y / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * unit).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
