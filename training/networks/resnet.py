"""The residual generator of CycleGAN.

Sources: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (ECCV 2016),
supplement; Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(ICCV 2017), section 7.2: c7s1-64, d128, d256, six blocks R256 for 128 × 128 pixels or nine for 256 × 256,
u128, u64, c7s1-3, reflection padding. Park et al., "Contrastive Learning for Unpaired Image-to-Image
Translation" (ECCV 2020), resample it without aliases.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.antialias import Downsample, Upsample
from training.networks.dropout import Dropout
from training.networks.initialization import init_normal
from training.networks.norms import NormName, has_bias, norm_layer


class ResidualBlock(nn.Module):
    """R: two 3 × 3 convolutions beside the identity, without a ReLU behind the sum. Keeps the shape."""

    def __init__(self, channels: int, norm: NormName, dropout: float) -> None:
        super().__init__()
        bias = has_bias(norm)
        layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += [*norm_layer(norm, channels), nn.ReLU()]
        if dropout > 0:
            layers.append(Dropout(channels, dropout))
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += norm_layer(norm, channels)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        y: Tensor = x + self.layers(x)
        return y


class ResNet(nn.Module):
    """Translates images; [N, in_channels, H, W] → [N, out_channels, H, W] in [−1, 1].

    Args:
        blocks: Residual blocks.
        channels: Channels at full size; doubled by each halving of the image.
        downs: Times the image is halved before the blocks.
        norm: Normalisation layers.
        dropout: Share of units dropped in each residual block.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        antialias_down: Whether halvings blur before they drop pixels, instead of a convolution with stride 2.
        antialias_up: Whether doublings interpolate before a convolution, instead of a transposed one.

    Attributes:
        size_multiple: What heights and widths must be multiples of.
        min_size: Least height and width, for the reflections to find pixels.
    """

    def __init__(
        self,
        blocks: int = 9,
        channels: int = 64,
        downs: int = 2,
        norm: NormName = "instance",
        dropout: float = 0.0,
        in_channels: int = 3,
        out_channels: int = 3,
        antialias_down: bool = False,
        antialias_up: bool = False,
    ) -> None:
        super().__init__()
        self.size_multiple = 2**downs
        self.min_size = max(4, 2 * self.size_multiple)
        bias = has_bias(norm)
        widths = [channels * 2**i for i in range(downs + 1)]

        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, channels, 7, bias=bias)]
        layers += [*norm_layer(norm, channels), nn.ReLU()]
        for i in range(downs):
            stride = 1 if antialias_down else 2
            layers.append(nn.Conv2d(widths[i], widths[i + 1], 3, stride, 1, bias=bias))
            layers += [*norm_layer(norm, widths[i + 1]), nn.ReLU()]
            if antialias_down:
                layers.append(Downsample(widths[i + 1]))
        layers += [ResidualBlock(widths[-1], norm, dropout) for _ in range(blocks)]
        for i in range(downs, 0, -1):
            if antialias_up:
                layers += [Upsample(widths[i]), nn.Conv2d(widths[i], widths[i - 1], 3, 1, 1, bias=bias)]
            else:
                layers.append(nn.ConvTranspose2d(widths[i], widths[i - 1], 3, 2, 1, 1, bias=bias))
            layers += [*norm_layer(norm, widths[i - 1]), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Translates images whose sides are multiples of `size_multiple`."""
        y: Tensor = self.layers(x)
        return y
