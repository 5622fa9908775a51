"""Endless batches that depend on seed and step alone, whoever computes them and wherever they begin."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from training.data.datasets import Dataset, Sample
from training.data.sources import DatasetError
from training.errors import GantrainError
from training.sampler import EpochSampler

Transform = Callable[[Sample, np.random.Generator], Sample]
"""A family's augmentation: a sample and its own random numbers to a sample. Pixels come read-only."""


def batches(
    dataset: Dataset,
    *,
    batch: int,
    seed: int,
    first_step: int = 0,
    part: slice = slice(None),
    workers: int = 0,
    transform: Transform | None = None,
    pin_memory: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Batches without end, in an order that can be entered at any step.

    Sample i of step s gets random numbers seeded with (seed, s · batch + i), so that a batch is the same in a run
    that was resumed, with any number of workers, and in whatever parts processes share it. PyTorch's and NumPy's
    global random numbers are neither used nor disturbed.

    Args:
        dataset: Checked images.
        batch: Samples of a whole step, over all processes.
        seed: Seed of the order and of all samples; not negative.
        first_step: The step whose batch comes first.
        part: This process's share of each batch, such as `slice(rank, None, world_size)`.
        workers: Processes that prepare samples; 0 prepares them in this one.
        transform: Applied to each sample. It may draw from the generator it is given and from nothing else.
        pin_memory: Whether batches lie in page-locked memory, from which a GPU copies faster.

    Yields:
        Each key of a sample: UINT8 [n, 3, H, W] for images (UINT8 [H, W, 3] in the sample), int64 [n] for whole
        numbers, float32 for other numbers and the array's own type for other arrays.

    Raises:
        SamplerError: If the batch is larger than the dataset.
        DatasetError: If a file changed since the dataset was opened, or samples differ in size.
    """
    loader = DataLoader(
        _Samples(dataset, seed, transform),
        batch_sampler=_Steps(EpochSampler(len(dataset), batch, seed), first_step, part),
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_leave_signals_to_parent,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(seed),  # else it would take one from PyTorch's global numbers
    )
    for result in loader:
        if isinstance(result, GantrainError):
            raise result
        yield result


class _Steps(Sampler[list[tuple[int, int]]]):
    """For each step, the index of each of its samples and the sample's number since the first step."""

    def __init__(self, sampler: EpochSampler, first_step: int, part: slice) -> None:
        self.sampler = sampler
        self.first_step = first_step
        self.part = part

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.first_step
        while True:
            first = step * self.sampler.batch
            indices = self.sampler(step).tolist()
            yield [(index, first + i) for i, index in enumerate(indices)][self.part]
            step += 1


class _Samples(TorchDataset[Any]):
    """Samples with their own random numbers, transformed."""

    def __init__(self, dataset: Dataset, seed: int, transform: Transform | None) -> None:
        self.dataset = dataset
        self.seed = seed
        self.transform = transform

    def __getitem__(self, key: tuple[int, int]) -> Sample | GantrainError:
        index, number = key
        rng = np.random.default_rng((self.seed, number))
        try:
            sample = self.dataset.sample(index, rng)
            return sample if self.transform is None else self.transform(sample, rng)
        except GantrainError as error:
            return error  # a worker that raises would bury the message in its traceback


def _collate(samples: list[Sample | GantrainError]) -> dict[str, Tensor] | GantrainError:
    for sample in samples:
        if isinstance(sample, GantrainError):
            return sample
    columns = {key: [sample[key] for sample in samples] for key in samples[0]}  # type: ignore[index]
    try:
        return {key: _stack(values) for key, values in columns.items()}
    except ValueError as error:
        return DatasetError(f"samples of one batch differ in size; crop them or set a resolution ({error})")


def _stack(values: list[Any]) -> Tensor:
    first = values[0]
    if isinstance(first, np.ndarray):
        stacked = np.stack(values)
        if stacked.dtype == np.uint8 and stacked.ndim == 4 and stacked.shape[3] == 3:
            stacked = np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))  # [n, H, W, 3] → [n, 3, H, W]
        return torch.from_numpy(stacked)
    if isinstance(first, Tensor):
        return torch.stack(values)
    whole = isinstance(first, int | np.integer)
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float32)


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM often reach a whole group of processes; the parent decides, and may still need batches.

    A worker ends when its parent asks it to, or within seconds of the parent's own end. One SIGTERM is passed
    over; the second, which the parent sends to a worker that hangs, takes effect.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
