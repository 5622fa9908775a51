"""Which images come next: an endless shuffle that can be entered at any step."""

from __future__ import annotations

import torch
from torch import Tensor

from training.errors import GantrainError


class SamplerError(GantrainError):
    """The dataset has too few images for a batch."""


class EpochSampler:
    """Every image once an epoch, in an order that depends on seed and epoch alone.

    Nothing needs saving: the batch of a step can be computed from its number.

    Args:
        size: Images in the dataset.
        batch: Images a step; at most `size`.
        seed: Seed of the shuffle.

    Raises:
        SamplerError: If the batch is larger than the dataset.
    """

    def __init__(self, size: int, batch: int, seed: int) -> None:
        if batch > size:
            raise SamplerError(f"a batch of {batch} needs at least as many images; the dataset has {size}")
        self.size = size
        self.batch = batch
        self.seed = seed
        self._order: tuple[int, Tensor] | None = None

    def _epoch(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            rng = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order = (epoch, torch.randperm(self.size, generator=rng))
        return self._order[1]

    def __call__(self, step: int) -> Tensor:
        """Indices of the images of a step, [batch]."""
        first = step * self.batch
        epoch, offset = divmod(first, self.size)
        indices = self._epoch(epoch)[offset : offset + self.batch]
        if len(indices) < self.batch:
            rest = self._epoch(epoch + 1)[: self.batch - len(indices)]
            indices = torch.cat([indices, rest])
        return indices
