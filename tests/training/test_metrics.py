"""Distances of distributions: against direct computations, closed forms and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.metrics import nearest as nearest_module
from training.metrics.fid import fid, frechet_distance
from training.metrics.kid import kid, polynomial_mmd2, subset_size_for
from training.metrics.memorization import memorization
from training.metrics.nearest import kth_nearest_radius, nearest
from training.metrics.precision_recall import precision_recall


class Moments(nn.Module):
    """Six features of an image, for metrics that bring their own network."""

    num_features = 6

    def forward(self, images):
        x = images.double() / 255
        return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)


@pytest.fixture(scope="module")
def two_sets():
    rng = np.random.RandomState(0)
    x = rng.randint(0, 256, (40, 3, 6, 6), np.uint8)
    y = (rng.randint(0, 200, (50, 3, 6, 6)) + rng.randint(0, 50, (50, 3, 1, 1))).astype(np.uint8)
    return torch.from_numpy(x), torch.from_numpy(y)


def test_mmd_equals_the_sums_of_its_definition():
    x, y = torch.randn(5, 4).double(), torch.randn(7, 4).double() + 1

    def k(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (5 * 4)
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (7 * 6)
    xy = sum(k(a, b) for a in x for b in y) / (5 * 7)
    assert polynomial_mmd2(x, y).item() == pytest.approx(xx + yy - 2 * xy)


def test_kid_equals_that_of_torchmetrics(two_sets):
    x, y = two_sets
    from torchmetrics.image.kid import KernelInceptionDistance  # takes seconds to import

    reference = KernelInceptionDistance(feature=Moments(), subsets=1, subset_size=40)
    reference.update(x, real=True)
    reference.update(y[:40], real=False)
    expected = reference.compute()[0].item()
    assert kid(Moments()(x), Moments()(y[:40]), subsets=2).mean == pytest.approx(expected, rel=1e-5)


def test_kid_is_zero_for_one_distribution_and_grows_with_distance():
    x, y = torch.randn(2, 2000, 16).double()
    same, near, far = (kid(x, y + shift, subsets=20, subset_size=500).mean for shift in (0, 0.3, 1.0))
    assert abs(same) < 0.01
    assert same < near < far


def test_kid_needs_images():
    with pytest.raises(ValueError, match="at least two images"):
        kid(torch.randn(1, 4), torch.randn(5, 4))


def test_subsets_of_small_sets_differ():
    assert subset_size_for(2000, 2400) == 1000
    assert subset_size_for(2000, 1363) == 681
    x, y = torch.randn(2, 60, 4).double()
    assert kid(x, y, subset_size=subset_size_for(60, 60)).std > 0


def test_fid_of_gaussians_has_its_closed_form():
    """Covariances that share their eigenvectors: Tr(A + B − 2 √(AB)) = Σ (√a − √b)²."""
    q, _ = torch.linalg.qr(torch.randn(8, 8).double())
    a, b = torch.rand(2, 8).double() + 0.1
    mu = torch.randn(8).double()
    sigma_a, sigma_b = (q * a @ q.t(), q * b @ q.t())
    expected = mu.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(mu, sigma_a, torch.zeros(8).double(), sigma_b) == pytest.approx(expected.item())


def test_fid_equals_that_of_torchmetrics(two_sets):
    x, y = two_sets
    from torchmetrics.image.fid import FrechetInceptionDistance

    reference = FrechetInceptionDistance(feature=Moments()).set_dtype(torch.float64)
    reference.update(x, real=True)
    reference.update(y, real=False)
    assert fid(Moments()(x), Moments()(y)) == pytest.approx(reference.compute().item(), rel=1e-6)


def test_fid_stands_singular_covariances():
    """Fewer images than features: most eigenvalues are zero, and rounding makes some of them negative."""
    x = torch.randn(20, 300).double()
    assert fid(x, x) == pytest.approx(0, abs=1e-5)
    shifted = x + torch.ones(300).double()
    assert fid(x, shifted) == pytest.approx(300, rel=1e-6)


def test_radius_reaches_to_the_kth_neighbour_in_any_block(monkeypatch):
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0], [7.0]]).double()
    assert kth_nearest_radius(x, 2).tolist() == pytest.approx([3, 2, 3, 4, 4])
    points = torch.randn(50, 3).double()
    expected = kth_nearest_radius(points, 3)
    monkeypatch.setattr(nearest_module, "BLOCK", 7)
    torch.testing.assert_close(kth_nearest_radius(points, 3), expected)


def test_precision_and_recall_of_known_sets():
    """Points of a ruler reach 2 to either side, and 3 at its ends."""
    ruler = torch.arange(10.0, dtype=torch.float64)[:, None]
    real = torch.cat([ruler, ruler + 100])
    assert precision_recall(real, real) == (1, 1)
    one_mode = torch.cat([ruler - 0.25, ruler + 0.25])
    assert precision_recall(one_mode, real) == (1, 0.5)
    half_wrong = torch.cat([ruler + 100, ruler - 1000])
    assert precision_recall(half_wrong, real) == (0.5, 0.5)
    just_out = torch.tensor([[-3.1], [-2.9], [12.1], [50.0]]).double()
    assert precision_recall(just_out, real).precision == 0.25


def test_precision_needs_neighbours():
    with pytest.raises(ValueError, match="more than 3 images"):
        precision_recall(torch.randn(3, 2), torch.randn(9, 2))


def test_copies_are_recognised():
    points = torch.randn(900, 8).double()
    training, held_out, new = points[:500], points[500:700], points[700:]
    honest, _, _ = memorization(new, held_out, training)
    assert honest.ratio == pytest.approx(1, abs=0.15)
    assert honest.suspicious < 0.05
    copies, distances, indices = memorization(training[:40] + 1e-3, held_out, training)
    assert copies.ratio < 0.01
    assert copies.suspicious == 1
    assert indices.tolist() == list(range(40))
    assert float(distances.max()) < 0.01


def test_nearest_is_found_across_blocks(monkeypatch):
    monkeypatch.setattr(nearest_module, "BLOCK", 8)
    x, among = torch.randn(20, 3).double(), torch.randn(30, 3).double()
    distances, indices = nearest(x, among)
    all_distances = (x[:, None] - among[None]).norm(dim=2)
    assert torch.equal(indices, all_distances.argmin(dim=1))
    torch.testing.assert_close(distances, all_distances.min(dim=1).values)
