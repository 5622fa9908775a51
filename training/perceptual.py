"""Perceptual loss: images are compared by what a network trained on ImageNet sees in them.

Sources: Johnson et al. (ECCV 2016); Ledig et al. (CVPR 2017), section 2.2.1, and Wang et al., "ESRGAN" (ECCV
Workshops 2018), section 3.3 (VGG-19); Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric" (CVPR 2018), equation 1 (normalised features of several depths).

The weights of VGG-19 ship in no package registry. Where the user has the file, it is used; otherwise
EfficientNet-Lite0 stands in, and the run and the model card say so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from training.config import Section
from training.errors import GantrainError
from training.networks.efficientnet_lite import pretrained_efficientnet_lite0
from training.networks.vgg import VGG19Features, VGGLayer

VGG19_VARIABLE = "GANTRAIN_VGG19"
"""Environment variable that may name the file of VGG-19's weights."""


class PerceptualError(GantrainError):
    """The features asked for cannot be had."""


class PerceptualConfig(Section):
    """Which features images are compared by."""

    features: Literal["auto", "vgg19", "efficientnet-lite0"] = Field(
        "auto",
        description="`auto` takes VGG-19 where its weights are found, and otherwise EfficientNet-Lite0.",
    )
    vgg19: str | None = Field(
        None,
        description=f"File of VGG-19's weights, as torchvision's; else ${VGG19_VARIABLE}, else its cache.",
    )
    layer: VGGLayer = Field(
        "conv5_4", description="Convolution of VGG-19 whose output, before ReLU, is compared."
    )


class VGGDistance(nn.Module):
    """Mean absolute difference of VGG-19's features before activation (ESRGAN, section 3.3).

    Args:
        weights: torchvision's state dict of `vgg19`; tensors of its classifier are passed over.
        layer: Which convolution.

    Raises:
        PerceptualError: If a tensor is missing or has another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor], layer: VGGLayer) -> None:
        super().__init__()
        self.name = f"VGG-19 (ImageNet), {layer} before activation, L1"
        self.net = VGG19Features(layer)
        mine = self.net.state_dict()
        wrong = [k for k, v in mine.items() if k not in weights or weights[k].shape != v.shape]
        if wrong:
            raise PerceptualError(
                f"these are not VGG-19's weights: {wrong[0]} is missing or has another shape"
            )
        self.net.load_state_dict({k: weights[k] for k in mine})
        self.eval().requires_grad_(False)

    def maps(self, images: Tensor) -> list[Tensor]:
        """What is compared of images: [N, 3, H, W] in [0, 1] → one map."""
        return [self.net(images)]

    def between(self, maps: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        """The distance of images whose `maps` are given, [N]."""
        return (maps[0] - wanted[0]).abs().mean(dim=(1, 2, 3))

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Two batches [N, 3, H, W] in [0, 1] → [N]."""
        with torch.no_grad():
            wanted = self.maps(targets)
        return self.between(self.maps(images), wanted)


class EfficientNetDistance(nn.Module):
    """Squared differences of EfficientNet-Lite0's features at four depths, each scaled to unit length.

    As in Zhang et al. (2018), equation 1, with equal weights: at each place of a map the vector over the
    channels is scaled to unit length, so that maps of all depths count alike.
    """

    name = "EfficientNet-Lite0 (ImageNet), stages 1 to 4, unit length, squared differences"
    STAGES = 4  # deeper maps, 1/16 and 1/32 of the image, say little of a small crop

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.net = pretrained_efficientnet_lite0(device)

    def maps(self, images: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in [0, 1] → maps of unit vectors, from H/2 to H/16."""
        x = self.net.stem((images * 255 - 127) / 128)
        maps = []
        for stage in self.net.stages[: self.STAGES]:
            x = stage(x)
            maps.append(F.normalize(x.float(), dim=1, eps=1e-6))
        return maps

    def between(self, maps: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        """The distance of images whose `maps` are given, [N]."""
        pairs = zip(maps, wanted, strict=True)
        per_map = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]
        return torch.stack(per_map).mean(dim=0)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Two batches [N, 3, H, W] in [0, 1] → [N]."""
        with torch.no_grad():
            wanted = self.maps(targets)
        return self.between(self.maps(images), wanted)


PerceptualDistance = VGGDistance | EfficientNetDistance
"""From two batches [N, 3, H, W] in [0, 1] to the distance of each pair, [N]; gradients reach the first."""


def perceptual_distance(config: PerceptualConfig, device: torch.device) -> PerceptualDistance:
    """The distance that a configuration asks for.

    Raises:
        PerceptualError: If VGG-19 is asked for, or its file named, and the weights cannot be used.
    """
    file = None if config.features == "efficientnet-lite0" else _vgg19_file(config)
    if file is not None:
        distance = VGGDistance(_read(file), config.layer)
        return distance.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    if config.features == "vgg19":
        raise PerceptualError(
            f"no weights of VGG-19: name torchvision's file with perceptual.vgg19 or ${VGG19_VARIABLE}, "
            "or set perceptual.features=efficientnet-lite0"
        )
    return EfficientNetDistance(device)


def _vgg19_file(config: PerceptualConfig) -> Path | None:
    """The file of VGG-19's weights: the one that is named, or the one torchvision has downloaded before."""
    named = {"perceptual.vgg19": config.vgg19, f"${VGG19_VARIABLE}": os.environ.get(VGG19_VARIABLE)}
    for source, name in named.items():
        if name:
            if not Path(name).is_file():
                raise PerceptualError(f"{source} names {name}, and there is no such file")
            return Path(name)
    cached = sorted(Path(torch.hub.get_dir(), "checkpoints").glob("vgg19-*.pth"))
    return cached[0] if cached else None


def _read(file: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for a broken file
        raise PerceptualError(f"{file} cannot be read as weights: {error}") from error
    if not isinstance(weights, dict):
        raise PerceptualError(f"{file} holds no state dict")
    return weights
