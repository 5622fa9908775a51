"""Evaluates a translator on held-out pairs, beside what costs nothing: the input itself, and one colour."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import Checkpoint
from training.data.datasets import Dataset, UnpairedDataset, open_dataset
from training.families.base import Deployable
from training.families.table import FAMILIES
from training.metrics.feature_distance import FeatureDistance, feature_distance
from training.metrics.features import FeatureNetwork
from training.metrics.image_quality import WINDOW, l1, psnr, ssim
from training.metrics.kid import kid, subset_size_for
from training.metrics.pictures import Pixels
from training.metrics.results import EvaluationError, PairScores, TranslatorMetrics
from training.metrics.sampling import Progress, RealImages, some_of
from training.pixels import to_uint8, to_unit_range

COLUMNS = 8
"""Pairs in the picture."""


def evaluate_translator(
    checkpoint: Checkpoint,
    deployable: Deployable,
    data: Path,
    *,
    images: int,
    network: FeatureNetwork,
    device: torch.device,
    progress: Progress,
) -> tuple[TranslatorMetrics, list[list[Pixels]]]:
    """Measures a translator.

    Args:
        checkpoint: The run.
        deployable: One of its translators.
        data: Folder of the dataset.
        images: How many pairs at most are translated.
        network: What KID compares by, on the device.
        device: Where networks compute.
        progress: Told what is measured.

    Returns:
        The metrics, and three rows of a picture: inputs, outputs, targets.

    Raises:
        DatasetError: If the dataset cannot be used.
        EvaluationError: If fewer than two images are held out.
    """
    side, layout = checkpoint.config.data.resolution, FAMILIES[checkpoint.config.family].layout
    held_out: Dataset = open_dataset(data, layout, "heldout", resolution=side)
    paired = held_out.pairs if isinstance(held_out, UnpairedDataset) else True
    target = "B" if deployable.source == "A" else "A"
    inputs, targets = (some_of(held_out, images, s) for s in (deployable.source, target))
    total = len(inputs)
    if total < 2:
        raise EvaluationError(f"{data} holds out {total} pairs; at least two are needed")
    if side < WINDOW:
        raise EvaluationError(
            f"images of {side}×{side} are too small for SSIM, which needs {WINDOW}×{WINDOW}"
        )
    translator = copy.deepcopy(deployable.network).eval().to(device)
    measure = feature_distance(device)
    model, copied = _Scores(measure), _Scores(measure)
    compared: dict[str, list[Tensor]] = {"outputs": [], "inputs": [], "targets": []}  # features of these
    moments = []
    shown: list[Pixels] = []
    done = 0
    for x, y in zip(inputs.batches(), targets.batches(), strict=True):
        x, y = x.to(device), y.to(device)
        with torch.no_grad():
            output = to_uint8(translator(to_unit_range(x)))
        if paired:
            model.add(output, y)
            copied.add(x, y)
            moments.append(_moments(y))
        for name, batch in (("outputs", output), ("inputs", x), ("targets", y)):
            compared[name].append(network(batch).cpu().double())
        shown += list(output.cpu().permute(0, 2, 3, 1).numpy())[: COLUMNS - len(shown)]
        done += len(x)
        progress(f"{deployable.name}: held-out images", done, total)
    features = {name: torch.cat(rows) for name, rows in compared.items()}

    constants: dict[str, PairScores] = {}
    if paired:
        colours = {
            "best": best_constant(torch.cat([m for m, _ in moments]), torch.cat([v for _, v in moments])),
            "training": _mean_colour(
                some_of(open_dataset(data, layout, "train", resolution=side), images, target)
            ),
        }
        constants = {
            name: _constant_scores(colour, targets, measure, device) for name, colour in colours.items()
        }
    size = subset_size_for(total, total)
    metrics = TranslatorMetrics(
        source=deployable.source,
        scores=model.mean() if paired else None,
        scores_copy=copied.mean() if paired else None,
        scores_constant=constants.get("best"),
        scores_training_mean=constants.get("training"),
        kid=kid(features["outputs"], features["targets"], subset_size=size),
        kid_copy=kid(features["inputs"], features["targets"], subset_size=size),
        feature_distance=measure.name,
        features=network.name,
        protocol=(
            f"{total} held-out {'pairs' if paired else 'images of each side (no pairs)'} at {side}², "
            f"{deployable.source} → {target}, whole RGB images after rounding to 8 bits, means over images; "
            f"KID: 100 subsets of {size}, resized to {network.input_size}²"
        ),
    )
    columns = range(len(shown))
    return metrics, [[inputs.array(i) for i in columns], shown, [targets.array(i) for i in columns]]


def best_constant(mean: Tensor, variance: Tensor, iterations: int = 100) -> Tensor:
    """The colour whose mean PSNR over some images is highest.

    PSNR falls with log MSE, and an image's MSE from a colour c is its variance plus |mean − c|²/3. The
    derivative vanishes where c is the mean of the images' means, each weighted by 1/MSE; that is iterated.

    Args:
        mean: Mean colours of the images, [n, 3], 0…255.
        variance: Their variances around these, averaged over channels, [n].
        iterations: How often weights are renewed.

    Returns:
        [3].
    """
    colour = mean.mean(dim=0)
    for _ in range(iterations):
        weight = 1 / (variance + (mean - colour).square().mean(dim=1)).clamp(min=1e-6)
        colour = (weight[:, None] * mean).sum(dim=0) / weight.sum()
    return colour


@dataclass
class _Scores:
    """Sums up the scores of images."""

    distance: FeatureDistance
    rows: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def add(self, x: Tensor, y: Tensor) -> None:
        scores = (l1(x, y), psnr(x, y), ssim(x, y), self.distance(x, y).double())
        self.rows.append(torch.stack(scores, dim=1).cpu())

    def mean(self) -> PairScores:
        means = torch.cat(self.rows).mean(dim=0).tolist()
        return PairScores(l1=means[0], psnr=means[1], ssim=means[2], feature_distance=means[3])


def _constant_scores(
    colour: Tensor, targets: RealImages, distance: FeatureDistance, device: torch.device
) -> PairScores:
    scores = _Scores(distance)
    pixel = colour.round().to(torch.uint8).to(device)[:, None, None]
    for batch in targets.batches():
        y = batch.to(device)
        scores.add(pixel.expand_as(y), y)
    return scores.mean()


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colours [n, 3] and mean variances around them [n]."""
    x = images.double().flatten(2).cpu()
    return x.mean(dim=2), x.var(dim=2, unbiased=False).mean(dim=1)


def _mean_colour(images: RealImages) -> Tensor:
    return torch.cat([_moments(batch)[0] for batch in images.batches()]).mean(dim=0)
