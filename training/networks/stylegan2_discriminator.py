"""The discriminator of StyleGAN2: residual, with labels by projection.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), section 4.1, and
"Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020), appendix D.1; Miyato and Koyama,
"cGANs with Projection Discriminator" (ICLR 2018).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from training.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    autocast_dtype,
    first_half_resolution,
    normalize_2nd_moment,
    without_autocast,
)
from training.networks.stylegan2 import channels_at, check_resolution


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


class LabelMapping(nn.Module):
    """The discriminator's own view of a label, which it compares an image with.

    Args:
        c_dim: Classes.
        width: Width of the output.
        num_layers: Fully connected layers behind the embedding.
    """

    def __init__(self, c_dim: int, width: int, num_layers: int = 8) -> None:
        super().__init__()
        self.embed = EqualizedLinear(c_dim, width)
        self.layers = nn.ModuleList(
            EqualizedLinear(width, width, lr_multiplier=0.01, activate=True) for _ in range(num_layers)
        )

    def forward(self, label: Tensor) -> Tensor:
        """From one-hot labels [N, c_dim] to [N, width]."""
        x = normalize_2nd_moment(self.embed(label))
        for layer in self.layers:
            x = layer(x)
        return x


class Discriminator(nn.Module):
    """The residual discriminator.

    A conditional one projects the image's features on the mapped label: D(x, c) = ⟨φ(x), m(c)⟩ / √width
    (Miyato and Koyama 2018, equation 3, with the inner product alone as in StyleGAN2-ADA).

    Args:
        resolution: Input resolution, a power of two.
        channel_base: Feature maps times resolution.
        channel_max: Most feature maps at any resolution.
        mbstd_group_size: Group size of the minibatch standard deviation.
        c_dim: Classes; 0 if the discriminator is unconditional.
        num_fp16_res: So many of the highest resolutions follow autocast; the others are always in FP32.

    Raises:
        ValueError: If the resolution is not a power of two.
    """

    def __init__(
        self,
        resolution: int = 256,
        channel_base: int = 16384,
        channel_max: int = 512,
        mbstd_group_size: int = 4,
        c_dim: int = 0,
        num_fp16_res: int = 0,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.resolution = resolution
        self.mbstd_group_size = mbstd_group_size
        self.c_dim = c_dim
        self.half_from = first_half_resolution(resolution, num_fp16_res)
        widths = [
            channels_at(2**log2, channel_base, channel_max)
            for log2 in range(int(math.log2(resolution)), 1, -1)
        ]
        self.fromrgb = EqualizedConv2d(3, widths[0], 1)
        self.blocks = nn.ModuleList(DiscriminatorBlock(i, o) for i, o in pairwise(widths))
        self.conv = EqualizedConv2d(widths[-1] + 1, widths[-1], 3)
        self.fc = EqualizedLinear(widths[-1] * 4 * 4, widths[-1], activate=True)
        self.out = EqualizedLinear(widths[-1], widths[-1] if c_dim else 1)
        if c_dim:
            self.label_mapping = LabelMapping(c_dim, widths[-1])

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """How real images look, as images of their class if there are classes.

        Args:
            images: [N, 3, R, R] in [−1, 1].
            label: One-hot, [N, c_dim]; an unconditional discriminator ignores it.

        Returns:
            Logits, [N, 1].

        Raises:
            ValueError: If the discriminator is conditional and gets no label.
        """
        half = autocast_dtype(images.device) or torch.float32
        with without_autocast(images.device):
            resolution, x = self.resolution, images
            for layer in (self.fromrgb, *self.blocks):
                x = layer(x.to(half if resolution >= self.half_from else torch.float32))
                resolution = x.shape[-1]
            x = self.conv(minibatch_stddev(x.float(), self.mbstd_group_size))
            x = self.fc(x.flatten(1))
            logits: Tensor = self.out(x)
            if self.c_dim:
                if label is None:
                    raise ValueError(f"a conditional discriminator needs labels, [N, {self.c_dim}]")
                phi, m = logits, self.label_mapping(label)  # [N, width] both
                logits = (phi * m).sum(dim=1, keepdim=True) / math.sqrt(m.shape[1])
            return logits

    def freeze(self, layers: int) -> None:
        """Fixes the first so many convolutions, counted from the image on (Freeze-D, Mo et al. 2020)."""
        convs = [self.fromrgb]
        for block in cast("list[DiscriminatorBlock]", list(self.blocks)):
            convs += [block.conv0, block.conv1, block.skip]
        for conv in convs[:layers]:
            conv.requires_grad_(False)
