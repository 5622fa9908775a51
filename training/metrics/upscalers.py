"""Evaluates an upscaler on photographs made small, beside bicubic interpolation and other models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from training.checkpoint import Checkpoint
from training.data.datasets import Dataset, open_dataset
from training.families.base import Deployable
from training.metrics.feature_distance import FeatureDistance, feature_distance
from training.metrics.image_quality import WINDOW, crop_border, luma, psnr, ssim
from training.metrics.pictures import Pixels, enlarge
from training.metrics.results import EvaluationError, UpscalerMetrics, UpscalingScores
from training.metrics.sampling import Progress, some_of

BENCHMARK = "benchmark.zip"
KERNEL = "bicubic (a = −0.5) with antialiasing, as in Pillow"
CROP = 96
"""Side of the crops in the picture."""
ZOOM = 2
ROWS = 8

Upscale = Callable[[Pixels], Pixels]
"""From pixels [H, W, 3] to pixels [scale·H, scale·W, 3]."""


def evaluate_upscaler(
    checkpoint: Checkpoint,
    deployable: Deployable,
    data: Path,
    *,
    images: int,
    against: Mapping[str, nn.Module],
    device: torch.device,
    progress: Progress,
) -> tuple[UpscalerMetrics, list[list[Pixels]]]:
    """Measures an upscaler on `benchmark.zip` in the dataset's folder, or else on held-out images.

    Args:
        checkpoint: The run.
        deployable: Its upscaler.
        data: Folder of the dataset.
        images: How many images at most are upscaled.
        against: Other upscalers of the same scale, by name.
        device: Where networks compute.
        progress: Told what is measured.

    Returns:
        The metrics, and rows of magnified crops for a picture: bicubic, the others, this model, the original.

    Raises:
        DatasetError: If the dataset cannot be used.
        EvaluationError: If an image is too small, or another model has another scale.
    """
    network = copy.deepcopy(deployable.network).eval().to(device)
    scale = scale_of(network, device)
    others = {name: copy.deepcopy(other).eval().to(device) for name, other in against.items()}
    for name, other in others.items():
        if scale_of(other, device) != scale:
            raise EvaluationError(
                f"{name} upscales {scale_of(other, device)} times and {deployable.name} {scale}"
            )
    methods: dict[str, Upscale] = {
        "bicubic": lambda small: resize(small, small.shape[0] * scale, small.shape[1] * scale),
        **{name: _method(other, device) for name, other in others.items()},
        deployable.name: _method(network, device),
    }
    dataset, which = _images(checkpoint, data)
    originals = some_of(dataset, images)
    scores = {name: _Scores(feature_distance(device), scale, device) for name in methods}
    rows: list[list[Pixels]] = []
    for i in range(len(originals)):
        original = crop_to_multiple(originals.array(i), scale)
        if min(original.shape[:2]) < WINDOW + 2 * scale:
            raise EvaluationError(
                f"{data}: {dataset.names[originals.indices[i]]} is too small to be compared"
            )
        small = resize(original, original.shape[0] // scale, original.shape[1] // scale)
        upscaled = {name: method(small) for name, method in methods.items()}
        for name, result in upscaled.items():
            scores[name].add(result, original)
        if len(rows) < ROWS:
            window = sharpest_window(original, CROP)
            rows.append([enlarge(image[window], ZOOM) for image in (*upscaled.values(), original)])
        progress(f"{deployable.name}: {which} images", i + 1, len(originals))
    means = {name: s.mean() for name, s in scores.items()}
    metrics = UpscalerMetrics(
        scale=scale,
        dataset=which,
        images=len(originals),
        scores=means[deployable.name],
        scores_bicubic=means["bicubic"],
        scores_against={name: means[name] for name in others},
        feature_distance=feature_distance(device).name,
        protocol=(
            f"{len(originals)} {which} images, cut to multiples of {scale} and made {scale} times smaller by "
            f"{KERNEL}; results rounded to 8 bits, {scale} pixels at each border left out; "
            f"Y of BT.601 (16–235); means over images{_shared_features(deployable)}"
        ),
    )
    smallest = min((row[0].shape[0] for row in rows), default=0)
    return metrics, [[image[:smallest, :smallest] for image in row] for row in rows]


@torch.no_grad()
def scale_of(network: nn.Module, device: torch.device) -> int:
    """How many times an upscaler enlarges."""
    side = 16
    output: Tensor = network(torch.zeros(1, 3, side, side, device=device))
    return output.shape[2] // side


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Bicubic resizing with antialiasing. UINT8 [H, W, 3] → UINT8 [height, width, 3]."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def crop_to_multiple(image: Pixels, multiple: int) -> Pixels:
    """The image without the last rows and columns that do not fill a multiple."""
    height, width = (n - n % multiple for n in image.shape[:2])
    return image[:height, :width]


def sharpest_window(image: Pixels, side: int) -> tuple[slice, slice]:
    """The square, of those on a grid of half its side, in which neighbouring pixels differ most."""
    side = min(side, *image.shape[:2])
    grey = image.astype(np.float64).mean(axis=2)
    energy = np.zeros(grey.shape)
    energy[:-1] += np.abs(np.diff(grey, axis=0))
    energy[:, :-1] += np.abs(np.diff(grey, axis=1))
    step = max(side // 2, 1)
    corners = [
        (y, x)
        for y in range(0, grey.shape[0] - side + 1, step)
        for x in range(0, grey.shape[1] - side + 1, step)
    ]
    y, x = max(
        corners, key=lambda corner: energy[corner[0] : corner[0] + side, corner[1] : corner[1] + side].sum()
    )
    return slice(y, y + side), slice(x, x + side)


def _shared_features(deployable: Deployable) -> str:
    """Says so if a model was trained to lower what the feature distance measures."""
    trained_with = str(deployable.card.get("perceptual_features"))
    if "EfficientNet-Lite0" not in trained_with:
        return ""
    return "; features of the same network were in the training loss, which flatters the feature distance"


def _images(checkpoint: Checkpoint, data: Path) -> tuple[Dataset, Literal["benchmark", "held-out"]]:
    if (data / BENCHMARK).exists():
        return open_dataset(data / BENCHMARK, "images", "train"), "benchmark"
    return open_dataset(data, "images", "heldout", resolution=checkpoint.config.data.resolution), "held-out"


def _method(network: nn.Module, device: torch.device) -> Upscale:
    @torch.no_grad()
    def upscale(small: Pixels) -> Pixels:
        output: Tensor = network(_tensor(small, device).float() / 255)
        pixels: Pixels = (
            (output * 255).round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()
        )
        return pixels

    return upscale


def _tensor(image: Pixels, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(device)


@dataclass
class _Scores:
    """Sums up the scores of images."""

    distance: FeatureDistance
    border: int
    device: torch.device
    rows: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def add(self, result: Pixels, original: Pixels) -> None:
        x, y = (crop_border(_tensor(image, self.device), self.border) for image in (result, original))
        x_luma, y_luma = luma(x), luma(y)
        scores = (
            psnr(x_luma, y_luma),
            ssim(x_luma, y_luma),
            psnr(x, y),
            ssim(x, y),
            self.distance(x, y).double(),
        )
        self.rows.append(torch.cat(scores).cpu())

    def mean(self) -> UpscalingScores:
        psnr_y, ssim_y, psnr_rgb, ssim_rgb, distance = torch.stack(self.rows).mean(dim=0).tolist()
        return UpscalingScores(
            psnr_y=psnr_y, ssim_y=ssim_y, psnr_rgb=psnr_rgb, ssim_rgb=ssim_rgb, feature_distance=distance
        )
