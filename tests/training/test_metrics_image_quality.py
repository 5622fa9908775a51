"""PSNR, SSIM and luma against scikit-image; the strongest constant colour against a search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from training.metrics.image_quality import MAX_PSNR, crop_border, l1, luma, psnr, ssim
from training.metrics.translators import best_constant


@pytest.fixture(scope="module")
def photographs():
    """An image with structure, and the same with noise and a shift of colour; [H, W, 3] UINT8."""
    rng = np.random.RandomState(0)
    yy, xx = np.mgrid[:37, :52]
    clean = np.stack([127 + 100 * np.sin(xx / (3 + c)) * np.cos(yy / 5) for c in range(3)], axis=2)
    noisy = clean + rng.normal(0, 15, clean.shape) + [8, -4, 0]
    return clean.astype(np.uint8), noisy.clip(0, 255).astype(np.uint8)


def batch(*images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def test_psnr_is_that_of_scikit_image(photographs):
    x, y = photographs
    measured = psnr(batch(x, y), batch(y, x))
    assert measured.tolist() == pytest.approx([peak_signal_noise_ratio(x, y, data_range=255)] * 2)


def test_ssim_is_that_of_scikit_image(photographs):
    x, y = photographs
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(x, y, channel_axis=2, **settings)
    assert 0.1 < expected < 0.95
    assert ssim(batch(x), batch(y)).item() == pytest.approx(expected, abs=1e-9)
    grey_x, grey_y = luma(batch(x)), luma(batch(y))
    expected = structural_similarity(grey_x[0, 0].numpy(), grey_y[0, 0].numpy(), **settings)
    assert ssim(grey_x, grey_y).item() == pytest.approx(expected, abs=1e-9)


def test_luma_is_that_of_scikit_image(photographs):
    x, _ = photographs
    np.testing.assert_allclose(luma(batch(x))[0, 0].numpy(), rgb2ycbcr(x)[:, :, 0], atol=1e-9)


def test_equal_images_have_a_finite_psnr(photographs):
    x = batch(photographs[0])
    assert psnr(x, x).item() == MAX_PSNR
    assert ssim(x, x).item() == pytest.approx(1)
    assert l1(x, x).item() == 0


def test_l1_is_in_levels():
    assert l1(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.full((1, 3, 4, 4), 7.0)).tolist() == [7]


def test_ssim_needs_its_window():
    with pytest.raises(ValueError, match="11×11"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


def test_borders_are_left_out():
    x = torch.arange(48.0).view(1, 1, 6, 8)
    assert crop_border(x, 2).tolist() == [[[[18, 19, 20, 21], [26, 27, 28, 29]]]]
    assert torch.equal(crop_border(x, 0), x)


def test_no_colour_beats_the_best_constant():
    """Images of very different contrast: the mean of all means is not the best."""
    rng = np.random.RandomState(0)
    flat = np.full((3, 16, 16, 3), 200) + rng.randint(-3, 4, (3, 16, 16, 3))
    rough = rng.randint(0, 256, (3, 16, 16, 3))
    images = batch(*flat.astype(np.uint8), *rough.astype(np.uint8)).double()
    means, variances = images.mean(dim=(2, 3)), images.flatten(2).var(dim=2, unbiased=False).mean(dim=1)
    best = best_constant(means, variances)

    def mean_psnr(colour):
        return float(psnr(images, colour[:, None, None].expand_as(images)).mean())

    assert mean_psnr(best) > mean_psnr(means.mean(dim=0)) + 1
    for channel in range(3):
        for step in (-1, 1):
            other = best.clone()
            other[channel] += step
            assert mean_psnr(other) < mean_psnr(best)
    grid = max(mean_psnr(torch.full((3,), float(level))) for level in range(0, 256, 5))
    assert mean_psnr(best) >= grid
