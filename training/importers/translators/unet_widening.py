"""A narrow U-Net as the wider one that public code makes, whose further channels are zero throughout.

Public code doubles the channels of the first three halvings whatever they are; ours may stop earlier
(`generator.channel_max`). A channel whose weights and biases are zero stays zero behind normalisations and
activations, and adds nothing to what reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Axis:
    """Channels in sections of a length, one behind the other, each of which is lengthened to `target`."""

    length: int
    target: int

    def lengthen(self, tensor: Tensor, axis: int, fill: float = 0.0) -> Tensor:
        shape = list(tensor.shape)
        shape[axis] = self.target - self.length
        more = tensor.new_full(shape, fill)
        parts = [part for section in tensor.split(self.length, axis) for part in (section, more)]
        return torch.cat(parts, axis)


def widened(tensors: dict[str, Tensor], widths: Sequence[int], wanted: Sequence[int]) -> dict[str, Tensor]:
    """Weights of a wider U-Net that computes the same.

    Args:
        tensors: In the public layout.
        widths: Channels that each level makes on its way down, outermost first.
        wanted: What these are to be, no less.

    Returns:
        The tensors, lengthened where they must be.
    """
    wide = dict(tensors)
    prefix, innermost = "model.model", len(widths) - 1
    for level, (width, target) in enumerate(zip(widths, wanted, strict=True)):
        outer = _Axis(widths[level - 1], wanted[level - 1]) if level else None
        inner = _Axis(width, target)
        down, up = (0 if level == 0 else 1), (5 if 0 < level < innermost else 3)
        _widen_convolution(wide, f"{prefix}.{down}", out=inner, into=outer, transposed=False)
        # It reads what was skipped over, and then what comes from below, each as wide as the level.
        _widen_convolution(wide, f"{prefix}.{up}", out=outer, into=inner, transposed=True)
        if 0 < level < innermost:
            _widen_norm(wide, f"{prefix}.{down + 1}", inner)
        if outer is not None:
            _widen_norm(wide, f"{prefix}.{up + 1}", outer)
        prefix = f"{prefix}.{1 if level == 0 else 3}.model"
    return wide


def _widen_convolution(
    wide: dict[str, Tensor], name: str, *, out: _Axis | None, into: _Axis | None, transposed: bool
) -> None:
    """Lengthens its axes; None leaves the channels of pictures alone."""
    if out is not None:
        wide[f"{name}.weight"] = out.lengthen(wide[f"{name}.weight"], 1 if transposed else 0)
        if f"{name}.bias" in wide:
            wide[f"{name}.bias"] = out.lengthen(wide[f"{name}.bias"], 0)
    if into is not None:
        wide[f"{name}.weight"] = into.lengthen(wide[f"{name}.weight"], 0 if transposed else 1)


def _widen_norm(wide: dict[str, Tensor], name: str, channels: _Axis) -> None:
    for part, fill in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        if f"{name}.{part}" in wide:
            wide[f"{name}.{part}"] = channels.lengthen(wide[f"{name}.{part}"], 0, fill)
