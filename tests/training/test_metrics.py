"""KID against a direct computation and against what it must say of known distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.metrics.features import FEATURE_DIM, EfficientNetLite0
from training.metrics.kid import kid, polynomial_mmd2


def test_mmd_equals_the_sums_of_its_definition():
    x, y = torch.randn(5, 4).double(), torch.randn(7, 4).double() + 1

    def k(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (5 * 4)
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (7 * 6)
    xy = sum(k(a, b) for a in x for b in y) / (5 * 7)
    assert polynomial_mmd2(x, y).item() == pytest.approx(xx + yy - 2 * xy)


def test_kid_is_zero_for_one_distribution_and_grows_with_distance():
    x, y = torch.randn(2, 2000, 16).double()
    same, near, far = (kid(x, y + shift, subsets=20, subset_size=500).mean for shift in (0, 0.3, 1.0))
    assert abs(same) < 0.01
    assert same < near < far


def test_kid_needs_images():
    with pytest.raises(ValueError, match="at least two images"):
        kid(torch.randn(1, 4), torch.randn(5, 4))


def test_features_order_degradations():
    """Blurred noise is further from noise the more it is blurred, whatever its size."""
    network = EfficientNetLite0()
    rng = np.random.RandomState(0)
    base = torch.from_numpy(rng.randint(0, 256, (24, 3, 8, 8), np.uint8).repeat(8, 2).repeat(8, 3))
    reference = network(base[:12]).double()
    assert reference.shape == (12, FEATURE_DIM)
    distances = []
    for width in (1, 9, 25):
        blurred = torch.nn.functional.avg_pool2d(
            base[12:].float(), width, 1, width // 2, count_include_pad=False
        )
        distances.append(polynomial_mmd2(reference, network(blurred.byte()).double()).item())
    assert distances == sorted(distances)
