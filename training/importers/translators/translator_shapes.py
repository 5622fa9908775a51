"""Hyper-parameters of a stored translator, from its names and shapes."""

from __future__ import annotations

import re
from typing import Any

from training.importers.base import Tensors, UnsupportedWeightsError
from training.networks.norms import NormName

DROPOUT = 0.5
"""The share that the public code always drops."""

_CHANNELS = (1, 3)
_MAX_DOWNS = 6
_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")
MIN_LEVELS = 5
"""Fewest halvings of a U-Net in the public layout."""


def with_public_names(tensors: Tensors) -> Tensors:
    """Names as the public code has them, also of a ResNet whose residual blocks are `block`s."""
    return {re.sub(r"^(model\.\d+)\.block\.", r"\1.conv_block.", name): t for name, t in tensors.items()}


def is_resnet(tensors: Tensors) -> bool:
    """Whether it is a ResNet of residual `conv_block`s behind a 7 × 7 convolution."""
    return _kernel(tensors, "model.1.weight") == 7 and any(_BLOCK.match(name) for name in tensors)


def is_unet(tensors: Tensors) -> bool:
    """Whether it is a nested U-Net."""
    return _kernel(tensors, "model.model.0.weight") == 4 and "model.model.1.model.1.weight" in tensors


def resnet_options(tensors: Tensors) -> dict[str, Any]:
    """What `ResNet` is to be made with.

    Raises:
        UnsupportedWeightsError: If there is no such ResNet.
    """
    blocks = sorted({int(m[1]) for name in tensors if (m := _BLOCK.match(name))})
    places = sorted({int(m[1]) for name in tensors if (m := re.match(r"model\.(\d+)\.", name))})
    if blocks != list(range(blocks[0], blocks[0] + len(blocks))):
        raise UnsupportedWeightsError("the residual blocks are not next to each other: a variant of ResNet")
    last = tensors.get(f"model.{places[-1]}.weight")
    if last is None or last.ndim != 4:
        raise UnsupportedWeightsError("the last layer is no convolution: cut short, or a variant of ResNet")
    before = [p for p in places if p < blocks[0] and _kernel(tensors, f"model.{p}.weight")]
    if not 0 <= len(before) - 1 <= _MAX_DOWNS:
        raise UnsupportedWeightsError(
            f"{len(before)} convolutions before the residual blocks: a variant of ResNet"
        )
    filters = [p for p in places if f"model.{p}.filt" in tensors]
    second = f"model.{blocks[0]}.conv_block.6.weight"
    return {
        "blocks": len(blocks),
        "channels": len(tensors["model.1.weight"]),
        "downs": len(before) - 1,
        "norm": _norm(tensors, "model.1", "model.2"),
        "dropout": DROPOUT if _kernel(tensors, second) else 0.0,
        "in_channels": tensors["model.1.weight"].shape[1],
        "out_channels": len(last),
        "antialias_down": any(p < blocks[0] for p in filters),
        "antialias_up": any(p > blocks[-1] for p in filters),
    }


def unet_options(tensors: Tensors) -> dict[str, Any]:
    """What `UNet` is to be made with; the file does not tell whether units were dropped in training.

    Raises:
        UnsupportedWeightsError: If there is no such U-Net.
    """
    levels, prefix = 2, "model.model.1.model"
    while f"{prefix}.3.model.1.weight" in tensors:
        levels, prefix = levels + 1, f"{prefix}.3.model"
    if levels < MIN_LEVELS:
        raise UnsupportedWeightsError(
            f"a U-Net of {levels} levels; the public layout has {MIN_LEVELS} or more"
        )
    first, last = tensors["model.model.0.weight"], tensors.get("model.model.3.weight")
    if last is None or last.ndim != 4:
        raise UnsupportedWeightsError(
            "model.model.3.weight is missing: the file is cut short, or of a variant"
        )
    return {
        "num_downs": levels,
        "channels": len(first),
        "norm": _norm(tensors, "model.model.1.model.1", "model.model.1.model.2"),
        "dropout": 0.0,
        "in_channels": first.shape[1],
        "out_channels": last.shape[1],
    }


def check_channels(options: dict[str, Any]) -> None:
    """Raises `UnsupportedWeightsError` unless pictures go in and come out, in colours or grey."""
    if options["channels"] < 1:
        raise UnsupportedWeightsError("the first layer makes no channels: the file is damaged")
    for key, most in (("channels", 1_024), ("blocks", 100), ("num_downs", 10)):
        if options.get(key, 0) > most:
            raise UnsupportedWeightsError(
                f"the network has {key}: {options[key]:,}; supported are {most:,}, which is more than any "
                "published one has"
            )
    for key, verb in (("in_channels", "takes"), ("out_channels", "makes")):
        if options[key] not in _CHANNELS:
            raise UnsupportedWeightsError(
                f"the network {verb} {options[key]} channels (maps of labels, Lab colours, several images?); "
                "only translators of RGB pictures, 3 channels, and grey ones, 1 channel, are served"
            )


def _norm(tensors: Tensors, convolution: str, norm: str) -> NormName:
    """The normalisation after a convolution, which has a bias where instances are normalised."""
    averages = f"{norm}.running_mean" in tensors
    if f"{norm}.weight" in tensors:
        return "batch" if averages else "instance-affine"
    return "instance" if averages or f"{convolution}.bias" in tensors else "none"


def _kernel(tensors: Tensors, name: str) -> int:
    """Side of a convolution's kernel; 0 if there is no such convolution."""
    return tensors[name].shape[2] if name in tensors and tensors[name].ndim == 4 else 0
