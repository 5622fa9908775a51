"""Dropout that can stay on at test time and still give the same image the same pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASK_SIZE = 32


class Dropout(nn.Module):
    """Drops each unit with probability p while training; at test time none, or always the same ones.

    Args:
        channels: Channels of the input.
        p: Share of units that are dropped; the others are scaled by 1 / (1 − p).

    Attributes:
        at_test_time: Whether units are dropped in evaluation mode too: those of a mask that follows from the
            layer's width alone, one draw of the noise, repeated every 32 pixels.
    """

    mask: Tensor

    def __init__(self, channels: int, p: float = 0.5) -> None:
        super().__init__()
        self.channels = channels
        self.p = p
        self.at_test_time = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        if self.training or not self.at_test_time:
            return F.dropout(x, self.p, self.training)
        rows = torch.arange(x.shape[2], device=x.device) % MASK_SIZE
        columns = torch.arange(x.shape[3], device=x.device) % MASK_SIZE
        return x * self.mask.to(x)[:, rows][:, :, columns]

    def keep_at_test_time(self) -> None:
        """Drops units in evaluation mode too."""
        rng = torch.Generator().manual_seed(self.channels)
        kept = torch.rand(self.channels, MASK_SIZE, MASK_SIZE, generator=rng) >= self.p
        self.register_buffer("mask", kept / (1 - self.p), persistent=False)
        self.at_test_time = True
