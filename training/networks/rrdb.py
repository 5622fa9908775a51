"""The generator of ESRGAN: residual-in-residual dense blocks.

Source: Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (ECCV Workshops
2018), section 3.1 and figure 4; unshuffled input: Wang et al., "Real-ESRGAN" (ICCV Workshops 2021), section
3.3. Names of layers are those of published weights.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RESIDUAL_SCALE = 0.2
"""β of the paper: what a branch is multiplied by before it is added."""
INIT_GAIN = 0.1
"""Smaller initial weights, which train deep residual networks more easily (section 3.1)."""

STEPS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""How each enlargement is done, step by step."""


class RRDBNet(nn.Module):
    """Enlarges images by dense residual blocks at low resolution, nearest neighbours and convolutions.

    Args:
        scale: Enlargement. After the trunk `scale · unshuffle` must be 1, 2, 3, 4 or 8; 4 and 8 are done in
            steps of 2.
        features: Channels between blocks.
        blocks: Residual-in-residual blocks.
        growth: Channels that each convolution of a dense block adds.
        unshuffle: Side of the blocks of pixels that become channels first, so that work is done at a lower
            resolution; Real-ESRGAN's network for scale 2 has 2, and that for scale 1 has 4.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    def __init__(
        self, scale: int = 4, features: int = 64, blocks: int = 23, growth: int = 32, unshuffle: int = 1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.size_multiple = unshuffle
        self.unshuffle = nn.PixelUnshuffle(unshuffle) if unshuffle > 1 else nn.Identity()
        # Enlargements after the trunk.
        self.steps = STEPS[scale * unshuffle]
        self.conv_first = nn.Conv2d(3 * unshuffle**2, features, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        for i in range(len(self.steps)):
            self.add_module(f"conv_up{i + 1}", nn.Conv2d(features, features, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        x = self.conv_first(self.unshuffle(images))  # [N, features, H, W]
        x = x + self.conv_body(self.body(x))
        for i, factor in enumerate(self.steps):
            x = F.interpolate(x, scale_factor=float(factor), mode="nearest")
            x = F.leaky_relu(self.get_submodule(f"conv_up{i + 1}")(x), 0.2)
        result: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        return result


class RRDB(nn.Module):
    """Three dense blocks in a residual branch."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)
        self.scaled: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, features, H, W] → the same shape."""
        y = self.rdb3(self.rdb2(self.rdb1(x)))
        result: Tensor = x + (RESIDUAL_SCALE * y if self.scaled is None else self.scaled(y))
        return result


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what came in and all that went before, in a residual branch."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.features = features
        self.residual_scale = RESIDUAL_SCALE
        for i in range(5):
            out = growth if i < 4 else features
            conv = nn.Conv2d(features + i * growth, out, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight)
            with torch.no_grad():
                conv.weight.mul_(INIT_GAIN)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            self.add_module(f"conv{i + 1}", conv)

    def forward(self, x: Tensor) -> Tensor:
        """[N, features, H, W] → the same shape."""
        seen = x
        for i in range(4):
            seen = torch.cat([seen, F.leaky_relu(self.get_submodule(f"conv{i + 1}")(seen), 0.2)], dim=1)
        branch = self.get_submodule("conv5")(seen)
        result: Tensor = x + (branch if self.residual_scale == 1 else self.residual_scale * branch)
        return result


class FoldedRRDBNet(nn.Module):
    """A trained `RRDBNet` whose factors β are part of weights and biases.

    It computes the same up to rounding. ONNX Runtime keeps images in blocks of channels from one convolution
    to the next and through sums, but not through a multiplication, before and after which it would copy them.

    Args:
        network: In evaluation mode.

    Attributes:
        scale: Enlargement.
        size_multiple: What height and width must be divisible by.
    """

    def __init__(self, network: RRDBNet) -> None:
        super().__init__()
        self.scale = network.scale
        self.size_multiple = network.size_multiple
        self.network = copy.deepcopy(network)
        for module in list(self.network.modules()):
            if isinstance(module, DenseBlock):
                with torch.no_grad():
                    for parameter in module.get_submodule("conv5").parameters():
                        parameter.mul_(RESIDUAL_SCALE)
                module.residual_scale = 1.0
            elif isinstance(module, RRDB):
                features = module.rdb1.features
                scaled = nn.Conv2d(features, features, 1, groups=features, bias=False)
                nn.init.constant_(scaled.weight, RESIDUAL_SCALE)
                module.scaled = scaled.to(next(network.parameters()))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] → [N, 3, scale·H, scale·W], about in [0, 1]: not clamped."""
        result: Tensor = self.network(images)
        return result
