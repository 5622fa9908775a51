"""Batches: the same whoever computes them, enterable at any step, and no process left behind."""

from __future__ import annotations

import itertools
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest
import torch

from tests.forked import TRAINING, ForkedProcess
from training.data.archive import write_archive
from training.data.datasets import open_dataset
from training.data.layouts import write_images
from training.data.loader import batches
from training.data.sources import DatasetError
from training.sampler import SamplerError

SIDE = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eleven images with labels, each of one brightness, which is its number."""
    folder = tmp_path_factory.mktemp("data") / "numbers-8"
    images = [np.full((SIDE, SIDE, 3), i, np.uint8) for i in range(11)]
    for split in ("train", "heldout"):
        write_archive(folder / f"{split}.zip", images, list(range(11)))
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return open_dataset(folder, "images", "train", resolution=SIDE)


def jitter(sample, rng):
    """An augmentation that uses many random numbers and returns an array that is no image."""
    moved = np.roll(sample["image"], rng.integers(SIDE), axis=0)
    return {
        **sample,
        "image": moved,
        "noise": rng.standard_normal(3).astype(np.float32),
        "gain": rng.random(),
    }


def take(dataset, steps=5, **options):
    stream = batches(dataset, **{"batch": 4, "seed": 7, "transform": jitter, **options})
    try:
        return list(itertools.islice(stream, steps))
    finally:
        stream.close()


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), key


def test_shapes_and_types(dataset):
    batch = take(dataset, 1)[0]
    assert {k: (tuple(v.shape), v.dtype) for k, v in batch.items()} == {
        "image": ((4, 3, SIDE, SIDE), torch.uint8),
        "label": ((4,), torch.int64),
        "noise": ((4, 3), torch.float32),
        "gain": ((4,), torch.float32),
    }
    assert batch["image"][:, 0, 0, 0].tolist() == batch["label"].tolist()


def test_every_image_comes_once_an_epoch(dataset):
    labels = torch.cat([batch["label"] for batch in take(dataset, 11)])  # four epochs of eleven
    for epoch in labels.view(4, 11):
        assert sorted(epoch.tolist()) == list(range(11))
    assert labels[:11].tolist() != labels[11:22].tolist()


def test_augmentation_differs_between_epochs(dataset):
    gains = torch.cat([batch["gain"] for batch in take(dataset, 11)])
    assert len(set(gains.tolist())) == len(gains)


def test_a_stream_can_be_entered_at_any_step(dataset):
    assert_equal(take(dataset, 8)[3:], take(dataset, 5, first_step=3))


def test_seeds_differ(dataset):
    assert take(dataset)[0]["label"].tolist() != take(dataset, seed=8)[0]["label"].tolist()


def test_workers_change_nothing(dataset):
    assert_equal(take(dataset), take(dataset, workers=2))


def test_images_decoded_on_demand_change_nothing(folder, dataset):
    on_demand = open_dataset(folder, "images", "train", resolution=SIDE, ram_limit=0)
    assert_equal(take(dataset), take(on_demand, workers=2))


@pytest.mark.parametrize("workers", [0, 1])
def test_parts_interleave_to_the_whole_batch(dataset, workers):
    whole = take(dataset)
    parts = [take(dataset, part=slice(rank, None, 2), workers=workers) for rank in range(2)]
    for step, batch in enumerate(whole):
        for key, values in batch.items():
            for rank in range(2):
                assert torch.equal(values[rank::2], parts[rank][step][key])


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_numbers_are_left_alone(dataset, workers):
    def state():
        return torch.random.get_rng_state(), np.random.get_state()[1]

    before = state()
    take(dataset, workers=workers)
    for a, b in zip(before, state(), strict=True):
        assert np.array_equal(a, b)


def test_a_batch_larger_than_the_dataset_is_refused_at_once(dataset):
    with pytest.raises(SamplerError, match="12"):
        batches(dataset, batch=12, seed=0)


def test_pixels_cannot_be_changed_in_place(dataset):
    def careless(sample, rng):
        sample["image"] += 1
        return sample

    with pytest.raises(ValueError, match="read-only"):
        take(dataset, transform=careless)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanishes_is_named(tmp_path, workers):
    write_images(tmp_path / "train", ((str(i), np.full((8, 8, 3), i, np.uint8)) for i in range(4)))
    dataset = open_dataset(tmp_path, "images", "train", resolution=8, ram_limit=0)
    (tmp_path / "train" / "2.png").unlink()
    with pytest.raises(DatasetError, match=r"2\.png cannot be read") as caught:
        take(dataset, transform=None, workers=workers)
    assert "Traceback" not in str(caught.value)


def test_images_that_differ_in_size_must_be_cropped(tmp_path):
    sizes = [(8, 12), (12, 8), (9, 9), (10, 10)]
    write_images(tmp_path / "train", ((f"{h}x{w}", np.zeros((h, w, 3), np.uint8)) for h, w in sizes))
    dataset = open_dataset(tmp_path, "images", "train")
    with pytest.raises(DatasetError, match="differ in size"):
        take(dataset, transform=None)
    crop = take(dataset, transform=lambda s, rng: {"image": s["image"][:8, :8]})
    assert crop[0]["image"].shape == (4, 3, 8, 8)


# A run in a process of its own, which says who its workers are and then does `{end}`.
RUN = """
import os, signal, sys, time
from pathlib import Path
import psutil
from training.data.datasets import open_dataset
from training.data.loader import batches

os.setsid()
stream = batches(open_dataset(Path({folder!r}), "images", "train"), batch=4, seed=0, workers=2)
next(stream)
stopping = []
for which in (signal.SIGINT, signal.SIGTERM):
    signal.signal(which, lambda *_: stopping.append(1))
print(*(p.pid for p in psutil.Process().children()), flush=True)
{end}
"""


def start(folder: Path, end: str) -> tuple[ForkedProcess, IO[str], list[psutil.Process]]:
    """Starts a run; also what it prints, and its workers."""
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as output:
        run = ForkedProcess(RUN.format(folder=str(folder), end=end), os.environ, output, TRAINING)
    printed = os.fdopen(ours)
    workers = [psutil.Process(int(pid)) for pid in printed.readline().split()]
    assert len(workers) == 2
    return run, printed, workers


def outcome(run: ForkedProcess, printed: IO[str], workers: list[psutil.Process], seconds: float = 60) -> str:
    """What else a run printed; fails if it or a worker of it does not end in time."""
    try:
        run.wait(seconds)
        assert not psutil.wait_procs(workers, timeout=seconds)[1]
        with printed:
            return printed.read()
    finally:
        for process in workers:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        run.kill()


def test_a_run_that_fails_ends_with_its_workers(folder):
    printed = outcome(*start(folder, "raise RuntimeError('out of luck')"))
    assert printed.strip().endswith("RuntimeError: out of luck")


def test_a_killed_run_leaves_no_worker(folder):
    run, printed, workers = start(folder, "time.sleep(60)")
    run.kill()
    outcome(run, printed, workers)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_still_lets_the_run_finish(folder, which):
    # What a terminal or a service manager does: every process gets the signal; the run takes a few more
    # batches and saves.
    finish = "for _ in range(20): next(stream)\nprint('saved', flush=True)"
    run, printed, workers = start(folder, f"while not stopping: time.sleep(0.01)\n{finish}")
    os.killpg(run.pid, which)
    assert printed.readline() == "saved\n"
    assert outcome(run, printed, workers) == ""
    assert run.returncode == 0
