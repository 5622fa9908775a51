"""Translators of grey pictures, as networks of three channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LUMA = (19595.0, 38470.0, 7471.0)
"""Weights of red, green and blue in 65536ths, ITU-R BT.601; as Pillow rounds to whole levels."""


def grey(x: Tensor) -> Tensor:
    """The luma of colours in [−1, 1], in whole levels of 255. [N, 3, H, W] → [N, 1, H, W]."""
    levels = (x * 127.5 + 127.5).round()
    # Sums of whole numbers below 2²⁴ are exact in FP32.
    weighted = (levels * torch.tensor(LUMA, dtype=x.dtype, device=x.device)[:, None, None]).sum(
        1, keepdim=True
    )
    return torch.floor((weighted + 32768) / 65536) / 127.5 - 1


class GreyTranslator(nn.Module):
    """Gives a translator the colours that it lacks; [N, 3, H, W] → [N, 3, H, W] in [−1, 1].

    Args:
        network: [N, 1 or 3, H, W] → [N, 1 or 3, H, W].
        grey_in: Whether it takes one channel, which the luma of the picture then is.
        grey_out: Whether it makes one channel, which then is red, green and blue.

    Attributes:
        size_multiple: What heights and widths must be multiples of.
        min_size: Least height and width.
    """

    def __init__(self, network: nn.Module, grey_in: bool, grey_out: bool) -> None:
        super().__init__()
        self.network = network
        self.grey_in = grey_in
        self.grey_out = grey_out
        self.size_multiple = network.size_multiple
        self.min_size = network.min_size

    def forward(self, x: Tensor) -> Tensor:
        """Translates images whose sides are multiples of `size_multiple`."""
        y: Tensor = self.network(grey(x) if self.grey_in else x)
        return torch.cat([y, y, y], dim=1) if self.grey_out else y
