"""The few layers StyleGAN networks are built from: equalised learning rate and FIR resampling.

Sources: Karras et al., "Progressive Growing of GANs" (ICLR 2018), section 4.1 (equalised learning rate);
Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), appendix B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATION_GAIN = math.sqrt(2)
"""Keeps the second moment of a unit-variance signal at one across a leaky ReLU."""


def leaky_relu(x: Tensor, gain: float = ACTIVATION_GAIN) -> Tensor:
    """Leaky ReLU with slope 0.2, scaled by `gain`."""
    return F.leaky_relu(x, 0.2) * gain


def binomial_filter(taps: tuple[int, ...] = (1, 3, 3, 1)) -> Tensor:
    """The separable low-pass filter used wherever resolution changes.

    Args:
        taps: Coefficients of the one-dimensional filter.

    Returns:
        The two-dimensional filter, [len(taps), len(taps)], summing to one.
    """
    f = torch.tensor(taps, dtype=torch.float32)
    f = torch.outer(f, f)
    return f / f.sum()


def _depthwise(f: Tensor, channels: int) -> Tensor:
    return f.expand(channels, 1, *f.shape)


def upsample2x(x: Tensor, f: Tensor, channels: int) -> Tensor:
    """Doubles height and width: zeros between the samples, then the low-pass filter with gain 4.

    Args:
        x: [N, C, H, W].
        f: A 4×4 filter summing to one.
        channels: C as a Python int, so that exported graphs hold it as a constant.

    Returns:
        [N, C, 2H, 2W].
    """
    return F.conv_transpose2d(x, _depthwise(f * 4, channels), stride=2, padding=1, groups=channels)


def downsample2x(x: Tensor, f: Tensor, channels: int) -> Tensor:
    """Halves height and width: low-pass filter, then every second sample. [N, C, H, W] → [N, C, H/2, W/2]."""
    return F.conv2d(x, _depthwise(f, channels), stride=2, padding=1, groups=channels)


def blur(x: Tensor, f: Tensor, channels: int, *, padding: int, gain: float = 1.0) -> Tensor:
    """Filters each channel; with a 4×4 filter [N, C, H, W] → [N, C, H+2·padding−3, W+2·padding−3]."""
    return F.conv2d(x, _depthwise(f * gain, channels), padding=padding, groups=channels)


class EqualizedLinear(nn.Module):
    """A fully connected layer whose weights are stored at unit variance and scaled at run time.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        bias_init: Initial value of the bias.
        lr_multiplier: Learning rate of this layer relative to the optimiser's.
        activate: Whether a leaky ReLU follows.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] → [N, out_features]."""
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return leaky_relu(x) if self.activate else x


class EqualizedConv2d(nn.Module):
    """A convolution at equalised learning rate, which may halve the resolution behind a low-pass filter.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: 1 or 3.
        down: Whether height and width are halved.
        bias: Whether a bias is added.
        activate: Whether a leaky ReLU follows.
        gain: Scales the output.
    """

    f: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        down: bool = False,
        bias: bool = True,
        activate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.down = down
        self.activate = activate
        self.gain = gain
        self.register_buffer("f", binomial_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] → [N, out_channels, H, W], or half the size if `down`."""
        w = self.weight * self.weight_gain
        if not self.down:
            x = F.conv2d(x, w, self.bias, padding=self.kernel_size // 2)
        elif self.kernel_size == 1:
            # Resampling first computes the same on a quarter of the pixels.
            x = F.conv2d(downsample2x(x, self.f, self.in_channels), w, self.bias)
        else:
            x = F.conv2d(blur(x, self.f, self.in_channels, padding=2), w, self.bias, stride=2)
        if self.activate:
            return leaky_relu(x, ACTIVATION_GAIN * self.gain)
        return x * self.gain if self.gain != 1 else x
