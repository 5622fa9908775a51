"""How different two images look: the distance between their deep features.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018),
equation 1, over the stages of EfficientNet-Lite0 and without learned weights of channels (w = 1). Its figures
are not those of the LPIPS package, which computes with other networks and weights learned from judgements.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from training.networks.efficientnet_lite import pretrained_efficientnet_lite0

NAME = "EfficientNet-Lite0 feature distance (LPIPS equation 1, five stages, unweighted, native size)"
STAGES = (0, 1, 2, 4, 6)
"""The last stage at each resolution, from H/2 to H/32."""


class FeatureDistance(nn.Module):
    """d(a, b) = mean over stages and places of |â − b̂|², with channels scaled to unit length at every place.

    Gradients reach the images. It is 0 for equal images and at most 4.
    """

    name = NAME

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.net = pretrained_efficientnet_lite0(device)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of pairs of images.

        Args:
            a: Pixels 0…255, [N, 3, H, W], UINT8 or float.
            b: The same shape.

        Returns:
            [N].
        """
        n = len(a)
        maps = self.net(torch.cat([a, b]).float().contiguous(memory_format=torch.channels_last))
        distances = []
        for stage in STAGES:
            unit = maps[stage] / (maps[stage].square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
            distances.append((unit[:n] - unit[n:]).square().sum(dim=1).mean(dim=(1, 2)))  # [N]
        return torch.stack(distances).mean(dim=0)


@lru_cache(maxsize=4)
def feature_distance(device: torch.device) -> FeatureDistance:
    """The distance on a device; one for all who ask."""
    return FeatureDistance(device)
