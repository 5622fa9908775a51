"""An upscaler whose images are made smaller again by bicubic interpolation.

Source of the interpolation: Keys, "Cubic convolution interpolation for digital image processing" (IEEE
Transactions on Acoustics, Speech, and Signal Processing, 1981), with a = −0.75.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CUBIC_A = -0.75


class ReducedUpscaler(nn.Module):
    """Enlarges by a network, then reduces by bicubic interpolation without a low-pass filter.

    Positions repeat with the period of the ratio of the scales, so that the interpolation is a convolution
    with a few fixed filters. Colours are repeated beyond the edges.

    Args:
        network: Enlarges images, by a `scale` of its own.
        scale: Enlargement that is wanted, below the network's.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    filters: Tensor

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        inner = int(network.scale)  # type: ignore[arg-type]
        self.size_multiple = int(network.size_multiple)  # type: ignore[arg-type]
        common = math.gcd(inner, scale)
        self.stride, self.phases = inner // common, scale // common
        taps = cubic_taps(self.stride, self.phases)  # [phases, stride + 2]
        planes = torch.einsum("ia,jb->ijab", taps, taps).flatten(0, 1)
        self.register_buffer("filters", planes.float()[:, None].repeat(3, 1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        x = F.pad(self.network(images), (1, 1, 1, 1), mode="replicate")
        x = F.conv2d(x, self.filters.to(x.dtype), stride=self.stride, groups=3)
        return F.pixel_shuffle(x, self.phases)


def cubic_taps(stride: int, phases: int) -> Tensor:
    """Weights of the `stride + 2` samples from −1 on, for each of the `phases` positions between them.

    Args:
        stride: Samples in a period.
        phases: Positions in a period, fewer than `stride`.

    Returns:
        [phases, stride + 2] FP64, each row summing to one.
    """
    positions = (torch.arange(phases, dtype=torch.float64) + 0.5) * stride / phases - 0.5
    samples = torch.arange(-1, stride + 1, dtype=torch.float64)
    t = (positions[:, None] - samples).abs()
    a = CUBIC_A
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
