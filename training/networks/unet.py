"""The U-Net generator of Pix2Pix.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017),
sections 3.2.1 and 6.1.1: every layer k4 s2 p1; the encoder C64-C128-C256-C512-C512-C512-C512-C512 with
leaky ReLU, the decoder CD512-CD512-CD512-C512-C256-C128-C64 with ReLU, each of whose layers also sees what
the encoder made at its size. The first layer is not normalised, and neither is the innermost one, which at
1 × 1 would erase itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.dropout import Dropout
from training.networks.initialization import init_normal
from training.networks.norms import NormName, has_bias, norm_layer

SLOPE = 0.2


class UNet(nn.Module):
    """Translates images; [N, in_channels, H, W] → [N, out_channels, H, W] in [−1, 1].

    Args:
        num_downs: Times the encoder halves the image, at least 2: 8 for 256 × 256 pixels, 7 for 128 × 128.
        channels: Channels of the first layer; doubled by each of the next three.
        channel_max: Most channels of any layer; None is 8 · channels.
        norm: Normalisation layers.
        dropout: Share of units dropped in the first three layers of the decoder, CD in the paper.
        in_channels: Channels of the input.
        out_channels: Channels of the output.

    Attributes:
        size_multiple: What heights and widths must be multiples of.
        min_size: Least height and width.
    """

    def __init__(
        self,
        num_downs: int = 8,
        channels: int = 64,
        channel_max: int | None = None,
        norm: NormName = "batch",
        dropout: float = 0.5,
        in_channels: int = 3,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        self.size_multiple = self.min_size = 2**num_downs
        bias = has_bias(norm)
        limit = channel_max or channels * 8
        widths = [min(channels * 2 ** min(i, 3), limit) for i in range(num_downs)]  # outermost first
        innermost = num_downs - 1

        down: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=bias)]
        for i in range(1, num_downs):
            layers = [nn.LeakyReLU(SLOPE), nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1, bias=bias)]
            if i < innermost:
                layers += norm_layer(norm, widths[i])
            down.append(nn.Sequential(*layers))
        self.down = nn.ModuleList(down)

        up: list[nn.Module] = []  # in the order they are applied: innermost first
        for i in range(innermost, 0, -1):
            width_in = widths[i] if i == innermost else 2 * widths[i]  # with what was skipped over
            layers = [nn.ReLU(), nn.ConvTranspose2d(width_in, widths[i - 1], 4, 2, 1, bias=bias)]
            layers += norm_layer(norm, widths[i - 1])
            if dropout > 0 and i > innermost - 3:
                layers.append(Dropout(widths[i - 1], dropout))
            up.append(nn.Sequential(*layers))
        up.append(
            nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], out_channels, 4, 2, 1), nn.Tanh())
        )
        self.up = nn.ModuleList(up)
        init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Translates images whose sides are multiples of `size_multiple`."""
        skipped: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skipped.append(x)
        x = self.up[0](skipped.pop())
        for layer in list(self.up)[1:]:
            x = layer(torch.cat([skipped.pop(), x], dim=1))
        return x
