"""The exponential moving average of a generator, which is the one that gets shipped."""

from __future__ import annotations

import torch
from torch import nn


def ema_decay(batch: int, images_shown: int, half_life_kimg: float, rampup: float | None) -> float:
    """The decay of one step.

    Args:
        batch: Images a step.
        images_shown: Real images shown so far.
        half_life_kimg: Thousands of images after which an old weight counts half.
        rampup: If set, the half-life is at most this share of `images_shown`, so that early weights fade.

    Returns:
        The weight of the average in `average = decay · average + (1 − decay) · current`.
    """
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images_shown * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update_ema(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Moves the averaged parameters a step towards the current ones; buffers are copied."""
    for a, c in zip(average.parameters(), current.parameters(), strict=True):
        a.copy_(c.lerp(a, decay))
    for mine, theirs in zip(average.buffers(), current.buffers(), strict=True):
        mine.copy_(theirs)
