"""The few layers StyleGAN networks are built from: equalised learning rate, modulation, FIR resampling.

Sources: Karras et al., "Progressive Growing of GANs" (ICLR 2018), section 4.1 (equalised learning rate);
Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), section 2.2 and
appendix B; half precision as in StyleGAN2-ADA (NeurIPS 2020), appendix D.1.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATION_GAIN = math.sqrt(2)
"""Keeps the second moment of a unit-variance signal at one across a leaky ReLU."""


HALF_BOUND = 256.0
"""Feature maps in half precision are kept within ± this, far from where FP16 overflows."""


def leaky_relu(x: Tensor, gain: float = ACTIVATION_GAIN) -> Tensor:
    """Leaky ReLU with slope 0.2, scaled by `gain`."""
    return F.leaky_relu(x, 0.2) * gain


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """Brings the mean square of each row to one. [N, C] → [N, C]."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def is_half(x: Tensor) -> bool:
    """Whether a tensor is in half precision."""
    return x.dtype in (torch.float16, torch.bfloat16)


def bounded(x: Tensor, gain: float = 1.0, bound: float | None = None) -> Tensor:
    """Clamps feature maps to ±bound·gain; without one those in half precision to ±256·gain, others not."""
    if bound is None and is_half(x):
        bound = HALF_BOUND
    return x if bound is None else x.clamp(-bound * gain, bound * gain)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The type that autocast asks for where this is called; None outside of it."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context of networks that choose the type of each block themselves."""
    if autocast_dtype(device) is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def first_half_resolution(resolution: int, num_fp16_res: int) -> int:
    """The lowest of the `num_fp16_res` highest resolutions, and at least 8; none if there are none."""
    return max(2 * resolution >> num_fp16_res, 8) if num_fp16_res else 2 * resolution


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
    return F.conv_transpose2d(
        x, _depthwise(f * 4, channels).to(x.dtype), stride=2, padding=1, groups=channels
    )


def downsample2x(x: Tensor, f: Tensor, channels: int) -> Tensor:
    """Halves height and width: low-pass filter, then every second sample. [N, C, H, W] → [N, C, H/2, W/2]."""
    return F.conv2d(x, _depthwise(f, channels).to(x.dtype), stride=2, padding=1, groups=channels)


def blur(x: Tensor, f: Tensor, channels: int, *, padding: int, gain: float = 1.0) -> Tensor:
    """Filters each channel; with a 4×4 filter [N, C, H, W] → [N, C, H+2·padding−3, W+2·padding−3]."""
    return F.conv2d(x, _depthwise(f * gain, channels).to(x.dtype), padding=padding, groups=channels)


def modulated_conv2d(x: Tensor, weight: Tensor, s: Tensor, *, demodulate: bool, up: bool = False) -> Tensor:
    """Convolution with the weights w'_ijk = s_i · w_ijk, normalised for each output map (equations 1 and 3).

    A style scales the input maps and the norm scales the output maps, which is the same as giving every
    sample weights of its own but stays one ordinary convolution for any batch size.

    Args:
        x: [N, I, H, W]; what is computed on it stays in its type.
        weight: [O, I, k, k].
        s: Styles, [N, I].
        demodulate: Whether output maps are brought back to unit variance.
        up: Whether a transposed convolution of stride 2 is used, giving 2H+1 by 2W+1.

    Returns:
        [N, O, H, W], or [N, O, 2H+1, 2W+1] if `up`.
    """
    if demodulate and is_half(x):
        # Demodulation takes any scale out again; this one keeps FP16 from overflowing before it does.
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        s = s / s.abs().amax(dim=1, keepdim=True)
    x = x * s[:, :, None, None].to(x.dtype)
    if up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2)
    else:
        x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)
    if demodulate:
        sigma2 = s.square() @ weight.square().sum(dim=(2, 3)).t()  # [N, O]
        x = x * (sigma2 + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
    return x


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
        """[N, in_channels, H, W] → [N, out_channels, H, W], half the size if `down`; in the type of `x`."""
        w = (self.weight * self.weight_gain).to(x.dtype)
        b = None if self.bias is None else self.bias.to(x.dtype)
        if not self.down:
            x = F.conv2d(x, w, b, padding=self.kernel_size // 2)
        elif self.kernel_size == 1:
            # Resampling first computes the same on a quarter of the pixels.
            x = F.conv2d(downsample2x(x, self.f, self.in_channels), w, b)
        else:
            x = F.conv2d(blur(x, self.f, self.in_channels, padding=2), w, b, stride=2)
        if self.activate:
            x = leaky_relu(x, ACTIVATION_GAIN * self.gain)
        elif self.gain != 1:
            x = x * self.gain
        return bounded(x, self.gain)
