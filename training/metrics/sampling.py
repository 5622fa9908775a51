"""Images for metrics: those that a generator makes of the service's seeds, and those of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.datasets import Dataset
from training.families.base import GeneratorNetwork
from training.pixels import to_uint8

BATCH = 16

Progress = Callable[[str, int, int], None]
"""Told what is measured now, how many images are done, and of how many."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


class Sampler:
    """Images of a generator by seed: z is `numpy.random.RandomState(seed).randn(z_dim)`, as in the service.

    Nothing is truncated, and noise is the model's constant noise, which are the service's defaults.

    Args:
        network: In evaluation mode, on the device.
        labels: A class for each seed from 0 on; a generator without classes ignores them.
        device: Where the network computes.
    """

    def __init__(self, network: GeneratorNetwork, labels: Sequence[int], device: torch.device) -> None:
        self.network = network
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self.device = device

    def one_hot(self, labels: Tensor) -> Tensor | None:
        """INT64 [n] → [n, c_dim], or None for a generator without classes."""
        classes = self.network.mapping.c_dim
        if not classes:
            return None
        return torch.nn.functional.one_hot(labels, classes).float().to(self.device)

    @torch.no_grad()
    def images(self, seeds: Sequence[int]) -> Tensor:
        """The images of some seeds, in about [−1, 1], [n, 3, H, W] on the device."""
        z = latents(seeds, self.network.mapping.z_dim).to(self.device)
        return self.synthesize(self.network.mapping.ws(z, self.one_hot(self.labels[list(seeds)])))

    def synthesize(self, ws: Tensor) -> Tensor:
        """Images of styles, with constant noise. [n, num_ws, w_dim] → [n, 3, H, W]."""
        return self.network.synthesis(ws, self.network.synthesis.constant_noise())

    def batches(self, count: int) -> Iterator[Tensor]:
        """UINT8 images of the seeds 0 … count − 1."""
        for start in range(0, count, BATCH):
            yield to_uint8(self.images(range(start, min(start + BATCH, count))))


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """The latents that the service uses for seeds. [n, z_dim] FP32."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


class RealImages(NamedTuple):
    """Some images of a dataset, in an order that is drawn once and for all.

    Attributes:
        dataset: Where they come from.
        indices: Which they are.
        side: `image`, or `A` or `B` of a pair.
    """

    dataset: Dataset
    indices: list[int]
    side: str = "image"

    def __len__(self) -> int:
        return len(self.indices)

    def array(self, position: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """The pixels at a position of the order, UINT8 [H, W, 3]."""
        index = self.indices[position]
        # What a sample draws for itself follows from its index, so that it is the same each time.
        pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = self.dataset.sample(
            index, np.random.default_rng(index)
        )[self.side]
        return pixels

    def labels(self) -> list[int]:
        """The class of each."""
        return [int(self.dataset.sample(i, np.random.default_rng(i))["label"]) for i in self.indices]

    def batches(self) -> Iterator[Tensor]:
        """UINT8 images, [n, 3, H, W] each; all of one size."""
        for start in range(0, len(self), BATCH):
            stop = min(start + BATCH, len(self))
            yield torch.from_numpy(np.stack([self.array(i) for i in range(start, stop)])).permute(0, 3, 1, 2)


def some_of(dataset: Dataset, limit: int, side: str = "image") -> RealImages:
    """At most so many images of a dataset, drawn at random but always the same; more include fewer."""
    order = np.random.RandomState(0).permutation(len(dataset))[:limit]
    return RealImages(dataset, order.tolist(), side)


def draw_labels(labels: Sequence[int], count: int) -> list[int]:
    """Classes as often as they are among `labels`; the first ones are the same for any count."""
    drawn: list[int] = np.random.RandomState(0).choice(np.asarray(labels), size=count).tolist()
    return drawn
