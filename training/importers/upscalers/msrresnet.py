"""BasicSR's MSRResNet: residual blocks without normalisation, beside bilinear interpolation."""

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
from training.networks.msrresnet import MSRResNet


class MSRResNetFormat(WeightFormat):
    """Networks such as `MSRResNet_x4_f64b16_DIV2K_1000k_B16G1_wandb.pth`."""

    name = "msrresnet"
    title = "BasicSR's MSRResNet"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Finds residual blocks of two convolutions, and sub-pixel convolutions."""
        found = state_dict_of(stored, PARTS, part)
        if found is None:
            return None
        part_name, tensors = found
        if (
            not {"conv_first.weight", "body.0.conv1.weight", "upconv1.weight", "conv_hr.weight"}
            <= tensors.keys()
        ):
            return None
        return _recognise(stored.path, tensors, part_name, self.name)

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """`{'params': …}` as BasicSR loads it."""
        if not isinstance(network, MSRResNet):
            return None
        return {"params": {name: t.detach().clone() for name, t in network.state_dict().items()}}


def _recognise(path: Path, tensors: Tensors, part: str, name: str) -> Recognised:
    blocks = count_while(lambda i: f"body.{i}.conv1.weight" in tensors)
    features = width(tensors, "conv_first.weight", 0)
    channels = width(tensors, "conv_first.weight", 1)
    widening = width(tensors, "upconv1.weight", 0)
    if channels != 3:
        raise UnsupportedWeightsError(
            f"{path} (MSRResNet) takes {channels} channels; three colours can be imported"
        )
    scale = 4 if "upconv2.weight" in tensors else {4: 2, 9: 3}.get(widening // max(features, 1))
    if scale is None:
        raise UnsupportedWeightsError(
            f"{path} (MSRResNet) enlarges neither by 2, 3 nor 4: {features} channels become {widening}"
        )

    return ResidualUpscaler(
        f"MSRResNet upscaler ×{scale}, {blocks} blocks",
        f"SRResNet without normalisation (MSRResNet), {blocks} blocks of {features}",
        scale,
        features,
        blocks,
        lambda: MSRResNet(scale, features, blocks),
        None,
        lambda tensors, x: reference(tensors, blocks, scale, x),
    ).recognised(path, tensors, part, name)


@torch.no_grad()
def reference(tensors: Tensors, blocks: int, scale: int, x: Tensor) -> Tensor:
    """Residual blocks at low resolution, then sub-pixel convolutions, beside the bilinear image.

    Args:
        tensors: Under their own names.
        blocks: Residual blocks.
        scale: Enlargement.
        x: [N, 3, H, W] in [0, 1].

    Returns:
        [N, 3, scale·H, scale·W].
    """

    def conv(x: Tensor, layer: str) -> Tensor:
        return F.conv2d(x, tensors[f"{layer}.weight"], tensors[f"{layer}.bias"], padding=1)

    def leaky(x: Tensor) -> Tensor:
        return torch.maximum(x, 0.1 * x)

    bilinear = F.interpolate(x, (scale * x.shape[2], scale * x.shape[3]), mode="bilinear")
    x = leaky(conv(x, "conv_first"))
    for i in range(blocks):
        x = x + conv(conv(x, f"body.{i}.conv1").clamp(min=0), f"body.{i}.conv2")
    for u, r in enumerate((2, 2) if scale == 4 else (scale,)):
        x = conv(x, f"upconv{u + 1}")
        n, c, h, w = x.shape
        x = x.reshape(n, c // r**2, r, r, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, r * h, r * w)
        x = leaky(x)
    return conv(leaky(conv(x, "conv_hr")), "conv_last") + bilinear
