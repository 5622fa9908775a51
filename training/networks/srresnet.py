"""SRResNet, the generator of SRGAN.

Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network"
(CVPR 2017), section 2.1 and figure 4. Without batch normalisation: Lim et al., "Enhanced Deep Residual
Networks for Single Image Super-Resolution" (CVPR Workshops 2017), section 3.1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from training.networks.norms import BatchNorm2d
from training.networks.pixel_shuffle import sub_pixel_conv

Norm = Literal["batch", "none"]

RESIDUAL_GAIN = 0.1
"""Scales the initial weights that end a residual branch, where no normalisation keeps sums in check."""


class SRResNet(nn.Module):
    """Enlarges images by residual blocks at low resolution and sub-pixel convolutions.

    Args:
        scale: Enlargement, 2, 3, 4 or 8; 4 and 8 are done in steps of 2.
        features: Channels.
        blocks: Residual blocks (B).
        norm: `batch` as published; `none` keeps ranges of colours, and learns faster in short runs.
        biased: Whether convolutions have a bias also where a normalisation brings its own.
        squashed: Whether the output passes (tanh + 1)/2, as some published weights expect.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    size_multiple = 1

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        norm: Norm = "batch",
        *,
        biased: bool = False,
        squashed: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.squashed = squashed
        self.head = nn.Sequential(nn.Conv2d(3, features, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features, norm, biased) for _ in range(blocks)))
        self.end = nn.Sequential(*_conv3(features, norm, biased))
        steps = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        self.up = nn.Sequential(
            *(nn.Sequential(sub_pixel_conv(features, features, r), nn.PReLU()) for r in steps)
        )
        self.tail = nn.Conv2d(features, 3, 9, padding=4)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        x = self.head(images)  # [N, features, H, W]
        x = x + self.end(self.blocks(x))
        result: Tensor = self.tail(self.up(x))
        return (torch.tanh(result) + 1) / 2 if self.squashed else result


class ResidualBlock(nn.Module):
    """conv – BN – PReLU – conv – BN, added to what came in; nothing follows the sum (Gross & Wilber 2016)."""

    def __init__(self, features: int, norm: Norm, biased: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv3(features, norm, biased), nn.PReLU(), *_conv3(features, norm, biased)
        )
        if norm == "none":
            with torch.no_grad():
                for parameter in self.body[-1].parameters():
                    parameter.mul_(RESIDUAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """[N, features, H, W] → the same shape."""
        result: Tensor = x + self.body(x)
        return result


def _conv3(features: int, norm: Norm, biased: bool) -> list[nn.Module]:
    bias = biased or norm == "none"  # BN brings its own
    conv = nn.Conv2d(features, features, 3, padding=1, bias=bias)
    return [conv, BatchNorm2d(features)] if norm == "batch" else [conv]
