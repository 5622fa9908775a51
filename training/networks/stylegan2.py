"""The generator of StyleGAN2: its synthesis network with skip connections, behind a mapping network.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Weight
demodulation is section 2.2, the skip generator is section 4.1; latents, noise inputs and truncation come
from the first paper (CVPR 2019), section 2 and appendix B; labels and half precision from StyleGAN2-ADA
(Karras et al., NeurIPS 2020), appendix D.1.

Symbols: z latent, w intermediate latent, `ws` one w for every layer that is styled, A the affine map from
w to a style s, B the learned strength of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from training.networks.layers import (
    EqualizedLinear,
    autocast_dtype,
    binomial_filter,
    blur,
    bounded,
    first_half_resolution,
    leaky_relu,
    modulated_conv2d,
    upsample2x,
    without_autocast,
)
from training.networks.mapping import MappingNetwork


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature maps at a resolution: `channel_base / resolution`, at most `channel_max`."""
    return min(channel_base // resolution, channel_max)


def channels_of(resolution: int, channel_base: int, channel_max: int) -> list[int]:
    """Feature maps at 4², 8² and so on up to the output resolution.

    Raises:
        ValueError: If the resolution is not a power of two.
    """
    check_resolution(resolution, least=4)
    return [channels_at(2**i, channel_base, channel_max) for i in range(2, int(math.log2(resolution)) + 1)]


def count_ws(resolution: int) -> int:
    """How many w a synthesis network of this output resolution takes (18 at 1024²)."""
    return 2 * int(math.log2(resolution)) - 2


def check_resolution(resolution: int, least: int = 8) -> None:
    """Raises ValueError unless the resolution is a power of two and not below the least."""
    if resolution < least or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two, {least} or more; got {resolution}")


class StyledConv(nn.Module):
    """One styled layer: modulated 3×3 convolution, noise scaled by B, bias, leaky ReLU.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        w_dim: Width of w.
        resolution: Height and width of the output.
        up: Whether the layer doubles the resolution.
        noise: Whether noise is added.
        bound: Largest absolute value of the output, in any precision; by default there is none in FP32.
    """

    f: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool = False,
        noise: bool = True,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.resolution = resolution
        self.up = up
        self.noise = noise
        self.bound = bound
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if noise:
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
            x = x + (noise * self.noise_strength).to(x.dtype)
        return bounded(leaky_relu(x + self.bias[None, :, None, None].to(x.dtype)), bound=self.bound)


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to colours, without demodulation. [N, C, H, W] → [N, 3, H, W]."""

    def __init__(self, in_channels: int, w_dim: int, bound: float | None = None) -> None:
        super().__init__()
        self.bound = bound
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Colours the feature maps x [N, C, H, W] as w [N, w_dim] asks; always in FP32."""
        y = modulated_conv2d(x, self.weight, self.affine(w) * self.gain, demodulate=False)
        return bounded(bounded(y).float() + self.bias[None, :, None, None], bound=self.bound)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: two styled convolutions (one at 4²) and a to-RGB.

    Args:
        in_channels: Channels in; 0 for the 4² block, which starts from the learned constant.
        out_channels: Channels out.
        w_dim: Width of w.
        resolution: Height and width of the output.
        noise: Whether noise is added.
        bound: Largest absolute value of any layer's output, if there is one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        noise: bool = True,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        self.is_first = in_channels == 0
        self.resolution = resolution
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(
                in_channels, out_channels, w_dim, resolution, up=True, noise=noise, bound=bound
            )
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, noise=noise, bound=bound)
        self.torgb = ToRGB(out_channels, w_dim, bound)

    @property
    def styled_convs(self) -> list[StyledConv]:
        """The block's styled convolutions, in order."""
        return [self.conv1] if self.is_first else [self.conv0, self.conv1]


class SynthesisNetwork(nn.Module):
    """ws and noise to an image.

    Args:
        w_dim: Width of w.
        channels: Feature maps at 4², 8² and so on up to the output resolution.
        num_fp16_res: So many of the highest resolutions follow autocast; the others are always in FP32.
        noise: Whether the styled layers add noise.
        bound: Largest absolute value of any layer's output; by default there is none in FP32.
    """

    f: Tensor

    def __init__(
        self,
        w_dim: int,
        channels: Sequence[int],
        num_fp16_res: int = 0,
        noise: bool = True,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        resolution = 2 ** (len(channels) + 1)
        self.w_dim = w_dim
        self.resolution = resolution
        self.num_ws = count_ws(resolution)
        self.half_from = first_half_resolution(resolution, num_fp16_res)
        blocks: list[SynthesisBlock] = []
        in_channels = 0
        for log2, out_channels in enumerate(channels, start=2):
            blocks.append(SynthesisBlock(in_channels, out_channels, w_dim, 2**log2, noise, bound))
            in_channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("f", binomial_filter(), persistent=False)

    def _blocks(self) -> list[SynthesisBlock]:
        return cast("list[SynthesisBlock]", list(self.blocks))

    def styled_convs(self) -> list[StyledConv]:
        """Every layer that takes noise, in order; layer i is styled by ws[:, i]."""
        return [conv for block in self._blocks() for conv in block.styled_convs]

    @property
    def last_torgb(self) -> ToRGB:
        """The to-RGB of the highest resolution, which is styled by the last of the ws."""
        return self._blocks()[-1].torgb

    def constant_noise(self) -> list[Tensor]:
        """The model's own noise, one [1, 1, R, R] for each styled convolution that adds noise."""
        return [conv.noise_const[None, None] for conv in self.styled_convs() if conv.noise]

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
            noise: One [N or 1, 1, R, R] for each styled convolution; None, or an empty list, for no noise.

        Returns:
            Images in about [−1, 1], [N, 3, resolution, resolution].
        """
        half = autocast_dtype(ws.device) or torch.float32
        x: Tensor | None = None
        rgb: Tensor | None = None
        layer = 0  # the styled convolution at hand; a to-RGB shares its w with the convolution after it
        with without_autocast(ws.device):
            for block in self._blocks():
                if block.is_first:
                    # [N, C, 4, 4]; repeating by index keeps the batch axis dynamic in exported graphs.
                    x = block.const.unsqueeze(0).expand(ws.shape[0], -1, -1, -1)
                assert x is not None
                x = x.to(half if block.resolution >= self.half_from else torch.float32)
                for conv in block.styled_convs:
                    x = conv(x, ws[:, layer], noise[layer] if noise else None)
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
        channel_base: Feature maps times resolution, the capacity of the network.
        channel_max: Most feature maps at any resolution.
        mapping_layers: Fully connected layers of the mapping network.
        c_dim: Classes; 0 if the generator is unconditional.
        num_fp16_res: So many of the highest resolutions follow autocast.
        channels: Feature maps at 4², 8² and so on, if they do not follow from base and maximum.
        noise: Whether the styled layers add noise.
        bound: Largest absolute value of any layer's output; by default there is none in FP32.
        layer_features: Width between the layers of the mapping network; by default that of w.
        embed_features: Width of the embedded label; by default that of w.
        lr_multiplier: Learning rate of the mapping network relative to the optimiser's.

    Raises:
        ValueError: If the resolution is not a power of two, or has not as many blocks as there are channels.
    """

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        resolution: int = 256,
        channel_base: int = 16384,
        channel_max: int = 512,
        mapping_layers: int = 8,
        c_dim: int = 0,
        num_fp16_res: int = 0,
        *,
        channels: Sequence[int] | None = None,
        noise: bool = True,
        bound: float | None = None,
        layer_features: int | None = None,
        embed_features: int | None = None,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        channels = channels or channels_of(resolution, channel_base, channel_max)
        if len(channels) != len(channels_of(resolution, channel_base, channel_max)):
            raise ValueError(
                f"{len(channels)} numbers of channels do not lead to a resolution of {resolution}"
            )
        self.synthesis = SynthesisNetwork(w_dim, channels, num_fp16_res, noise, bound)
        self.mapping = MappingNetwork(
            z_dim, w_dim, self.synthesis.num_ws, mapping_layers, c_dim=c_dim, layer_features=layer_features,
            embed_features=embed_features, lr_multiplier=lr_multiplier,
        )  # fmt: skip

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int = -1,
        label: Tensor | None = None,
    ) -> Tensor:
        """Images for latents with the model's constant noise. [N, z_dim] → [N, 3, R, R] in about [−1, 1]."""
        ws = self.mapping(z, truncation_psi, truncation_cutoff, label)
        images: Tensor = self.synthesis(ws, self.synthesis.constant_noise())
        return images
