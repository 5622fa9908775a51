"""Fréchet Inception Distance.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (NeurIPS 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor


def fid(x: Tensor, y: Tensor) -> float:
    """Distance of the Gaussians that two sets of features have mean and covariance of (equation 6).

    It depends on the number of images, and more so the fewer they are: compare figures of equal numbers only.

    Args:
        x: Features [n, d], n ≥ 2.
        y: Features [m, d], m ≥ 2.

    Returns:
        |μ_x − μ_y|² + Tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½), computed in FP64.

    Raises:
        ValueError: If a set has fewer than two images.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"FID needs at least two images of each set; got {len(x)} and {len(y)}")
    x, y = x.double(), y.double()
    return frechet_distance(x.mean(dim=0), covariance(x), y.mean(dim=0), covariance(y))


def covariance(x: Tensor) -> Tensor:
    """Unbiased covariance of features. [n, d] → [d, d]."""
    centred = x - x.mean(dim=0)
    return centred.t() @ centred / (len(x) - 1)


def frechet_distance(mu_x: Tensor, sigma_x: Tensor, mu_y: Tensor, sigma_y: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians.

    Args:
        mu_x: Mean, [d] FP64.
        sigma_x: Covariance, [d, d] FP64; may be singular, as it is for fewer images than features.
        mu_y: Mean of the other.
        sigma_y: Covariance of the other.

    Returns:
        A number that is never negative.
    """
    # Σ_x Σ_y has the eigenvalues of the symmetric matrix Σ_x^½ Σ_y Σ_x^½, which real arithmetic finds safely:
    # none is negative, but for rounding. The trace of a root is the sum of the roots of the eigenvalues.
    values, vectors = torch.linalg.eigh(sigma_x)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.t()
    trace_of_root = torch.linalg.eigvalsh(root @ sigma_y @ root).clamp(min=0).sqrt().sum()
    difference = (mu_x - mu_y).square().sum()
    return max(0.0, float(difference + sigma_x.trace() + sigma_y.trace() - 2 * trace_of_root))
