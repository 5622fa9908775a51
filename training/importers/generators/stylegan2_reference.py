"""What the original StyleGAN2 computes, written out from the paper for one purpose: to compare with.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Every sample gets
weights of its own (equations 1 and 3) in a grouped convolution; zeros between samples double the resolution
and filtered along one axis after the other. Nothing is shared with `training.networks`, whose graph does
the same by other means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.importers.generators.mapping_reference import Dense, StoredMapping, scaled_lrelu


@dataclass(frozen=True)
class Styled:
    """A styled layer.

    Attributes:
        affine: From w to styles.
        weight: [O, I, k, k].
        bias: [O].
        noise: Constant noise times its strength, [R, R]; None if there is none, as in a to-RGB.
    """

    affine: Dense
    weight: Tensor
    bias: Tensor
    noise: Tensor | None = None


@dataclass(frozen=True)
class Block:
    """One resolution: its to-RGB, and the styled layers in order, the first of which doubles it but at 4²."""

    layers: Sequence[Styled]
    torgb: Styled


@dataclass(frozen=True)
class Stored:
    """A generator as stored.

    Attributes:
        mapping: The mapping network.
        const: [C, 4, 4].
        blocks: From 4² upwards.
        bound: What outputs of layers are clamped to, if they are.
    """

    mapping: StoredMapping
    const: Tensor
    blocks: Sequence[Block]
    bound: float | None

    @torch.no_grad()
    def __call__(self, z: Tensor, label: Tensor | None, psi: float) -> Tensor:
        """Z [N, z_dim], one-hot labels [N, c_dim] and ψ to images [N, 3, R, R]; grey ones three times."""
        w = self.mapping(z, label, psi)
        x = self.const.expand(len(w), -1, -1, -1)
        image: Tensor | None = None
        for r, block in enumerate(self.blocks):
            for i, layer in enumerate(block.layers):
                x = self._styled(x, w, layer, up=r > 0 and i == 0)
            rgb = _convolve(x, *_modulated(w, block.torgb, demodulate=False))
            rgb = self._clamped(rgb + block.torgb.bias[:, None, None])
            image = rgb if image is None else _filter(_spread(image), before=2, after=1) + rgb
        assert image is not None
        return image.expand(-1, 3, -1, -1)

    def _styled(self, x: Tensor, w: Tensor, layer: Styled, up: bool) -> Tensor:
        weight, groups = _modulated(w, layer, demodulate=True)
        if up:
            # A transposed convolution is one with the mirrored kernel between whose samples zeros stand.
            spread = F.pad(_spread(x)[:, :, :-1, :-1], (1, 1, 1, 1))
            x = _filter(_convolve(spread, weight.flip(-1, -2), groups), before=1, after=1)
        else:
            x = _convolve(x, weight, groups)
        if layer.noise is not None:
            x = x + layer.noise
        return self._clamped(scaled_lrelu(x + layer.bias[:, None, None]))

    def _clamped(self, x: Tensor) -> Tensor:
        return x if self.bound is None else torch.clip(x, -self.bound, self.bound)


def _modulated(w: Tensor, layer: Styled, *, demodulate: bool) -> tuple[Tensor, int]:
    """Weights of every sample, [N·O, I, k, k], and N."""
    styles = w @ layer.affine.weight.T / math.sqrt(w.shape[1]) + layer.affine.bias  # [N, I]
    weight = layer.weight * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        weight = weight / torch.sqrt((weight**2).sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    else:
        weight = weight / math.sqrt(layer.weight[0].numel())
    return weight.flatten(0, 1), len(w)


def _convolve(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A convolution of every sample with weights of its own that keeps the size."""
    y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight, padding=weight.shape[-1] // 2, groups=groups)
    return y.reshape(groups, -1, *y.shape[2:])


def _spread(x: Tensor) -> Tensor:
    """A zero behind every sample of both axes. [N, C, H, W] → [N, C, 2H, 2W]."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = x
    return spread


def _filter(x: Tensor, before: int, after: int) -> Tensor:
    """The low-pass filter 1, 3, 3, 1 with gain 2 along each axis, behind zeros added before and after."""
    taps = x.new_tensor([1, 3, 3, 1]) / 4
    n, c, h, w = x.shape
    x = F.pad(x, (before, after, before, after)).reshape(n * c, 1, h + before + after, w + before + after)
    x = F.conv2d(F.conv2d(x, taps.view(1, 1, 1, 4)), taps.view(1, 1, 4, 1))
    return x.reshape(n, c, *x.shape[2:])
