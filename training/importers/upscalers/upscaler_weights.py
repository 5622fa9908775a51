"""What the formats of upscalers share: shapes that must agree, weights taken over, what a card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.importers.base import Imported, Recognised, Tensors, UnsupportedWeightsError

PARTS = ("params_ema", "params", "state_dict", "model", "G_ema", "g_ema", "G", "g")
"""Parts of a file that may hold an upscaler, the averaged one first."""

_PIECE_BYTES = 2**28
"""What one layer's output may take of an image that is computed in one piece: 256 MiB."""
_LARGEST = 1024
_SMALLEST = 64


MAX_SCALE = 16
MAX_NUMBERS = 2**14
"""Most that a layer may make of one pixel; the largest published networks make 2¹⁰."""
MAX_BLOCKS = 100
"""Layers that repeat; published networks have 32 at most."""


def check_extent(path: Path, title: str, scale: int, features: int, blocks: int, pixels: int) -> None:
    """Refuses networks that take far more memory than their files, or that no memory could hold.

    Args:
        path: The file, for messages.
        title: What it was found to be, for messages.
        scale: Enlargement, as it is computed.
        features: Channels at the size of the input.
        blocks: What repeats.
        pixels: Numbers that its largest layer makes of one input pixel.

    Raises:
        UnsupportedWeightsError: If it is such a one.
    """
    if features < 1 or not 1 <= scale <= MAX_SCALE or not 0 <= blocks <= MAX_BLOCKS or pixels > MAX_NUMBERS:
        raise UnsupportedWeightsError(
            f"{path} would be a {title}, {features:,} features wide; supported are up to ×{MAX_SCALE}, "
            f"{MAX_BLOCKS} blocks and {MAX_NUMBERS:,} numbers a pixel, more than published ones have"
        )


def count_while(present: Callable[[int], bool]) -> int:
    """The first number, from 0, that is not there."""
    n = 0
    while present(n):
        n += 1
    return n


def width(tensors: Tensors, name: str, axis: int) -> int:
    """Length of an axis of a convolution's weights, [out, in, k, k].

    Raises:
        UnsupportedWeightsError: If there is no such tensor, or of another shape.
    """
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim != 4 or not tensor.numel():
        raise UnsupportedWeightsError(f"{name!r} is missing, or not the weights of a convolution")
    return int(tensor.shape[axis])


def check_shapes(
    path: Path, title: str, tensors: Tensors, network: nn.Module, names: Mapping[str, str]
) -> None:
    """Compares what a file holds with what a network of ours takes.

    Args:
        path: The file, for messages.
        title: What it was found to be, for messages.
        tensors: Under their own names.
        network: Of any device, `meta` for instance.
        names: What each tensor of the network is called in the file.

    Raises:
        UnsupportedWeightsError: If a tensor is missing, left over or of another shape, or one that is not of
            floating point where the network's is.
    """
    for ours, tensor in network.state_dict().items():
        theirs = tensors.get(names[ours])
        if theirs is None:
            raise UnsupportedWeightsError(f"{path} is not quite a {title}: it lacks {names[ours]!r}")
        if theirs.shape != tensor.shape or theirs.is_floating_point() != tensor.is_floating_point():
            raise UnsupportedWeightsError(
                f"{path} is not quite a {title}: {names[ours]!r} is {list(theirs.shape)}, not "
                f"{list(tensor.shape)}"
            )
    left = sorted(tensors.keys() - {names[ours] for ours in network.state_dict()})
    if left:
        raise UnsupportedWeightsError(
            f"{path} is not quite a {title}: it also has {', '.join(map(repr, left[:3]))}"
            f"{', …' if len(left) > 3 else ''}, which is of a variant that cannot be imported"
        )


def outline(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without memory for its weights, to know names and shapes by."""
    with torch.device("meta"):
        return make()


def with_weights(make: Callable[[], nn.Module], tensors: Tensors, names: Mapping[str, str]) -> nn.Module:
    """A network of ours with the weights of a file, in FP32, in evaluation mode.

    Args:
        make: Makes it with any weights.
        tensors: Of the file, whose shapes have been compared.
        names: What each tensor of the network is called in the file.
    """
    network = make()
    weights = {
        ours: tensors[names[ours]].to(like.dtype, copy=True) for ours, like in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def widened(tensors: Tensors) -> dict[str, Tensor]:
    """Weights in FP32, which every reference forward pass computes in; what is no float as it is."""
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def precision_notes(tensors: Tensors) -> list[str]:
    """Says so if weights are stored in less than FP32."""
    stored = {str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()}
    less = sorted(stored - {"float32"})
    return [f"weights are stored as {', '.join(less)}, and computed as float32"] if less else []


def count(tensors: Tensors) -> int:
    """Numbers in weights, statistics included."""
    return sum(t.numel() for t in tensors.values() if t.is_floating_point())


def upscaler_card(scale: int, architecture: str, pixels: int) -> dict[str, Any]:
    """What an upscaler's card says.

    Args:
        scale: Enlargement.
        architecture: In words.
        pixels: Numbers that the largest layer makes of one input pixel, from which the largest side follows
            that is computed in one piece.
    """
    side = _SMALLEST
    while side < _LARGEST and 4 * pixels * (2 * side) ** 2 <= _PIECE_BYTES:
        side *= 2
    return {"scale": scale, "architecture": architecture, "max_size": side}


@dataclass(frozen=True)
class ResidualUpscaler:
    """A network of residual blocks at the size of the input, then sub-pixel convolutions, as a file has it.

    Attributes:
        title: What it is, for people.
        architecture: What its card says it is.
        scale: Enlargement.
        features: Channels at the size of the input.
        blocks: Residual blocks.
        make: Makes ours with any weights.
        names: What each tensor of ours is called in the file; None if it has the same names.
        reference: The reference forward pass, given the file's weights in FP32 and images [N, 3, H, W] in
            [0, 1].
    """

    title: str
    architecture: str
    scale: int
    features: int
    blocks: int
    make: Callable[[], nn.Module]
    names: Mapping[str, str] | None
    reference: Callable[[Tensors, Tensor], Tensor]

    def recognised(self, path: Path, tensors: Tensors, part: str, name: str) -> Recognised:
        """What the format has found, once the shapes of all tensors agree.

        Args:
            path: The file, for messages.
            tensors: Under their own names.
            part: Of the file.
            name: Of the format.

        Raises:
            UnsupportedWeightsError: If the network is too large, or the tensors are not quite those of it.
        """
        pixels = self.features * self.scale**2
        check_extent(path, self.title, self.scale, self.features, self.blocks, pixels)
        blank = outline(self.make)
        names = {key: key for key in blank.state_dict()} if self.names is None else self.names
        check_shapes(path, self.title, tensors, blank, names)

        def build() -> Imported:
            plain = widened(tensors)
            return Imported(
                with_weights(self.make, tensors, names),
                lambda x: self.reference(plain, x),
                upscaler_card(self.scale, self.architecture, pixels),
                precision_notes(tensors),
            )

        hyperparameters = {"scale": self.scale, "features": self.features, "blocks": self.blocks}
        return Recognised(name, self.title, "upscaler", "srgan", part, hyperparameters, count(tensors), build)
