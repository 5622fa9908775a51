"""Perceptual path length: how evenly images change along straight lines between styles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from training.metrics.feature_distance import FeatureDistance
from training.metrics.sampling import BATCH, Sampler

EPSILON = 1e-4
OUTLIERS = 0.01
"""Share of the shortest and of the longest steps that are left out, as for published figures."""


class PathLength(BaseModel):
    """Perceptual path lengths in w; a smaller one is smoother.

    Attributes:
        full: Of steps anywhere on the lines.
        end: Of steps at the beginnings of the lines, where images of real seeds lie.
        steps: Steps that each figure was made from.
        distance: What the images were compared by.
    """

    full: float
    end: float
    steps: int
    distance: str


def perceptual_path_length(
    sampler: Sampler,
    distance: FeatureDistance,
    steps: int,
    progress: Callable[[int], None] = lambda _: None,
) -> PathLength:
    """Measures a generator.

    Source: Karras et al., "A Style-Based Generator Architecture for GANs" (CVPR 2019), section 4.1: the mean
    of d(g(lerp(w₁, w₂; t)), g(lerp(w₁, w₂; t + ε))) / ε² for ε = 1e-4; "full" draws t from [0, 1), "end"
    takes t = 0. Both images get the same constant noise.

    Args:
        sampler: The generator, with a class for each step.
        distance: d, which is of second order in small changes, as that of LPIPS.
        steps: How many pairs of latents are drawn.
        progress: Told how many steps each batch held.

    Returns:
        Both lengths.
    """
    mapping = sampler.network.mapping
    rng = np.random.RandomState(0)
    z = torch.from_numpy(rng.randn(steps, 2, mapping.z_dim).astype(np.float32))
    t = torch.from_numpy(rng.rand(steps).astype(np.float32))
    lengths: dict[str, list[Tensor]] = {"full": [], "end": []}
    for indices in torch.arange(steps).split(BATCH):
        label = sampler.one_hot(sampler.labels[indices])
        with torch.no_grad():
            w1, w2 = (mapping.ws(z[indices, i].to(sampler.device), label) for i in (0, 1))
            for sampling, at in (("full", t[indices]), ("end", torch.zeros(len(indices)))):
                at = at.to(sampler.device)[:, None, None]
                a, b = (sampler.synthesize(torch.lerp(w1, w2, at + step)) for step in (0.0, EPSILON))
                d = distance(a * 127.5 + 127.5, b * 127.5 + 127.5)
                lengths[sampling].append(d.double().cpu() / EPSILON**2)
        progress(len(indices))
    full, end = (_trimmed_mean(torch.cat(lengths[sampling])) for sampling in ("full", "end"))
    return PathLength(full=full, end=end, steps=steps, distance=distance.name)


def _trimmed_mean(lengths: Tensor) -> float:
    low = lengths.quantile(OUTLIERS, interpolation="lower")
    high = lengths.quantile(1 - OUTLIERS, interpolation="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())
