"""What distribution metrics compare: features of a network trained on ImageNet.

The Inception network of published FID and KID figures ships in no package registry. Where the user has its
weights, figures are made with it; otherwise with EfficientNet-Lite0. Every result names the network: figures
of different networks cannot be compared, and those of EfficientNet-Lite0 rank models of one dataset.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import GantrainError
from training.networks.efficientnet_lite import pretrained_efficientnet_lite0
from training.networks.inception import FEATURES as INCEPTION_FEATURES
from training.networks.inception import IMAGE_SIZE as INCEPTION_SIZE
from training.networks.inception import InceptionV3

INCEPTION_VARIABLE = "GANTRAIN_INCEPTION"
PUBLISHED_INCEPTION = "6726825d"
"""How the SHA-256 of the converted weights begins, and the name of every copy of that file ends."""


class FeatureError(GantrainError):
    """The weights of a feature network cannot be used."""


class FeatureNetwork(nn.Module):
    """UINT8 images [N, 3, H, W] of any size → features [N, dim].

    Attributes:
        name: What results call it.
        dim: Length of a feature vector.
        input_size: Side that images are resized to.
    """

    name: str
    dim: int
    input_size: int


class EfficientNetLite0Features(FeatureNetwork):
    """The output of the last block of EfficientNet-Lite0, averaged over the image."""

    name = "EfficientNet-Lite0 (ImageNet), last block, average-pooled, 320-d"
    dim = 320
    input_size = 224

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.net = pretrained_efficientnet_lite0(device)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """UINT8 images [N, 3, H, W] of any size → features [N, 320]."""
        size = (self.input_size, self.input_size)
        x = F.interpolate(images.float(), size, mode="bilinear", align_corners=False, antialias=True)
        x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.net(x)[-1].mean(dim=(2, 3))
        return features


class InceptionFeatures(FeatureNetwork):
    """The pooled features of the Inception network of published FID figures.

    Args:
        path: Its weights as a PyTorch state dict, `…inception-2015-12-05-6726825d.pth`.
        device: Where it is to compute.

    Raises:
        FeatureError: If the file is missing, or no such state dict.
    """

    dim = INCEPTION_FEATURES
    input_size = INCEPTION_SIZE

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self.net = InceptionV3()
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            wanted = self.net.state_dict()
            # Classifiers are not needed, and counters of batches not there in converted weights.
            self.net.load_state_dict({k: v for k, v in weights.items() if k in wanted}, strict=False)
            missing = [k for k in wanted if k not in weights and not k.endswith("num_batches_tracked")]
        except Exception as error:  # torch.load raises many types for a broken file
            raise FeatureError(f"{path} cannot be used as Inception weights: {_explain(error)}") from error
        if missing:
            raise FeatureError(f"{path} is no state dict of Inception v3: it lacks {missing[0]}")
        if "fc.weight" in weights and len(weights["fc.weight"]) != 1008:
            raise FeatureError(
                f"{path} knows {len(weights['fc.weight'])} classes: it is not the network of published FID "
                "figures, which knows 1008"
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        origin = "2015-12-05" if digest == PUBLISHED_INCEPTION else f"weights of SHA-256 {digest}…"
        self.name = f"Inception v3 ({origin}), average-pooled, {self.dim}-d"
        self.net.to(device)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """UINT8 images [N, 3, H, W] of any size → features [N, 2048]."""
        features: Tensor = self.net(images.float())
        return features


def feature_network(device: torch.device, inception: Path | None = None) -> FeatureNetwork:
    """The best network at hand; one for all who ask.

    Args:
        device: Where it is to compute.
        inception: Weights of the Inception network; None looks into the environment variable
            `GANTRAIN_INCEPTION`, and takes EfficientNet-Lite0 if that is not set.

    Raises:
        FeatureError: If there are weights, but they cannot be used.
    """
    named = os.environ.get(INCEPTION_VARIABLE)
    if inception is None and named:
        inception = Path(named)
    return _load(device, inception)


@lru_cache(maxsize=4)
def _load(device: torch.device, inception: Path | None) -> FeatureNetwork:
    if inception is None:
        return EfficientNetLite0Features(device)
    if not inception.is_file():
        raise FeatureError(f"no Inception weights at {inception} (see {INCEPTION_VARIABLE})")
    return InceptionFeatures(inception, device)


def _explain(error: Exception) -> str:
    if "TorchScript" in str(error):
        return (
            "it is a TorchScript archive, which is a program; what is read is a state dict, such as "
            f"pt_inception-2015-12-05-{PUBLISHED_INCEPTION}.pth"
        )
    return str(error).splitlines()[0]


def extract(
    network: FeatureNetwork,
    batches: Iterable[Tensor],
    device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Features of many images.

    Args:
        network: What computes them.
        batches: UINT8 images, [n, 3, H, W] each.
        device: Where the network computes.
        progress: Told how many images each batch held.

    Returns:
        [total, dim] in FP64 on the CPU, as sums of many products follow.
    """
    features = []
    for batch in batches:
        features.append(network(batch.to(device)).cpu().double())
        progress(len(batch))
    return torch.cat(features)
