"""DCGAN: a generator and a discriminator made of strided convolutions alone.

Source: Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks" (ICLR 2016), section 3 and figure 1: kernels of 4 with stride 2, no fully connected layers, batch
normalisation everywhere but in G's last and D's first layer, ReLU and tanh in G, leaky ReLU of slope 0.2 in
D, weights from N(0, 0.02). Spectral normalisation: Miyato et al. (ICLR 2018), algorithm 1.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.networks.initialization import init_normal
from training.networks.norms import BatchNorm2d, NormName, has_bias, norm_layer

MIN_RESOLUTION, MAX_RESOLUTION = 16, 128
SLOPE = 0.2


def feature_maps(resolution: int, channels: int, channel_max: int) -> list[int]:
    """Feature maps at 4², 8², … up to half the resolution: `channels` at the last, doubled by each halving.

    Raises:
        ValueError: If the resolution is not a power of two from 16 to 128.
    """
    if resolution & (resolution - 1) or not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(
            f"a DCGAN makes images of {MIN_RESOLUTION}, 32, 64 or {MAX_RESOLUTION} pixels, not {resolution}"
        )
    halvings = resolution.bit_length() - 3  # from the image down to 4²
    return [min(channels * 2**i, channel_max) for i in reversed(range(halvings))]


class LatentMapping(nn.Module):
    """The mapping half of a generator without styles: its ws are z itself, one for the whole image.

    Args:
        z_dim: Width of z.
    """

    num_ws = 1
    c_dim = 0
    w_avg: Tensor

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.z_dim = self.w_dim = z_dim
        self.register_buffer("w_avg", torch.zeros(z_dim))  # the mean of z, which truncation pulls towards

    def ws(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """[N, z_dim] → [N, 1, z_dim]."""
        return z.unsqueeze(1)


class SynthesisNetwork(nn.Module):
    """The synthesis half: a latent is an image of 1 × 1 pixel, which every layer enlarges.

    Args:
        z_dim: Width of z.
        resolution: Side of an image, a power of two from 16 to 128.
        channels: Feature maps at half the resolution.
        channel_max: Most feature maps at any resolution.
    """

    def __init__(self, z_dim: int, resolution: int, channels: int, channel_max: int) -> None:
        super().__init__()
        self.resolution = resolution
        maps = feature_maps(resolution, channels, channel_max)
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, maps[0], 4, bias=False)]  # 1² → 4²
        for narrow, wide in pairwise(maps):
            layers += [BatchNorm2d(narrow), nn.ReLU(), nn.ConvTranspose2d(narrow, wide, 4, 2, 1, bias=False)]
        layers += [BatchNorm2d(maps[-1]), nn.ReLU(), nn.ConvTranspose2d(maps[-1], 3, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def constant_noise(self) -> list[Tensor]:
        """None: everything random is in z."""
        return []

    def forward(self, ws: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        """[N, 1, z_dim] → [N, 3, R, R] in [−1, 1]."""
        images: Tensor = self.layers(ws.transpose(1, 2).unsqueeze(3))  # [N, z_dim, 1, 1]
        return images


class Generator(nn.Module):
    """G: latents to images, in the two halves that generators are served in.

    Args:
        z_dim: Width of z.
        resolution: Side of an image, a power of two from 16 to 128.
        channels: Feature maps at half the resolution.
        channel_max: Most feature maps at any resolution.
    """

    def __init__(
        self, z_dim: int = 100, resolution: int = 64, channels: int = 64, channel_max: int = 512
    ) -> None:
        super().__init__()
        self.mapping = LatentMapping(z_dim)
        self.synthesis = SynthesisNetwork(z_dim, resolution, channels, channel_max)
        init_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        """[N, z_dim] → [N, 3, R, R] in [−1, 1]."""
        images: Tensor = self.synthesis(self.mapping.ws(z))
        return images


class Discriminator(nn.Module):
    """D: images to logits, one an image.

    Args:
        resolution: Side of an image, a power of two from 16 to 128.
        channels: Feature maps at half the resolution.
        channel_max: Most feature maps at any resolution.
        norm: Normalisation layers.
        spectral: Whether each kernel is divided by its largest singular value, found by a step of power
            iteration each time the network is used in training.
    """

    def __init__(
        self,
        resolution: int = 64,
        channels: int = 64,
        channel_max: int = 512,
        norm: NormName = "batch",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        maps = feature_maps(resolution, channels, channel_max)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(3, maps[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for wide, narrow in pairwise(maps):
            layers.append(nn.Conv2d(wide, narrow, 4, 2, 1, bias=has_bias(norm)))
            layers += [*norm_layer(norm, narrow), nn.LeakyReLU(SLOPE)]
        layers.append(nn.Conv2d(maps[-1], 1, 4))  # 4² → 1²
        self.layers = nn.Sequential(*layers)
        init_normal(self)
        if spectral:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, R, R] in [−1, 1] → [N, 1]."""
        logits: Tensor = self.layers(images).flatten(1)
        return logits


@torch.no_grad()
def take_standing_statistics(generator: Generator, batches: int = 16, batch: int = 64) -> None:
    """Gives batch normalisation the statistics that these very weights have, over latents of a fixed seed.

    Averaged weights have none of their own: those of the weights they were averaged from belong to other
    feature maps. Source: Brock et al. (ICLR 2019), section 4.2, "standing statistics".

    Args:
        generator: Changed in place.
        batches: How many batches the statistics are averaged over.
        batch: Latents in each.
    """
    norms = [layer for layer in generator.modules() if isinstance(layer, BatchNorm2d)]
    momenta, training = [layer.momentum for layer in norms], generator.training
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.over_processes = False  # one of them may be alone in asking for this
    rng = torch.Generator().manual_seed(0)
    generator.train()
    for _ in range(batches):
        z = torch.randn(batch, generator.mapping.z_dim, generator=rng)
        generator(z.to(generator.mapping.w_avg.device))
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum, layer.over_processes = momentum, True
    generator.train(training)
