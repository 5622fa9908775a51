"""Discriminators of super-resolution: one judgement an image, or one a pixel.

Sources: Ledig et al. (CVPR 2017), section 2.1 and figure 4; Wang et al., "Real-ESRGAN" (ICCV Workshops 2021),
section 3.4 and figure 6; spectral normalisation: Miyato et al. (ICLR 2018).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from training.networks.norms import BatchNorm2d


class VGGDiscriminator(nn.Module):
    """SRGAN's: eight convolutions that halve the image four times, then two fully connected layers.

    Args:
        size: Height and width of the images it is for, which the first fully connected layer depends on.
        features: Channels of the first convolution; they double up to eightfold.
        norm: Batch normalisation as published; `spectral` needs no statistics of the batch.
    """

    def __init__(self, size: int, features: int = 64, norm: Literal["batch", "spectral"] = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.LeakyReLU(0.2)]
        c_in = features
        for i in range(1, 8):
            c_out, stride = features * 2 ** (i // 2), 1 + i % 2
            if norm == "batch":
                conv: nn.Module = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
                layers += [conv, BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
            else:
                conv = spectral_norm(nn.Conv2d(c_in, c_out, 3, stride, padding=1))
                layers += [conv, nn.LeakyReLU(0.2)]
            c_in = c_out
        self.size = size
        self.convs = nn.Sequential(*layers)
        side = -(-size // 16)  # each halving rounds up
        self.judge = nn.Sequential(
            nn.Flatten(),
            nn.Linear(c_in * side**2, 16 * features),
            nn.LeakyReLU(0.2),
            nn.Linear(16 * features, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, size, size] in [0, 1] → logits [N, 1]."""
        logits: Tensor = self.judge(self.convs(images))
        return logits


class UNetDiscriminator(nn.Module):
    """Real-ESRGAN's: a U-Net with spectral normalisation that judges every pixel in its context.

    Args:
        features: Channels at full resolution; they double with each of three halvings.
    """

    size_multiple = 8

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        c = [features * 2**i for i in range(4)]
        self.head = nn.Conv2d(3, c[0], 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(c[i], c[i + 1], 4, 2, padding=1, bias=False)) for i in range(3)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(c[i + 1], c[i], 3, padding=1, bias=False)) for i in reversed(range(3))
        )
        self.end = nn.ModuleList(
            spectral_norm(nn.Conv2d(c[0], c[0], 3, padding=1, bias=False)) for _ in range(2)
        )
        self.last = nn.Conv2d(c[0], 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1], H and W divisible by 8 → logits [N, 1, H, W]."""
        x = F.leaky_relu(self.head(images), 0.2)
        passed = []
        for conv in self.down:
            passed.append(x)
            x = F.leaky_relu(conv(x), 0.2)
        for conv in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(x), 0.2) + passed.pop()
        for conv in self.end:
            x = F.leaky_relu(conv(x), 0.2)
        logits: Tensor = self.last(x)
        return logits
