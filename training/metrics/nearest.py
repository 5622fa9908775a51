"""Which features lie nearest, in blocks that fit in memory."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 1024


def kth_nearest_radius(x: Tensor, k: int) -> Tensor:
    """Distance of each row to the k-th nearest of the other rows.

    Args:
        x: Features [n, d], n > k.
        k: From 1.

    Returns:
        [n].
    """
    radii = []
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        distances = torch.cdist(block, x)
        # A row is nearest to itself; rounding must not put a twin before it.
        distances[torch.arange(len(block)), torch.arange(start, start + len(block))] = -1
        radii.append(distances.kthvalue(k + 1, dim=1).values)
    return torch.cat(radii)


def nearest(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest row for each row.

    Args:
        x: Features [n, d].
        among: Where to look, [m, d].

    Returns:
        Distances [n], and indices into `among` [n].
    """
    distances, indices = [], []
    for block in x.split(BLOCK):
        found = torch.cdist(block, among).min(dim=1)
        distances.append(found.values)
        indices.append(found.indices)
    return torch.cat(distances), torch.cat(indices)


def share_inside(x: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of rows that lie in at least one of many balls.

    Args:
        x: Features [n, d].
        centres: [m, d].
        radii: [m].
    """
    inside = sum(int((torch.cdist(b, centres) <= radii).any(dim=1).sum()) for b in x.split(BLOCK))
    return inside / len(x)
