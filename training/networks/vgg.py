"""VGG-19 up to a convolution, before its activation.

Source: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR
2015), table 1, configuration E. Layers are numbered as in torchvision's weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

VGGLayer = Literal["conv2_2", "conv5_4"]

WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of the five stages; the image is halved between them."""


class VGG19Features(nn.Module):
    """The convolutions up to one of them. Frozen weights are for whoever loads them to see to.

    Args:
        layer: The last convolution, such as `conv5_4`: the fourth of the fifth stage.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layer: VGGLayer) -> None:
        super().__init__()
        last_stage, last_conv = int(layer[4]), int(layer[6])
        layers: list[nn.Module] = []
        c_in = 3
        for stage, (width, convs) in enumerate(WIDTHS[:last_stage], start=1):
            if stage > 1:
                layers.append(nn.MaxPool2d(2))
            for _ in range(last_conv if stage == last_stage else convs):
                layers += [nn.Conv2d(c_in, width, 3, padding=1), nn.ReLU()]
                c_in = width
        self.features = nn.Sequential(*layers[:-1])  # without the last activation
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, C, h, w]: 128 channels at H/2, or 512 at H/16."""
        x: Tensor = self.features((images - self.mean) / self.std)
        return x
