"""MSRResNet, SRResNet without batch normalisation, which ESRGAN was compared with.

Source: Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (ECCV Workshops
2018), section 4.4; residual blocks as in Lim et al., "Enhanced Deep Residual Networks for Single Image
Super-Resolution" (CVPR Workshops 2017), figure 2c. Names of layers are those of published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.pixel_shuffle import init_as_nearest_

LEAKY_SLOPE = 0.1
"""Slope of negative values outside of the residual blocks."""
STEPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (3,), 4: (2, 2)}
"""How each enlargement is done, step by step."""


class MSRResNet(nn.Module):
    """Enlarges images by residual blocks and sub-pixel convolutions that compute what bilinear ones lack.

    Args:
        scale: Enlargement, 2, 3 or 4; 4 is done in two steps of 2.
        features: Channels.
        blocks: Residual blocks.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    size_multiple = 1

    def __init__(self, scale: int = 4, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.steps = STEPS[scale]
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(PlainBlock(features) for _ in range(blocks)))
        for i, factor in enumerate(self.steps):
            conv = nn.Conv2d(features, features * factor**2, 3, padding=1)
            init_as_nearest_(conv, factor)
            self.add_module(f"upconv{i + 1}", conv)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        x = self.body(F.leaky_relu(self.conv_first(images), LEAKY_SLOPE))  # [N, features, H, W]
        for i, factor in enumerate(self.steps):
            x = F.pixel_shuffle(self.get_submodule(f"upconv{i + 1}")(x), factor)
            x = F.leaky_relu(x, LEAKY_SLOPE)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), LEAKY_SLOPE))
        bilinear = F.interpolate(images, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return torch.add(x, bilinear)


class PlainBlock(nn.Module):
    """conv – ReLU – conv, added to what came in."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, features, H, W] → the same shape."""
        result: Tensor = x + self.conv2(F.relu(self.conv1(x)))
        return result
