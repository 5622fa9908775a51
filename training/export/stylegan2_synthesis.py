"""StyleGAN2's synthesis network as it is served: the same sums in an order that passes over maps less often.

What depends on the weights alone is computed before. The gain of the leaky ReLU goes into what it is applied
to, the bias of a layer that doubles resolution into its filter, styles of a to-RGB into its few weights, and
wide convolutions are computed as `winograd.py` says; these have channels last. Where maps have more numbers
than kernels, styles and demodulation scale the kernels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.export.winograd import Winograd
from training.networks.layers import ACTIVATION_GAIN, EqualizedLinear, upsample2x
from training.networks.stylegan2 import StyledConv, SynthesisBlock, SynthesisNetwork, ToRGB

WIDE = 64
"""Channels in and out from which fewer multiplications outweigh passing over the maps more often."""

LARGE = 16
"""Height and width from which they do."""

MOST = 2**23
"""Numbers in a map up to which they do; also, tiles take two and a quarter times its memory, twice."""

MAX_ERROR = 5e-5
"""Most that the served order of sums may change an image; the parity gate allows twice it."""


def served_synthesis(synthesis: SynthesisNetwork) -> ServedSynthesis:
    """The network as it is served, in evaluation mode.

    Where the wide convolutions would round too much, which is seen on two random images, they stay as
    they are.
    """
    served = ServedSynthesis(synthesis, fast=True)
    ws = torch.randn(2, synthesis.num_ws, synthesis.w_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        noise = synthesis.constant_noise()
        if (served(ws, noise) - synthesis(ws, noise)).abs().max() <= MAX_ERROR:
            return served
    return ServedSynthesis(synthesis, fast=False)


class ServedSynthesis(nn.Module):
    """ws and noise to images, as `SynthesisNetwork` has it.

    Args:
        synthesis: The network.
        fast: Whether wide convolutions are computed with fewer multiplications.
    """

    const: Tensor
    f: Tensor

    def __init__(self, synthesis: SynthesisNetwork, *, fast: bool) -> None:
        super().__init__()
        self.resolution = synthesis.resolution
        self.num_ws = synthesis.num_ws
        blocks = cast("list[SynthesisBlock]", list(synthesis.blocks))
        self.register_buffer("const", blocks[0].const.detach())
        self.layers = nn.ModuleList(_Layer(conv, fast) for conv in synthesis.styled_convs())
        self.colours = nn.ModuleList(_Colours(block.torgb) for block in blocks)
        self.register_buffer("f", synthesis.f)

    def constant_noise(self) -> list[Tensor]:
        """The model's own noise, one [1, 1, R, R] for each styled convolution that adds noise."""
        layers = cast("list[_Layer]", list(self.layers))
        return [layer.noise_const[None, None] for layer in layers if layer.noise_const is not None]

    def forward(self, ws: Tensor, noise: list[Tensor] | None) -> Tensor:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim].
            noise: One [N or 1, 1, R, R] for each styled convolution; none for no noise.

        Returns:
            Images in about [−1, 1], [N, 3, resolution, resolution].
        """
        x = self.const.unsqueeze(0).expand(ws.shape[0], -1, -1, -1)
        rgb: Tensor | None = None
        colours = iter(self.colours)
        channels_last = False
        for i, layer in enumerate(cast("list[_Layer]", list(self.layers))):
            if layer.channels_last and not channels_last:
                x = x.permute(0, 2, 3, 1)
            elif channels_last and not layer.channels_last:
                x = x.permute(0, 3, 1, 2)
            channels_last = layer.channels_last
            x = layer(x, ws[:, i], noise[i] if noise else None)
            if i % 2 == 0:  # the last layer of its resolution
                y = next(colours)(x, ws[:, i + 1], channels_last)
                rgb = y if rgb is None else upsample2x(rgb, self.f, 3) + y
        assert rgb is not None
        return rgb


class _Affine(nn.Module):
    """An affine map with its gain inside. [N, w_dim] → [N, channels]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, affine: EqualizedLinear, gain: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", affine.weight.detach() * affine.weight_gain * gain)
        self.register_buffer("bias", affine.bias.detach() * affine.bias_gain * gain)

    def forward(self, w: Tensor) -> Tensor:
        return F.linear(w, self.weight, self.bias)


class _Layer(nn.Module):
    """A styled convolution; the gain of its activation is in all that is summed up before."""

    weight: Tensor
    sigma2: Tensor
    bias: Tensor
    fir: Tensor
    strength: Tensor
    noise_const: Tensor | None

    def __init__(self, conv: StyledConv, fast: bool) -> None:
        super().__init__()
        weight = conv.weight.detach()
        self.up = conv.up
        self.bound = conv.bound
        self.affine = _Affine(conv.affine)
        self.register_buffer("sigma2", weight.square().sum(dim=(2, 3)).t() / ACTIVATION_GAIN**2)
        self.register_buffer("bias", conv.bias.detach() * ACTIVATION_GAIN)
        self.register_buffer("noise_const", conv.noise_const if conv.noise else None)
        if conv.noise:
            self.register_buffer("strength", conv.noise_strength.detach() * ACTIVATION_GAIN)
        self.convolve: Winograd | None = None
        self.scales_kernels = False
        if fast and _is_worth_it(conv):
            self.convolve = Winograd(weight, conv.resolution // (2 if conv.up else 1), up=conv.up)
            self.scales_kernels = not self.convolve.kernels_first and _has_more_in_maps(conv)
        elif conv.up:
            self.register_buffer("weight", weight.transpose(0, 1).contiguous())
            self.register_buffer("fir", (conv.f * 4).expand(conv.out_channels, 1, 4, 4).contiguous())
        else:
            self.register_buffer("weight", weight)

    @property
    def channels_last(self) -> bool:
        """Whether maps are [N, H, W, C], before and after."""
        return self.convolve is not None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        s = self.affine(w)
        d = (s.square() @ self.sigma2 + 1e-8 / ACTIVATION_GAIN**2).rsqrt()
        if noise is not None:
            noise = noise * self.strength
        if self.convolve is None:
            x = self._summed(x, s[:, :, None, None], d[:, :, None, None])
        elif self.scales_kernels:
            x = self.convolve(x, s[:, :, None] * d[:, None]) + self.bias
        else:
            x = self.convolve(x * s[:, None, None]) * d[:, None, None] + self.bias
        if noise is not None:
            x = x + (noise.permute(0, 2, 3, 1) if self.channels_last else noise)
        x = F.leaky_relu(x, 0.2)
        return x if self.bound is None else x.clamp(-self.bound, self.bound)

    def _summed(self, x: Tensor, s: Tensor, d: Tensor) -> Tensor:
        """The convolution by its definition, with the bias. [N, C, H, W]."""
        x = x * s
        if not self.up:
            return F.conv2d(x, self.weight, padding=1) * d + self.bias[:, None, None]
        x = F.conv_transpose2d(x, self.weight, stride=2) * d
        return F.conv2d(x, self.fir, self.bias, padding=1, groups=len(self.bias))


def _is_worth_it(conv: StyledConv) -> bool:
    """Whether fewer multiplications take less time, passing over the maps more often."""
    channels, side = conv.weight.shape[:2], conv.resolution
    if min(channels) < WIDE or side < LARGE or conv.out_channels * side**2 > MOST:
        return False
    # Of a transposed convolution they are no fewer; what is gained is the pass of its filter.
    return not conv.up or _has_more_in_maps(conv)


def _has_more_in_maps(conv: StyledConv) -> bool:
    """Whether maps, before and after, have more numbers than kernels have in Winograd's basis."""
    o, i = conv.weight.shape[:2]
    squares = 4 if conv.up else 1
    return conv.resolution**2 * (o + i / squares) > 36 * squares * o * i


class _Colours(nn.Module):
    """A to-RGB whose styles scale its weights, which are three for each map, instead of the maps."""

    weight: Tensor
    bias: Tensor

    def __init__(self, torgb: ToRGB) -> None:
        super().__init__()
        self.bound = torgb.bound
        self.affine = _Affine(torgb.affine, torgb.gain)
        self.register_buffer("weight", torgb.weight.detach().flatten(1))  # [3, C]
        self.register_buffer("bias", torgb.bias.detach())

    def forward(self, x: Tensor, w: Tensor, channels_last: bool) -> Tensor:
        weight = self.weight * self.affine(w).unsqueeze(1)  # [N, 3, C]
        pixels = x.flatten(1, 2) if channels_last else x.flatten(2).transpose(1, 2)
        # In this order: pixels along the other side would be cut among the threads as the size of the batch
        # has it, and ONNX Runtime rounds as it cuts.
        y: Tensor = (pixels @ weight.transpose(1, 2)).transpose(1, 2)  # [N, 3, H·W]
        y = y.unflatten(2, x.shape[1:3] if channels_last else x.shape[2:]) + self.bias[:, None, None]
        return y if self.bound is None else y.clamp(-self.bound, self.bound)
