"""The generator of StyleGAN2: mapping network, and synthesis network with skip connections.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Weight
demodulation is section 2.2, the skip generator is section 4.1; latents, noise inputs and truncation come
from the first paper (CVPR 2019), section 2 and appendix B; labels and half precision from StyleGAN2-ADA
(Karras et al., NeurIPS 2020), appendix D.1.

Symbols: z latent, w intermediate latent, `ws` one w for every layer that is styled, A the affine map from
w to a style s, B the learned strength of the noise.
"""

from __future__ import annotations

import math
from itertools import pairwise
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
    normalize_2nd_moment,
    upsample2x,
    without_autocast,
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

    A conditional one, w = M(z, c), takes the embedded label beside z, both normalised.

    Args:
        z_dim: Width of z.
        w_dim: Width of w.
        num_ws: Copies of w in the output, one for every styled layer.
        num_layers: Fully connected layers.
        w_avg_beta: Decay of the running average of w.
        c_dim: Classes; 0 if the network is unconditional.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        w_avg_beta: float = 0.998,
        c_dim: int = 0,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.c_dim = c_dim
        self.w_avg_beta = w_avg_beta
        if c_dim:
            self.embed = EqualizedLinear(c_dim, w_dim)
        widths = [z_dim + (w_dim if c_dim else 0)] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(i, o, lr_multiplier=0.01, activate=True) for i, o in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def styles(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """One w for each z, before truncation and broadcast.

        Args:
            z: [N, z_dim].
            label: One-hot, [N, c_dim]; an unconditional network ignores it.

        Returns:
            [N, w_dim].

        Raises:
            ValueError: If the network is conditional and gets no label.
        """
        with without_autocast(z.device):
            x = normalize_2nd_moment(z)
            if self.c_dim:
                if label is None:
                    raise ValueError(f"a conditional network needs labels, [N, {self.c_dim}]")
                x = torch.cat([x, normalize_2nd_moment(self.embed(label))], dim=1)
            for layer in self.layers:
                x = layer(x)
            return x

    def ws(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Untruncated ws. [N, z_dim] and one-hot labels [N, c_dim] → [N, num_ws, w_dim]."""
        return self.broadcast(self.styles(z, label))

    @torch.no_grad()
    def track_average(self, w: Tensor) -> None:
        """Moves the running average, which truncation pulls towards, to the mean w of a batch, [w_dim]."""
        self.w_avg.copy_(w.lerp(self.w_avg, self.w_avg_beta))

    def broadcast(self, w: Tensor) -> Tensor:
        """The same w for every layer. [N, w_dim] → [N, num_ws, w_dim]."""
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int = -1,
        label: Tensor | None = None,
    ) -> Tensor:
        """Maps latents to styles.

        Args:
            z: [N, z_dim], standard normal.
            truncation_psi: 1 leaves w as it is, 0 is the average w.
            truncation_cutoff: Truncate the first so many layers only; −1 truncates all.
            label: One-hot, [N, c_dim], if the network is conditional.

        Returns:
            ws, [N, num_ws, w_dim].
        """
        n = z.shape[0]
        psi = torch.full((n, 1), truncation_psi, device=z.device)
        cutoff = torch.full((n, 1), truncation_cutoff, dtype=torch.int32, device=z.device)
        return truncate(self.ws(z, label), self.w_avg, psi, cutoff)


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
            x = x + (noise * self.noise_strength).to(x.dtype)
        return bounded(leaky_relu(x + self.bias[None, :, None, None].to(x.dtype)))


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to colours, without demodulation. [N, C, H, W] → [N, 3, H, W]."""

    def __init__(self, in_channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Colours the feature maps x [N, C, H, W] as w [N, w_dim] asks; always in FP32."""
        y = modulated_conv2d(x, self.weight, self.affine(w) * self.gain, demodulate=False)
        return bounded(y).float() + self.bias[None, :, None, None]


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
        num_fp16_res: So many of the highest resolutions follow autocast; the others are always in FP32.

    Raises:
        ValueError: If the resolution is not a power of two.
    """

    f: Tensor

    def __init__(
        self, w_dim: int, resolution: int, channel_base: int, channel_max: int, num_fp16_res: int = 0
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.w_dim = w_dim
        self.resolution = resolution
        self.num_ws = count_ws(resolution)
        self.half_from = first_half_resolution(resolution, num_fp16_res)
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

    @property
    def last_torgb(self) -> ToRGB:
        """The to-RGB of the highest resolution, which is styled by the last of the ws."""
        return self._blocks()[-1].torgb

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
        c_dim: Classes; 0 if the generator is unconditional.
        num_fp16_res: So many of the highest resolutions follow autocast.
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
    ) -> None:
        super().__init__()
        self.synthesis = SynthesisNetwork(w_dim, resolution, channel_base, channel_max, num_fp16_res)
        self.mapping = MappingNetwork(z_dim, w_dim, self.synthesis.num_ws, mapping_layers, c_dim=c_dim)

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
