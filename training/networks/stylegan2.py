"""StyleGAN2: mapping network, synthesis network with skip connections, residual discriminator.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Weight
demodulation is section 2.2, the skip generator and the residual discriminator are section 4.1; latents,
noise inputs and truncation come from the first paper (CVPR 2019), sections 2 and appendix B.

Symbols: z latent, w intermediate latent, `ws` one w for every layer that is styled, A the affine map from
w to a style s, B the learned strength of the noise.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    binomial_filter,
    blur,
    leaky_relu,
    upsample2x,
)


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature maps at a resolution: `channel_base / resolution`, at most `channel_max`."""
    return min(channel_base // resolution, channel_max)


def count_ws(resolution: int) -> int:
    """How many w a synthesis network of this output resolution takes (18 at 1024²)."""
    return 2 * int(math.log2(resolution)) - 2


def check_resolution(resolution: int) -> None:
    """Raises ValueError unless the resolution is a power of two of at least 8."""
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two, 8 or more; got {resolution}")


class MappingNetwork(nn.Module):
    """w = M(z): a multilayer perceptron that turns Gaussian latents into styles, and truncates them.

    Args:
        z_dim: Width of z.
        w_dim: Width of w.
        num_ws: Copies of w in the output, one for every styled layer.
        num_layers: Fully connected layers.
        w_avg_beta: Decay of the running average of w.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, w_dim: int, num_ws: int, num_layers: int = 8, w_avg_beta: float = 0.998
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.w_avg_beta = w_avg_beta
        widths = [z_dim] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(i, o, lr_multiplier=0.01, activate=True) for i, o in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def styles(self, z: Tensor) -> Tensor:
        """One w for each z, before truncation and broadcast. [N, z_dim] → [N, w_dim]."""
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def track_average(self, w: Tensor) -> None:
        """Moves the running average, which truncation pulls towards, to a batch of w [N, w_dim]."""
        self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))

    def broadcast(self, w: Tensor) -> Tensor:
        """The same w for every layer. [N, w_dim] → [N, num_ws, w_dim]."""
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int = -1) -> Tensor:
        """Maps latents to styles.

        Args:
            z: [N, z_dim], standard normal.
            truncation_psi: 1 leaves w as it is, 0 is the average w.
            truncation_cutoff: Truncate the first so many layers only; −1 truncates all.

        Returns:
            ws, [N, num_ws, w_dim].
        """
        n = z.shape[0]
        psi = torch.full((n, 1), truncation_psi, device=z.device)
        cutoff = torch.full((n, 1), truncation_cutoff, dtype=torch.int32, device=z.device)
        return truncate(self.broadcast(self.styles(z)), self.w_avg, psi, cutoff)


def truncate(ws: Tensor, w_avg: Tensor, psi: Tensor, cutoff: Tensor) -> Tensor:
    """The truncation trick, w' = w̄ + ψ(w − w̄), with its own ψ and cutoff for each sample.

    Args:
        ws: [N, num_ws, w_dim].
        w_avg: w̄, [w_dim].
        psi: [N, 1].
        cutoff: [N, 1] integer: the first so many layers are truncated; negative means all.

    Returns:
        [N, num_ws, w_dim].
    """
    layer = torch.arange(ws.shape[1], device=ws.device).unsqueeze(0)  # [1, num_ws]
    truncated = (cutoff < 0) | (layer < cutoff)  # [N, num_ws]
    pulled = w_avg + psi.unsqueeze(2) * (ws - w_avg)
    # Chosen rather than multiplied, so that an untruncated layer keeps w bit for bit.
    return torch.where(truncated.unsqueeze(2) & (psi != 1).unsqueeze(2), pulled, ws)


def modulated_conv2d(x: Tensor, weight: Tensor, s: Tensor, *, demodulate: bool, up: bool = False) -> Tensor:
    """Convolution with the weights w'_ijk = s_i · w_ijk, normalised for each output map (equations 1 and 3).

    A style scales the input maps and the norm scales the output maps, which is the same as giving every
    sample weights of its own but stays one ordinary convolution for any batch size.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k].
        s: Styles, [N, I].
        demodulate: Whether output maps are brought back to unit variance.
        up: Whether a transposed convolution of stride 2 is used, giving 2H+1 by 2W+1.

    Returns:
        [N, O, H, W], or [N, O, 2H+1, 2W+1] if `up`.
    """
    x = x * s[:, :, None, None]
    if up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    else:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    if demodulate:
        sigma2 = s.square() @ weight.square().sum(dim=(2, 3)).t()  # [N, O]
        x = x * (sigma2 + 1e-8).rsqrt()[:, :, None, None]
    return x


class StyledConv(nn.Module):
    """One styled layer: modulated 3×3 convolution, noise scaled by B, bias, leaky ReLU.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        w_dim: Width of w.
        resolution: Height and width of the output.
        up: Whether the layer doubles the resolution.
    """

    f: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, *, up: bool = False
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.resolution = resolution
        self.up = up
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("f", binomial_filter(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Styles one layer.

        Args:
            x: [N, in_channels, H, W].
            w: [N, w_dim].
            noise: [N or 1, 1, resolution, resolution], or None for no noise.

        Returns:
            [N, out_channels, resolution, resolution].
        """
        x = modulated_conv2d(x, self.weight, self.affine(w), demodulate=True, up=self.up)
        if self.up:
            x = blur(x, self.f, self.out_channels, padding=1, gain=4)
        if noise is not None:
            x = x + noise * self.noise_strength
        return leaky_relu(x + self.bias[None, :, None, None])


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to colours, without demodulation. [N, C, H, W] → [N, 3, H, W]."""

    def __init__(self, in_channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Colours the feature maps x [N, C, H, W] as w [N, w_dim] asks."""
        y = modulated_conv2d(x, self.weight, self.affine(w) * self.gain, demodulate=False)
        return y + self.bias[None, :, None, None]


class SynthesisBlock(nn.Module):
    """The layers of one resolution: two styled convolutions (one at 4²) and a to-RGB.

    Args:
        in_channels: Channels in; 0 for the 4² block, which starts from the learned constant.
        out_channels: Channels out.
        w_dim: Width of w.
        resolution: Height and width of the output.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int) -> None:
        super().__init__()
        self.is_first = in_channels == 0
        self.resolution = resolution
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=True)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution)
        self.torgb = ToRGB(out_channels, w_dim)

    @property
    def styled_convs(self) -> list[StyledConv]:
        """The block's styled convolutions, in order."""
        return [self.conv1] if self.is_first else [self.conv0, self.conv1]


class SynthesisNetwork(nn.Module):
    """ws and noise to an image.

    Args:
        w_dim: Width of w.
        resolution: Output resolution, a power of two.
        channel_base: Feature maps times resolution, the capacity of the network.
        channel_max: Most feature maps at any resolution.

    Raises:
        ValueError: If the resolution is not a power of two.
    """

    f: Tensor

    def __init__(self, w_dim: int, resolution: int, channel_base: int, channel_max: int) -> None:
        super().__init__()
        check_resolution(resolution)
        self.w_dim = w_dim
        self.resolution = resolution
        self.num_ws = count_ws(resolution)
        blocks: list[SynthesisBlock] = []
        in_channels = 0
        for log2 in range(2, int(math.log2(resolution)) + 1):
            out_channels = channels_at(2**log2, channel_base, channel_max)
            blocks.append(SynthesisBlock(in_channels, out_channels, w_dim, 2**log2))
            in_channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("f", binomial_filter(), persistent=False)

    def _blocks(self) -> list[SynthesisBlock]:
        return cast("list[SynthesisBlock]", list(self.blocks))

    def styled_convs(self) -> list[StyledConv]:
        """Every layer that takes noise, in order; layer i is styled by ws[:, i]."""
        return [conv for block in self._blocks() for conv in block.styled_convs]

    def constant_noise(self) -> list[Tensor]:
        """The model's own noise, one [1, 1, R, R] for each styled convolution."""
        return [conv.noise_const[None, None] for conv in self.styled_convs()]

    def random_noise(self, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Fresh Gaussian noise for n images, one [n, 1, R, R] for each styled convolution."""
        return [
            torch.randn(n, 1, conv.resolution, conv.resolution, generator=generator, device=conv.bias.device)
            for conv in self.styled_convs()
        ]

    def forward(self, ws: Tensor, noise: list[Tensor] | None) -> Tensor:
        """Synthesises images.

        Args:
            ws: [N, num_ws, w_dim].
            noise: One [N or 1, 1, R, R] for each styled convolution; None for no noise.

        Returns:
            Images in about [−1, 1], [N, 3, resolution, resolution].
        """
        x: Tensor | None = None
        rgb: Tensor | None = None
        layer = 0  # the styled convolution at hand; a to-RGB shares its w with the convolution after it
        for block in self._blocks():
            if block.is_first:
                # [N, C, 4, 4]; repeating by index keeps the batch axis dynamic in exported graphs.
                x = block.const.unsqueeze(0).expand(ws.shape[0], -1, -1, -1)
            for conv in block.styled_convs:
                x = conv(x, ws[:, layer], None if noise is None else noise[layer])
                layer += 1
            y = block.torgb(x, ws[:, layer])
            rgb = y if rgb is None else upsample2x(rgb, self.f, 3) + y
        assert rgb is not None
        return rgb


class Generator(nn.Module):
    """Mapping and synthesis together.

    Args:
        z_dim: Width of z.
        w_dim: Width of w.
        resolution: Output resolution, a power of two.
        channel_base: Feature maps times resolution.
        channel_max: Most feature maps at any resolution.
        mapping_layers: Fully connected layers of the mapping network.
    """

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        resolution: int = 256,
        channel_base: int = 16384,
        channel_max: int = 512,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        self.synthesis = SynthesisNetwork(w_dim, resolution, channel_base, channel_max)
        self.mapping = MappingNetwork(z_dim, w_dim, self.synthesis.num_ws, mapping_layers)

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int = -1) -> Tensor:
        """Images for latents with the model's constant noise. [N, z_dim] → [N, 3, R, R] in about [−1, 1]."""
        ws = self.mapping(z, truncation_psi, truncation_cutoff)
        images: Tensor = self.synthesis(ws, self.synthesis.constant_noise())
        return images


class DiscriminatorBlock(nn.Module):
    """A residual block that halves the resolution. [N, C, H, W] → [N, C', H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # Both branches are scaled by √½, so that their sum keeps unit variance.
        self.skip = EqualizedConv2d(
            in_channels, out_channels, 1, down=True, bias=False, activate=False, gain=math.sqrt(0.5)
        )
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3)
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, down=True, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Adds the filtered shortcut to two convolutions."""
        y: Tensor = self.conv1(self.conv0(x)) + self.skip(x)
        return y


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Appends one map that says how much the images of a group differ (ProGAN, section 3).

    Args:
        x: [N, C, H, W].
        group_size: Images compared with each other; N must be a multiple of it, or smaller than it.

    Returns:
        [N, C+1, H, W].

    Raises:
        ValueError: If N is neither.
    """
    n, c, h, w = x.shape
    group = min(group_size, n)
    if n % group:
        raise ValueError(f"minibatch stddev: a batch of {n} is no multiple of the group size {group}")
    y = x.reshape(group, -1, c, h, w)  # [G, M, C, H, W]: group m holds the images m, m+M, m+2M, …
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [M]
    y = y.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, y], dim=1)


class Discriminator(nn.Module):
    """The residual discriminator.

    Args:
        resolution: Input resolution, a power of two.
        channel_base: Feature maps times resolution.
        channel_max: Most feature maps at any resolution.
        mbstd_group_size: Group size of the minibatch standard deviation.

    Raises:
        ValueError: If the resolution is not a power of two.
    """

    def __init__(
        self,
        resolution: int = 256,
        channel_base: int = 16384,
        channel_max: int = 512,
        mbstd_group_size: int = 4,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.resolution = resolution
        self.mbstd_group_size = mbstd_group_size
        widths = [
            channels_at(2**log2, channel_base, channel_max)
            for log2 in range(int(math.log2(resolution)), 1, -1)
        ]
        self.fromrgb = EqualizedConv2d(3, widths[0], 1)
        self.blocks = nn.ModuleList(DiscriminatorBlock(i, o) for i, o in pairwise(widths))
        self.conv = EqualizedConv2d(widths[-1] + 1, widths[-1], 3)
        self.fc = EqualizedLinear(widths[-1] * 4 * 4, widths[-1], activate=True)
        self.out = EqualizedLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """How real the images look. [N, 3, R, R] in [−1, 1] → logits [N, 1]."""
        x = self.fromrgb(images)
        for block in self.blocks:
            x = block(x)
        x = self.conv(minibatch_stddev(x, self.mbstd_group_size))
        x = self.fc(x.flatten(1))
        logits: Tensor = self.out(x)
        return logits
