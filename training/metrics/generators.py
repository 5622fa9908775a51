"""Evaluates a generator: its images against held-out ones, between real images and an untrained generator."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from training.checkpoint import Checkpoint
from training.data.datasets import open_dataset
from training.engine import Engine
from training.families.base import Deployable, GeneratorNetwork
from training.families.table import FAMILIES
from training.metrics.feature_distance import feature_distance
from training.metrics.features import FeatureNetwork, extract
from training.metrics.fid import fid
from training.metrics.kid import KID, kid, subset_size_for
from training.metrics.memorization import memorization
from training.metrics.path_length import perceptual_path_length
from training.metrics.pictures import save_picture, table
from training.metrics.precision_recall import K, precision_recall
from training.metrics.results import EvaluationError, GeneratorMetrics
from training.metrics.sampling import Progress, RealImages, Sampler, draw_labels, some_of
from training.pixels import image_grid, to_uint8

SHEET_SEEDS = 32
SHEET_COLUMNS = 8
PAIRS = 16
"""Generated images shown beside their nearest training images."""
SEARCH = 3
"""Training images looked through for copies, at most, for each generated image."""
PATH_STEPS = 500


def evaluate_generator(
    checkpoint: Checkpoint,
    deployable: Deployable,
    data: Path,
    run: Path,
    *,
    images: int,
    network: FeatureNetwork,
    device: torch.device,
    progress: Progress,
) -> GeneratorMetrics:
    """Measures a generator, and writes `samples.png` and `neighbours.png`.

    Args:
        checkpoint: The run.
        deployable: Its generator.
        data: Folder of the dataset.
        run: Where pictures are written.
        images: How many images of each kind at most are compared.
        network: What they are compared by, on the device.
        device: Where networks compute.
        progress: Told what is measured.

    Raises:
        DatasetError: If the dataset cannot be used.
        EvaluationError: If too few images are held out.
    """
    side = checkpoint.config.data.resolution
    held_out = some_of(open_dataset(data, "images", "heldout", resolution=side), images)
    training = some_of(open_dataset(data, "images", "train", resolution=side), SEARCH * images)
    if min(len(held_out), len(training)) <= K:
        raise EvaluationError(
            f"{data} holds {len(held_out)} held-out and {len(training)} training images; "
            f"more than {K} of each are needed"
        )
    labels = draw_labels(held_out.labels(), max(images, SHEET_SEEDS))
    sampler = _sampler(deployable.network, labels, device)
    untrained = _sampler(_untrained(checkpoint), labels, device)

    def features(kind: str, batches: Iterable[Tensor], total: int) -> Tensor:
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            progress(kind, done, total)

        return extract(network, batches, device, count)

    reference = features("held-out images", held_out.batches(), len(held_out))
    known = features("training images", training.batches(), len(training))
    generated = features("generated images", sampler.batches(images), images)
    fresh = features("images of an untrained network", untrained.batches(images), images)
    conditional = sampler.network.mapping.c_dim > 0
    size = subset_size_for(images, len(reference))

    def distance(x: Tensor) -> KID:
        return kid(x, reference, subset_size=size)

    real = known[:images]
    manifold = precision_recall(generated, reference)
    memorized, distances, nearest = memorization(generated, reference, known)
    steps = min(images, PATH_STEPS)
    walked = 0

    def walk(n: int) -> None:
        nonlocal walked
        walked += n
        progress("steps of the path length", walked, steps)

    path_length = perceptual_path_length(sampler, feature_distance(device), steps, walk)
    save_picture(run / "samples.png", image_grid(sampler.images(range(SHEET_SEEDS)), SHEET_COLUMNS))
    _picture_neighbours(run / "neighbours.png", sampler, training, distances, nearest)
    return GeneratorMetrics(
        kid=distance(generated),
        kid_real=distance(real),
        kid_untrained=distance(fresh),
        fid=fid(generated, reference),
        fid_real=fid(real, reference),
        fid_untrained=fid(fresh, reference),
        precision=manifold.precision,
        recall=manifold.recall,
        path_length=path_length,
        memorization=memorized,
        features=network.name,
        protocol=(
            f"{images} generated (seeds 0–{images - 1}, truncation 1, constant noise"
            f"{', classes drawn as they are held out' if conditional else ''}), "
            f"{len(real)} training and {len(reference)} held-out images, resized to {network.input_size}²; "
            f"KID: 100 subsets of {size}; precision and recall: k = {K}; path length: ε = 1e-4 in w; "
            f"copies were looked for among {len(known)} of {len(training.dataset)} training images"
        ),
    )


def _sampler(network: nn.Module, labels: list[int], device: torch.device) -> Sampler:
    # A copy, as moving a network to a device changes it.
    return Sampler(cast(GeneratorNetwork, copy.deepcopy(network).eval().to(device)), labels, device)


def _untrained(checkpoint: Checkpoint) -> nn.Module:
    """The generator as the run's family builds it, with fresh weights."""
    config = checkpoint.config
    family_type = FAMILIES[config.family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        family = family_type(config, Engine(0, device="cpu"), checkpoint.classes)
        return family_type.deployables(config, checkpoint.classes, family.state_dict())[0].network


def _picture_neighbours(
    path: Path, sampler: Sampler, training: RealImages, distances: Tensor, nearest: Tensor
) -> None:
    """The generated images that come nearest to a training image, each above that image."""
    seeds = distances.argsort()[:PAIRS].tolist()
    images = to_uint8(sampler.images(seeds)).cpu().permute(0, 2, 3, 1).numpy()
    rows = []
    for start in range(0, len(seeds), SHEET_COLUMNS):
        part = range(start, min(start + SHEET_COLUMNS, len(seeds)))
        rows.append([images[i] for i in part])
        rows.append([training.array(int(nearest[seeds[i]])) for i in part])
    save_picture(path, table(rows))
