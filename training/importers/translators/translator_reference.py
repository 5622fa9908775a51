"""What stored translators compute, straight from their tensors, by functions that our networks do not use.

Weights of a ResNet are `model.{place}…` in the order of computation; those of a U-Net are nested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-5


@dataclass(frozen=True)
class StoredTranslator:
    """A translator as its file has it.

    Attributes:
        tensors: Under their own names.
        norm: `batch`, `instance` or `none`, the first also by the statistics of each image.
        by_image: Whether batch normalisation takes the statistics of each image.
    """

    tensors: Mapping[str, Tensor]
    norm: str
    by_image: bool

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] → [N, 3, H, W] in [−1, 1]."""
        nested = "model.model.0.weight" in self.tensors
        first = self.tensors["model.model.0.weight" if nested else "model.1.weight"]
        if first.shape[1] == 1:
            red, green, blue = torch.round((x + 1) * 127.5).long().unbind(1)
            luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
            x = luma[:, None].float() / 255 * 2 - 1
        y = torch.tanh(self._level("model.model", x) if nested else self._resnet(x))
        return y.expand(-1, 3, -1, -1)

    def _resnet(self, x: Tensor) -> Tensor:
        places = sorted({int(m[1]) for name in self.tensors if (m := re.match(r"model\.(\d+)\.", name))})
        convolutions = [p for p in places if self._is_convolution(f"model.{p}")]
        in_blocks = [p for p in places if f"model.{p}.conv_block.1.weight" in self.tensors]
        for place in places:
            name = f"model.{place}"
            if place in in_blocks:
                second = 5 if f"{name}.conv_block.5.weight" in self.tensors else 6
                y = self._conv(f"{name}.conv_block.1", F.pad(x, (1, 1, 1, 1), "reflect"))
                y = F.relu(self._norm(f"{name}.conv_block.2", y))
                y = self._conv(f"{name}.conv_block.{second}", F.pad(y, (1, 1, 1, 1), "reflect"))
                x = x + self._norm(f"{name}.conv_block.{second + 1}", y)
            elif f"{name}.filt" in self.tensors:
                x = self._filtered(self.tensors[f"{name}.filt"], x)
            elif place in convolutions:
                if place in (convolutions[0], convolutions[-1]):
                    x = self._conv(name, F.pad(x, (3, 3, 3, 3), "reflect"))
                elif place < in_blocks[0]:
                    blurred_later = f"model.{place + 3}.filt" in self.tensors
                    x = self._conv(name, x, stride=1 if blurred_later else 2, padding=1)
                elif f"model.{place - 1}.filt" in self.tensors:
                    x = self._conv(name, x, padding=1)
                else:
                    weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
                    x = F.conv_transpose2d(x, weight, bias, 2, 1, 1)
                if place != convolutions[-1]:
                    x = F.relu(self._norm(f"model.{place + 1}", x))
        return x

    def _level(self, prefix: str, x: Tensor) -> Tensor:
        """One level of a U-Net and all below it."""
        outermost, innermost = prefix == "model.model", f"{prefix}.5.weight" not in self.tensors
        if outermost:
            inside = self._level(f"{prefix}.1.model", self._conv(f"{prefix}.0", x, stride=2, padding=1))
            return self._up(f"{prefix}.3", inside)
        y = self._conv(f"{prefix}.1", F.leaky_relu(x, 0.2), stride=2, padding=1)
        if innermost:
            y = self._norm(f"{prefix}.4", self._up(f"{prefix}.3", y))
        else:
            y = self._level(f"{prefix}.3.model", self._norm(f"{prefix}.2", y))
            y = self._norm(f"{prefix}.6", self._up(f"{prefix}.5", y))
        return torch.cat([x, y], dim=1)

    def _up(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
        return F.conv_transpose2d(F.relu(x), weight, bias, 2, 1)

    def _conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"), stride, padding)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        if self.norm == "none":
            return x
        if self.norm == "batch" and not self.by_image:
            mean, var = self.tensors[f"{name}.running_mean"], self.tensors[f"{name}.running_var"]
            mean, var = mean[:, None, None], var[:, None, None]
        else:
            var, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
        y = (x - mean) / (var + EPS).sqrt()
        if (scale := self.tensors.get(f"{name}.weight")) is not None:
            y = y * scale[:, None, None] + self.tensors[f"{name}.bias"][:, None, None]
        return y

    @staticmethod
    def _filtered(kernel: Tensor, x: Tensor) -> Tensor:
        channels = x.shape[1]
        if kernel.shape[2] == 3:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, stride=2, groups=channels)
        doubled = F.conv_transpose2d(
            F.pad(x, (1, 1, 1, 1), "replicate"), kernel, stride=2, padding=2, groups=channels
        )
        return doubled[:, :, 1:-1, 1:-1]

    def _is_convolution(self, name: str) -> bool:
        return f"{name}.weight" in self.tensors and self.tensors[f"{name}.weight"].ndim == 4
