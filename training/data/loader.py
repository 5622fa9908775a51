"""Endless batches that depend on seed and step alone, whoever computes them and wherever they begin."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from functools import partial
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
) -> Batches:
    """Batches without end, in an order that can be entered at any step.

    Sample i of step s gets random numbers seeded with (seed, s · batch + i), so that a batch is the same in a
    run that was resumed, with any number of workers, and in whatever parts processes share it. The global
    random numbers of PyTorch and NumPy are neither used nor disturbed.

    Args:
        dataset: Checked images.
        batch: Samples of a whole step, over all processes.
        seed: Seed of the order and of all samples; not negative.
        first_step: The step whose batch comes first.
        part: This process's share of each batch, such as `slice(rank, None, world_size)`.
        workers: Processes that prepare samples; 0 prepares them in this one.
        transform: Applied to each sample. It may draw from the generator it is given and from nothing else.
        pin_memory: Whether batches lie in page-locked memory, from which a GPU copies faster.

    Returns:
        An iterator over dictionaries with the keys of a sample: UINT8 [n, 3, H, W] for images (in a sample
        UINT8 [H, W, 3]), int64 [n] for whole numbers, float32 [n] for others, other arrays stacked as they
        are. It raises a DatasetError if a file changed since it was checked, or samples differ in size.

    Raises:
        SamplerError: If the batch is larger than the dataset.
    """
    steps = _Steps(EpochSampler(len(dataset), batch, seed), first_step, part)
    return Batches(_Samples(dataset, seed, transform), steps, workers, pin_memory)


class Batches(Iterator[dict[str, Tensor]]):
    """What `batches` returns. Its workers end with `close()`, with the object, or with the process."""

    def __init__(self, samples: _Samples, steps: _Steps, workers: int, pin_memory: bool) -> None:
        closing = multiprocessing.RawValue("b", 0)
        loader = DataLoader(
            samples,
            batch_sampler=steps,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=partial(_leave_signals_to_parent, closing),
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else it would draw from PyTorch's global numbers
        )
        self._running = [iter(loader)]
        self._close = partial(_end, self._running, closing)
        # At exit before multiprocessing, which would wait for workers that nobody told to end.
        atexit.register(self._close)
        weakref.finalize(self, _end_and_forget, self._close).atexit = False

    def __next__(self) -> dict[str, Tensor]:
        if not self._running:
            raise StopIteration
        batch = next(self._running[0])
        if isinstance(batch, GantrainError):
            self.close()
            raise batch
        return batch  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the workers; there are no batches any more."""
        _end_and_forget(self._close)


def _end(running: list[Any], closing: Any) -> None:
    closing.value = 1
    running.clear()  # PyTorch stops the workers when it loses the last reference to its iterator


def _end_and_forget(close: Callable[[], None]) -> None:
    close()
    atexit.unregister(close)


def _leave_signals_to_parent(closing: Any, worker: int) -> None:
    """Keeps a worker at work when Ctrl-C or SIGTERM reaches a whole group of processes.

    The parent decides what they mean, and may still need batches before it stops. A worker ends when its
    parent says so, and within seconds of the parent's own end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Once all are closing, SIGTERM is how PyTorch and multiprocessing end a worker that is stuck.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if closing.value else None)


class _Steps(Sampler[list[tuple[int, int]]]):
    """For each step, the index of each of its samples and the sample's number since the start of the run."""

    def __init__(self, sampler: EpochSampler, first_step: int, part: slice) -> None:
        self.sampler = sampler
        self.first_step = first_step
        self.part = part

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.first_step
        while True:
            first = step * self.sampler.batch
            numbered = [(index, first + i) for i, index in enumerate(self.sampler(step).tolist())]
            yield numbered[self.part]
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
            return error  # a worker that raised it would bury the message under its traceback


def _collate(samples: list[Sample | GantrainError]) -> dict[str, Tensor] | GantrainError:
    whole: list[Sample] = []
    for sample in samples:
        if isinstance(sample, GantrainError):
            return sample
        whole.append(sample)
    try:
        return {key: _stack([sample[key] for sample in whole]) for key in whole[0]}
    except ValueError as error:
        return DatasetError(f"samples of one batch differ in size; crop them or set a resolution ({error})")


def _stack(values: list[Any]) -> Tensor:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.stack(values)
    if isinstance(first, np.ndarray):
        stacked = np.stack(values)
        if stacked.dtype == np.uint8 and stacked.ndim == 4 and stacked.shape[3] == 3:
            stacked = np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))  # [n, H, W, 3] → [n, 3, H, W]
        return torch.from_numpy(stacked)
    whole = isinstance(first, int | np.integer)
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float32)
