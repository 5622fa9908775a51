"""What the mapping networks of NVIDIA's StyleGANs compute, written out for one purpose: to compare with.

Source: Karras et al. (CVPR 2019), section 2 and appendix B. Nothing is shared with `training.networks`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: weight [O, I], bias [O]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class StoredMapping:
    """A mapping network as stored.

    Attributes:
        layers: In order.
        lr_multiplier: Gain of their weights and biases.
        embed: Of a conditional generator.
        w_avg: Mean w, [w_dim].
    """

    layers: Sequence[Dense]
    lr_multiplier: float
    embed: Dense | None
    w_avg: Tensor

    def __call__(self, z: Tensor, label: Tensor | None, psi: float) -> Tensor:
        """Latents [N, z_dim], one-hot labels [N, c_dim] and ψ to truncated w, [N, w_dim]."""
        return self.w_avg + psi * (self.styles(z, label) - self.w_avg)

    def styles(self, z: Tensor, label: Tensor | None) -> Tensor:
        """W before truncation, [N, w_dim]."""
        x = _unit(z)
        if self.embed is not None:
            assert label is not None
            gain = 1 / math.sqrt(self.embed.weight.shape[1])
            x = torch.cat([x, _unit(label @ self.embed.weight.T * gain + self.embed.bias)], dim=1)
        for layer in self.layers:
            gain = self.lr_multiplier / math.sqrt(layer.weight.shape[1])
            x = scaled_lrelu(x @ (layer.weight * gain).T + layer.bias * self.lr_multiplier)
        return x


def _unit(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).mean(dim=1, keepdim=True) + 1e-8)


def scaled_lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2 and gain √2."""
    return torch.where(x > 0, x, x * 0.2) * math.sqrt(2)
