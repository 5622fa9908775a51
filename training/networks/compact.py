"""The compact generator of Real-ESRGAN: plain convolutions that compute what nearest neighbours lack.

Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data" (ICCV
Workshops 2021) and its authors' published small models. Names of layers are those of published weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.pixel_shuffle import init_as_nearest_

Activation = Literal["prelu", "relu", "leakyrelu"]

PRELU_SLOPE = 0.25
"""Initial slope of negative values."""
LEAKY_SLOPE = 0.1
"""Slope of negative values with `leakyrelu`."""
LAST_GAIN = 0.1
"""Scales the initial weights of the last layer: an untrained network is close to nearest neighbours."""


class CompactNet(nn.Module):
    """Enlarges images by convolutions at low resolution alone, which makes it fast.

    Args:
        scale: Enlargement.
        features: Channels.
        blocks: Convolutions between the first and the last.
        activation: What follows each convolution but the last; `prelu` learns a slope for each channel.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    size_multiple = 1

    def __init__(
        self, scale: int = 4, features: int = 64, blocks: int = 16, activation: Activation = "prelu"
    ) -> None:
        super().__init__()
        self.scale = scale
        self.activation = activation
        layers: list[nn.Module] = []
        for i in range(blocks + 1):
            conv = nn.Conv2d(features if i else 3, features, 3, padding=1)
            # Keeps the signal's size from layer to layer (He et al. 2015, equation 15), or it would fade.
            nn.init.kaiming_normal_(conv.weight, a=PRELU_SLOPE)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers += [conv, _layer(activation, features)]
        last = nn.Conv2d(features, 3 * scale**2, 3, padding=1)
        init_as_nearest_(last, scale)
        with torch.no_grad():
            last.weight.mul_(LAST_GAIN)
            last.bias.mul_(LAST_GAIN)  # type: ignore[union-attr]
        self.body = nn.Sequential(*layers, last)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        nearest = F.interpolate(images, scale_factor=float(self.scale), mode="nearest")
        result: Tensor = self.shuffle(self.body(images)) + nearest
        return result


def _layer(activation: Activation, features: int) -> nn.Module:
    if activation == "prelu":
        return nn.PReLU(features, PRELU_SLOPE)
    return nn.ReLU() if activation == "relu" else nn.LeakyReLU(LEAKY_SLOPE)
