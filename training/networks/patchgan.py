"""The discriminator of Pix2Pix and CycleGAN, which judges every patch of an image by itself.

Source: Isola et al. (CVPR 2017), sections 3.2.2 and 6.1.2: C64-C128-C256-C512, k4, the last two layers with
stride 1, sees 70 × 70 pixels; no normalisation in the first layer; leaky ReLU with slope 0.2.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.initialization import init_normal
from training.networks.norms import NormName, has_bias, norm_layer

SLOPE = 0.2


class PatchGAN(nn.Module):
    """Logits of overlapping patches; [N, in_channels, H, W] → [N, 1, h, w].

    Args:
        in_channels: Channels of the input; 6 for a condition and an image.
        channels: Channels of the first layer; doubled by each of the next three.
        n_layers: Layers that halve the image: 3 sees patches of 70 × 70 pixels, 2 of 34 × 34, 1 of 16 × 16.
        norm: Normalisation layers.

    Attributes:
        receptive_field: Side of a patch in pixels.
    """

    def __init__(
        self, in_channels: int = 3, channels: int = 64, n_layers: int = 3, norm: NormName = "batch"
    ) -> None:
        super().__init__()
        bias = has_bias(norm)
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        width = channels
        for i in range(1, n_layers + 1):
            stride = 2 if i < n_layers else 1
            previous, width = width, channels * 2 ** min(i, 3)
            layers.append(nn.Conv2d(previous, width, 4, stride, 1, bias=bias))
            layers += [*norm_layer(norm, width), nn.LeakyReLU(SLOPE)]
        layers.append(nn.Conv2d(width, 1, 4, 1, 1))
        self.layers = nn.Sequential(*layers)
        self.receptive_field = 1
        for stride in [1, 1] + [2] * n_layers:  # from the logits back to the image
            self.receptive_field = (self.receptive_field - 1) * stride + 4
        init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Judges images whose sides are at least 3 · 2^n_layers."""
        logits: Tensor = self.layers(x).float()  # losses need more than half precision
        return logits
