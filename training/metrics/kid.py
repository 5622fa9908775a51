"""Kernel Inception Distance (Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4)."""

from __future__ import annotations

import torch
from pydantic import BaseModel
from torch import Tensor


class KID(BaseModel):
    """A KID estimate.

    Attributes:
        mean: Mean over the subsets; 0 for equal distributions, and about 0 ± `std` in practice.
        std: Standard deviation over the subsets.
    """

    mean: float
    std: float


def polynomial_mmd2(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy under k(a, b) = (aᵀb / d + 1)³.

    Args:
        x: Features [n, d], n ≥ 2.
        y: Features [m, d], m ≥ 2.

    Returns:
        A scalar, which may be slightly negative.
    """
    n, m, d = len(x), len(y), x.shape[1]
    k_xx = (x @ x.t() / d + 1) ** 3
    k_yy = (y @ y.t() / d + 1) ** 3
    k_xy = (x @ y.t() / d + 1) ** 3
    # Without the diagonals, in which an image meets itself, the estimate has no bias.
    xx = (k_xx.sum() - k_xx.diagonal().sum()) / (n * (n - 1))
    yy = (k_yy.sum() - k_yy.diagonal().sum()) / (m * (m - 1))
    return xx + yy - 2 * k_xy.mean()


def subset_size_for(n: int, m: int) -> int:
    """Images of each set in a subset: 1000 as usual, or half of a small set, so that subsets differ."""
    return min(1000, max(2, min(n, m) // 2))


def kid(x: Tensor, y: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> KID:
    """Averages the squared discrepancy over random subsets.

    Args:
        x: Features of one set [n, d].
        y: Features of the other [m, d].
        subsets: How many subsets are drawn.
        subset_size: Images of each set in a subset; the smaller set bounds it.
        seed: Seed of the draws.

    Returns:
        Mean and standard deviation over the subsets.

    Raises:
        ValueError: If a set has fewer than two images.
    """
    size = min(subset_size, len(x), len(y))
    if size < 2:
        raise ValueError(f"KID needs at least two images of each set; got {len(x)} and {len(y)}")
    rng = torch.Generator().manual_seed(seed)
    values = torch.stack(
        [
            polynomial_mmd2(
                x[torch.randperm(len(x), generator=rng)[:size]],
                y[torch.randperm(len(y), generator=rng)[:size]],
            )
            for _ in range(subsets)
        ]
    )
    return KID(mean=values.mean().item(), std=values.std().item())
