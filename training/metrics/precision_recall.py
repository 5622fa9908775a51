"""Improved precision and recall (Kynkäänniemi et al., NeurIPS 2019, section 2)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from training.metrics.nearest import kth_nearest_radius, share_inside

K = 3
"""Neighbours whose distance is the radius of a ball; the paper's choice."""


class PrecisionRecall(NamedTuple):
    """Share of generated images that could be real ones, and of real ones that could be generated."""

    precision: float
    recall: float


def precision_recall(generated: Tensor, real: Tensor, k: int = K) -> PrecisionRecall:
    """Measures how far the manifolds of two sets of features cover each other.

    A manifold is the union of balls around its features, each reaching to the k-th nearest of the others.

    Args:
        generated: Features [n, d].
        real: Features [m, d]; the paper takes n = m.
        k: Which neighbour a ball reaches to.

    Returns:
        Precision: the share of generated features in the manifold of real ones. Recall: the reverse.

    Raises:
        ValueError: If a set has no k + 1 images.
    """
    if min(len(generated), len(real)) <= k:
        raise ValueError(f"precision needs more than {k} images; got {len(generated)} and {len(real)}")
    return PrecisionRecall(
        precision=share_inside(generated, real, kth_nearest_radius(real, k)),
        recall=share_inside(real, generated, kth_nearest_radius(generated, k)),
    )
