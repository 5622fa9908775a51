"""SRGAN as in leftthomas/SRGAN: biased convolutions before batch normalisation, colours by a tanh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.importers.base import (
    Recognised,
    StoredFile,
    Tensors,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.state_dicts import state_dict_of
from training.importers.upscalers.upscaler_weights import (
    PARTS,
    ResidualUpscaler,
    count_while,
    width,
)
from training.networks.srresnet import SRResNet

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_EPSILON = 1e-5


class LeftthomasSRGANFormat(WeightFormat):
    """Generators such as `netG_epoch_4_100.pth`."""

    name = "leftthomas-srgan"
    title = "SRGAN of leftthomas"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Finds the 9×9 convolution of `block1` and the residual blocks after it."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        part_name, tensors = found
        if not {"block1.0.weight", "block1.1.weight", "block2.conv1.weight"} <= tensors.keys():
            return None
        return _recognise(stored.path, tensors, part_name, self.name)

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """The bare state dict of the generator.

        Raises:
            UnsupportedWeightsError: If the network is a SRResNet that the original code has no words for: its
                colours pass a hyperbolic tangent, and its sizes are fixed.
        """
        if not isinstance(network, SRResNet):
            return None
        blocks, features = len(network.blocks), network.tail.in_channels
        if not network.squashed or blocks != 5 or features != 64 or network.scale == 3:
            raise UnsupportedWeightsError(
                "the original SRGAN has 5 blocks of 64 channels, batch normalisation, biased convolutions "
                "and colours by (tanh + 1)/2, for scales 2, 4 and 8; this network is another"
            )
        state = network.state_dict()
        names = tensor_names(blocks, len(network.up))
        return {theirs: state[ours].detach().clone() for ours, theirs in names.items()}


def tensor_names(blocks: int, ups: int) -> dict[str, str]:
    """What each tensor of our network is called in the file."""
    names = {}

    def take(ours: str, theirs: str, kinds: tuple[str, ...] = ("weight", "bias")) -> None:
        names.update({f"{ours}.{kind}": f"{theirs}.{kind}" for kind in kinds})

    slope = ("weight",)
    take("head.0", "block1.0")
    take("head.1", "block1.1", slope)
    for i in range(blocks):
        ours, theirs = f"blocks.{i}.body", f"block{i + 2}"
        take(f"{ours}.0", f"{theirs}.conv1")
        take(f"{ours}.1", f"{theirs}.bn1", _NORM)
        take(f"{ours}.2", f"{theirs}.prelu", slope)
        take(f"{ours}.3", f"{theirs}.conv2")
        take(f"{ours}.4", f"{theirs}.bn2", _NORM)
    take("end.0", f"block{blocks + 2}.0")
    take("end.1", f"block{blocks + 2}.1", _NORM)
    for i in range(ups):
        take(f"up.{i}.0.0", f"block{blocks + 3}.{i}.conv")
        take(f"up.{i}.1", f"block{blocks + 3}.{i}.prelu", slope)
    take("tail", f"block{blocks + 3}.{ups}")
    return names


def _recognise(path: Path, tensors: Tensors, part: str, name: str) -> Recognised:
    blocks = count_while(lambda i: f"block{i + 2}.conv1.weight" in tensors)
    ups = count_while(lambda i: f"block{blocks + 3}.{i}.conv.weight" in tensors)
    features, channels = width(tensors, "block1.0.weight", 0), width(tensors, "block1.0.weight", 1)
    if channels != 3 or ups not in (1, 2, 3):
        raise UnsupportedWeightsError(
            f"{path} (SRGAN of leftthomas) takes {channels} channels and enlarges {ups} times by 2; three "
            "colours and scales 2, 4 and 8 can be imported"
        )
    scale = 2**ups

    names = tensor_names(blocks, ups)
    # Files of PyTorch before 0.4.1 do not count batches, which nothing computed here depends on.
    counters = {n: torch.tensor(0) for n in names.values() if n.endswith("num_batches_tracked")}
    return ResidualUpscaler(
        f"SRGAN upscaler ×{scale}, {blocks} blocks",
        f"SRResNet, {blocks} blocks of {features}, batch normalisation, tanh",
        scale,
        features,
        blocks,
        lambda: SRResNet(scale, features, blocks, "batch", biased=True, squashed=True),
        names,
        lambda tensors, x: reference(tensors, blocks, ups, x),
    ).recognised(path, {**counters, **tensors}, part, name)


@torch.no_grad()
def reference(tensors: Tensors, blocks: int, ups: int, x: Tensor) -> Tensor:
    """Ledig et al. (2017), figure 4, with statistics of training; colours by (tanh + 1)/2.

    Args:
        tensors: Under their own names.
        blocks: Residual blocks.
        ups: Enlargements by 2.
        x: [N, 3, H, W] in [0, 1].

    Returns:
        [N, 3, 2^ups·H, 2^ups·W] in [0, 1].
    """

    def conv(x: Tensor, layer: str) -> Tensor:
        weight = tensors[f"{layer}.weight"]
        return F.conv2d(x, weight, tensors[f"{layer}.bias"], padding=weight.shape[2] // 2)

    def norm(x: Tensor, layer: str) -> Tensor:
        weight, bias, mean, var = (tensors[f"{layer}.{kind}"][:, None, None] for kind in _NORM[:4])
        return (x - mean) / (var + _EPSILON).sqrt() * weight + bias

    def prelu(x: Tensor, layer: str) -> Tensor:
        return x.clamp(min=0) + tensors[f"{layer}.weight"] * x.clamp(max=0)

    first = x = prelu(conv(x, "block1.0"), "block1.1")
    for i in range(2, blocks + 2):
        y = prelu(norm(conv(x, f"block{i}.conv1"), f"block{i}.bn1"), f"block{i}.prelu")
        x = x + norm(conv(y, f"block{i}.conv2"), f"block{i}.bn2")
    x = first + norm(conv(x, f"block{blocks + 2}.0"), f"block{blocks + 2}.1")
    for i in range(ups):
        x = conv(x, f"block{blocks + 3}.{i}.conv")
        n, c, h, w = x.shape
        x = x.reshape(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
        x = prelu(x, f"block{blocks + 3}.{i}.prelu")
    return (torch.tanh(conv(x, f"block{blocks + 3}.{ups}")) + 1) / 2
