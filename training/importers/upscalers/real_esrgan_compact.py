"""The compact networks of Real-ESRGAN: `realesr-general-x4v3`, `realesr-animevideov3`, and many by others."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.importers.base import (
    Imported,
    Recognised,
    StoredFile,
    Tensors,
    UnsupportedWeightsError,
    WeightFormat,
)
from training.importers.state_dicts import state_dict_of
from training.importers.upscalers.upscaler_weights import (
    PARTS,
    check_extent,
    check_shapes,
    count,
    outline,
    precision_notes,
    upscaler_card,
    widened,
    width,
    with_weights,
)
from training.networks.compact import LEAKY_SLOPE, Activation, CompactNet


class CompactFormat(WeightFormat):
    """Networks of plain convolutions at low resolution, with activations between them."""

    name = "real-esrgan-compact"
    title = "Real-ESRGAN's compact networks (SRVGG)"

    def recognise(self, stored: StoredFile, part: str | None) -> Recognised | None:
        """Finds convolutions at even places and, unless activations learn nothing, slopes at odd ones."""
        found = state_dict_of(stored, PARTS, part)
        if found is None or not _is_compact(found[1]):
            return None
        part_name, tensors = found
        return _recognise(stored.path, tensors, part_name, self.name)

    def publish(self, network: nn.Module) -> dict[str, Any] | None:
        """`{'params_ema': …}` as Real-ESRGAN's network loads it."""
        if not isinstance(network, CompactNet):
            return None
        return {"params_ema": {name: t.detach().clone() for name, t in network.state_dict().items()}}


def _is_compact(tensors: Tensors) -> bool:
    """Whether all is `body.<number>.<weight or bias>`, beginning with a convolution."""
    first = tensors.get("body.0.weight")
    names = [name.split(".") for name in tensors]
    # Numbers beyond what the tensors fill would be of a network that is not there.
    most = len(str(2 * len(names)))
    numbered = all(n[0] == "body" and len(n) == 3 and n[1].isdecimal() and len(n[1]) <= most for n in names)
    return first is not None and first.ndim == 4 and numbered


def _recognise(path: Path, tensors: Tensors, part: str, name: str) -> Recognised:
    last = max(int(key.split(".")[1]) for key in tensors)
    blocks = last // 2 - 1
    features, channels = width(tensors, "body.0.weight", 0), width(tensors, "body.0.weight", 1)
    made = width(tensors, f"body.{last}.weight", 0)
    scale = math.isqrt(made // 3)
    if channels != 3 or made != 3 * scale**2 or scale < 1 or blocks < 0 or last % 2:
        raise UnsupportedWeightsError(
            f"{path} (compact network) makes {made} channels of {channels}; one that makes 3·scale² of 3 can "
            "be imported"
        )
    learnt = "body.1.weight" in tensors

    def maker(activation: Activation) -> Callable[[], nn.Module]:
        return lambda: CompactNet(scale, features, blocks, activation)

    title = f"compact upscaler ×{scale}, {blocks} convolutions"
    check_extent(path, title, scale, features, blocks, max(features, 3 * scale**2))
    blank = outline(maker("prelu" if learnt else "relu"))
    names = {key: key for key in blank.state_dict()}
    check_shapes(path, title, tensors, blank, names)

    def build(activation: Activation) -> Imported:
        plain = widened(tensors)
        notes = precision_notes(tensors)
        if not learnt:
            notes.append(
                "the file does not say whether activations are ReLU or leaky ReLU: "
                f"{activation} was taken, --variant says otherwise"
            )
        return Imported(
            with_weights(maker(activation), tensors, names),
            lambda x: reference(plain, last, scale, activation, x),
            upscaler_card(
                scale,
                f"compact VGG-style, {blocks} convolutions of {features}",
                max(features, 3 * scale**2),
            ),
            notes,
        )

    return Recognised(
        name,
        title,
        "upscaler",
        "srgan",
        part,
        {
            "scale": scale,
            "features": features,
            "blocks": blocks,
            "activation": "prelu" if learnt else "relu or leakyrelu",
        },
        count(tensors),
        lambda: build("prelu" if learnt else "relu"),
        {} if learnt else {"relu": lambda: build("relu"), "leakyrelu": lambda: build("leakyrelu")},
    )


@torch.no_grad()
def reference(tensors: Tensors, last: int, scale: int, activation: Activation, x: Tensor) -> Tensor:
    """Convolutions, activations, pixels of channels, and the image itself by nearest neighbours.

    Args:
        tensors: Under their own names.
        last: Number of the last convolution.
        scale: Enlargement.
        activation: What stands between convolutions.
        x: [N, 3, H, W] in [0, 1].

    Returns:
        [N, 3, scale·H, scale·W].
    """
    image = x
    for i in range(0, last + 1, 2):
        x = F.conv2d(x, tensors[f"body.{i}.weight"], tensors[f"body.{i}.bias"], padding=1)
        if i < last:
            fixed = torch.tensor(0.0 if activation == "relu" else LEAKY_SLOPE)
            slope = tensors[f"body.{i + 1}.weight"][:, None, None] if activation == "prelu" else fixed
            x = x.clamp(min=0) + slope * x.clamp(max=0)
    n, _, h, w = x.shape
    cells = x.reshape(n, 3, scale, scale, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 3, scale * h, scale * w)
    return cells + image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
