"""Enlarging by sub-pixel convolution: channels become pixels, without a checkerboard at the start.

Sources: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network" (CVPR 2016); Aitken et al., "Checkerboard artifact free sub-pixel convolution"
(2017).
"""

from __future__ import annotations

import torch
from torch import nn


def sub_pixel_conv(in_channels: int, out_channels: int, factor: int) -> nn.Sequential:
    """A 3×3 convolution and a pixel shuffle. [N, in, H, W] → [N, out, factor·H, factor·W]."""
    conv = nn.Conv2d(in_channels, out_channels * factor**2, 3, padding=1)
    init_as_nearest_(conv, factor)
    return nn.Sequential(conv, nn.PixelShuffle(factor))


@torch.no_grad()
def init_as_nearest_(conv: nn.Conv2d, factor: int) -> None:
    """Makes an initialised convolution give equal values to the pixels that a shuffle makes of one (ICNR).

    Args:
        conv: The convolution before the shuffle.
        factor: The shuffle's; it must divide the output channels twice.
    """
    groups = conv.weight.unflatten(0, (-1, factor**2))  # [out, factor², in, 3, 3]
    conv.weight.copy_(groups[:, :1].expand_as(groups).flatten(0, 1))
    if conv.bias is not None:
        biases = conv.bias.unflatten(0, (-1, factor**2))
        conv.bias.copy_(biases[:, :1].expand_as(biases).flatten())
