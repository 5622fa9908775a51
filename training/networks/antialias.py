"""Halving and doubling of feature maps by the filters of a signal, so that a shift stays a shift.

Source: Zhang, "Making Convolutional Networks Shift-Invariant Again" (ICML 2019), section 3.2: a layer that
would stride is computed everywhere, blurred by a binomial filter, and sampled then.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN_TAPS = (1.0, 2.0, 1.0)
"""The triangle filter, Tri-3 in the paper."""

UP_TAPS = (1.0, 3.0, 3.0, 1.0)
"""The binomial filter of four taps; every second of them makes a pixel of twice the size."""


def binomial(taps: tuple[float, ...], gain: float = 1.0) -> Tensor:
    """The separable filter of the taps with sum `gain`, [k, k]."""
    row = torch.tensor(taps)
    return row[:, None] * row[None] * (gain / row.sum() ** 2)


class Downsample(nn.Module):
    """Blurs by the triangle filter and keeps every second pixel. [N, C, H, W] → [N, C, ⌈H/2⌉, ⌈W/2⌉].

    Args:
        channels: Channels of the input.
    """

    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("filter", binomial(DOWN_TAPS).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Borders are reflected."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filter, stride=2, groups=self.channels)


class Upsample(nn.Module):
    """Doubles the size by the binomial filter of four taps. [N, C, H, W] → [N, C, 2H, 2W].

    Of the four taps a new pixel meets two, ¾ and ¼, which is bilinear interpolation between the middles of
    pixels.

    Args:
        channels: Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Borders are repeated."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
