"""The synthesis network of StyleGAN3 with all that does not depend on ws computed beforehand.

Its feature maps come in round numbers: ONNX Runtime computes depthwise convolutions more than twice as fast
where channels fill blocks of 8 or 16, as it lays them out in memory, and those of StyleGAN3, which follow the
cutoffs, come in numbers such as 91. Further maps repeat the first one, and no later layer looks at them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.alias_free import filtered_leaky_relu
from training.networks.stylegan3 import (
    SLOPE,
    SynthesisLayer,
    SynthesisNetwork,
    colours,
    styled,
    view_transform,
)

BLOCK = 16
"""Channels are rounded up to a multiple of this."""


class PreparedLayer(nn.Module):
    """A layer.

    Args:
        layer: Of the network.
        in_channels: What its input was rounded up to.
    """

    weight: Tensor
    bias: Tensor
    squares: Tensor
    affine_weight: Tensor
    affine_bias: Tensor

    def __init__(self, layer: SynthesisLayer, in_channels: int) -> None:
        super().__init__()
        self.to_rgb = layer.to_rgb
        self.clamp = layer.clamp
        self.in_channels = layer.in_channels
        unseen = in_channels - layer.in_channels
        further = 0 if layer.to_rgb else -layer.weight.shape[0] % BLOCK
        weight = F.pad(layer.normalized_weight(), (0, 0, 0, 0, 0, unseen))
        affine = layer.affine
        self.register_buffer("weight", repeat_first(weight, further))
        self.register_buffer("bias", repeat_first(layer.bias, further))
        self.register_buffer("affine_weight", F.pad(affine.weight * affine.weight_gain, (0, 0, 0, unseen)))
        self.register_buffer("affine_bias", F.pad(affine.bias * affine.bias_gain, (0, unseen)))
        self.channels = self.weight.shape[0]
        if not layer.to_rgb:
            self.resampling = layer.resampling
            self.register_buffer("squares", repeat_first(F.pad(layer.squared_weight(), (0, unseen)), further))
            self.kernels = layer.kernels(self.channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """As `SynthesisLayer.forward`."""
        s = F.linear(w, self.affine_weight, self.affine_bias)
        if self.to_rgb:
            return colours(x, s, self.weight, self.bias, self.clamp)
        s = s * (s.square().sum(dim=1, keepdim=True) / self.in_channels).rsqrt()
        y = styled(x, s, self.weight, self.squares, self.bias)
        return filtered_leaky_relu(y, self.kernels, self.resampling, slope=SLOPE, clamp=self.clamp)


class PreparedSynthesis(nn.Module):
    """The network, for inference alone.

    Args:
        synthesis: In evaluation mode.
    """

    @torch.no_grad()
    def __init__(self, synthesis: SynthesisNetwork) -> None:
        super().__init__()
        self.resolution = synthesis.resolution
        self.output_scale = synthesis.output_scale
        self.input = synthesis.input
        channels = synthesis.input.signal.channels
        layers: list[PreparedLayer] = []
        for layer in synthesis.layers():
            layers.append(PreparedLayer(layer, channels))
            channels = layers[-1].channels
        self.layers = nn.ModuleList(layers)

    def moved(self, ws: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """As `SynthesisNetwork.moved`."""
        x: Tensor = self.input(ws[:, 0], view_transform(rotation, translation))
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[:, i + 1])
        return x * self.output_scale


def repeat_first(x: Tensor, more: int) -> Tensor:
    """Appends the first entry of the first axis so many times."""
    return torch.cat([x, x[:1].expand(more, *x.shape[1:])])
