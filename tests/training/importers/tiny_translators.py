"""State dicts of tiny translators in the public layouts, with random weights and statistics that matter."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from training.importers.base import StoredFile

Tensors = dict[str, Tensor]


def stored(content, name="latest_net_G.pth") -> StoredFile:
    return StoredFile(Path(name), "0" * 64, 1, "torch", content)


class _Maker:
    """Fills a state dict layer by layer."""

    def __init__(self, norm: str, legacy: bool, biased: bool = False) -> None:
        self.norm = norm
        self.biased = biased or norm.startswith("instance")
        self.legacy = legacy
        self.tensors: Tensors = {}
        self.rng = torch.Generator().manual_seed(1)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.rng)

    def conv(self, name: str, out: int, into: int, side: int, *, transposed=False, bias=None) -> None:
        shape = (into, out, side, side) if transposed else (out, into, side, side)
        self.tensors[f"{name}.weight"] = self.random(*shape) * (2 / (into * side * side)) ** 0.5
        if self.biased if bias is None else bias:
            self.tensors[f"{name}.bias"] = self.random(out) * 0.3

    def normalise(self, name: str, channels: int) -> None:
        if self.norm in ("batch", "instance-affine"):
            self.tensors[f"{name}.weight"] = 1 + 0.3 * self.random(channels)
            self.tensors[f"{name}.bias"] = 0.3 * self.random(channels)
        if self.norm == "batch" or self.legacy:
            self.tensors[f"{name}.running_mean"] = 0.3 * self.random(channels)
            self.tensors[f"{name}.running_var"] = self.random(channels).square() + 0.5
        if self.norm == "batch":
            self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)


def resnet(
    norm="instance",
    *,
    blocks=2,
    ngf=4,
    dropout=False,
    legacy=False,
    biased=False,
    down_filter=False,
    up_filter=False,
    channels=(3, 3),
) -> Tensors:
    """A ResNet of the public code; `biased` also before batch normalisation, as others have it."""
    m = _Maker(norm, legacy, biased)
    m.conv("model.1", ngf, channels[0], 7)
    m.normalise("model.2", ngf)
    at, width = 4, ngf
    for _ in range(2):
        m.conv(f"model.{at}", 2 * width, width, 3)
        m.normalise(f"model.{at + 1}", 2 * width)
        width *= 2
        if down_filter:
            row = torch.tensor([1.0, 2.0, 1.0]) / 4
            m.tensors[f"model.{at + 3}.filt"] = (row[:, None] * row).repeat(width, 1, 1, 1)
        at += 4 if down_filter else 3
    for _ in range(blocks):
        second = 6 if dropout else 5
        for place in (1, second):
            m.conv(f"model.{at}.conv_block.{place}", width, width, 3)
            m.normalise(f"model.{at}.conv_block.{place + 1}", width)
        at += 1
    for _ in range(2):
        if up_filter:
            row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            m.tensors[f"model.{at}.filt"] = (row[:, None] * row).repeat(width, 1, 1, 1)
            at += 1
        m.conv(f"model.{at}", width // 2, width, 3, transposed=not up_filter)
        m.normalise(f"model.{at + 1}", width // 2)
        width //= 2
        at += 3
    m.conv(f"model.{at + 1}", channels[1], width, 7, bias=True)
    return m.tensors


def unet(norm="batch", *, num_downs=5, ngf=2, legacy=False, channels=(3, 3)) -> Tensors:
    """A U-Net of the public code."""
    m = _Maker(norm, legacy)
    widths = [ngf * min(2**i, 8) for i in range(num_downs)]

    def level(prefix: str, depth: int) -> None:
        out = widths[depth]
        if depth == 0:
            m.conv(f"{prefix}.0", out, channels[0], 4)
            level(f"{prefix}.1.model", 1)
            m.conv(f"{prefix}.3", channels[1], 2 * out, 4, transposed=True, bias=True)
        elif depth == num_downs - 1:
            m.conv(f"{prefix}.1", out, widths[depth - 1], 4)
            m.conv(f"{prefix}.3", widths[depth - 1], out, 4, transposed=True)
            m.normalise(f"{prefix}.4", widths[depth - 1])
        else:
            m.conv(f"{prefix}.1", out, widths[depth - 1], 4)
            m.normalise(f"{prefix}.2", out)
            level(f"{prefix}.3.model", depth + 1)
            m.conv(f"{prefix}.5", widths[depth - 1], 2 * out, 4, transposed=True)
            m.normalise(f"{prefix}.6", widths[depth - 1])

    level("model.model", 0)
    return m.tensors
