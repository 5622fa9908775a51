"""Low-resolution images are made as said, the same whenever they are made."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from training.config_files import parse_config
from training.data.degrade import (
    DegradationConfig,
    DegradeError,
    LowHigh,
    blur,
    degrade,
    downscale,
    gaussian_kernel,
    jpeg,
    upscale,
)
from training.errors import ConfigError

REAL = DegradationConfig(kind="blur-noise-jpeg")


@pytest.fixture
def image():
    """Smooth shapes, as photographs have."""
    yy, xx = np.mgrid[:48, :64] / 10
    channels = [np.sin(yy + i) * np.cos(xx * (1 + i / 3)) for i in range(3)]
    return ((np.stack(channels, axis=2) + 1) * 127).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("config", [DegradationConfig(), REAL])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_sample_depends_on_its_own_random_numbers_alone(image, config, scale):
    transform = LowHigh(scale, 24, config)
    torch.manual_seed(1)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = transform({"image": image}, rng(5))
    assert np.array_equal(np.random.get_state()[1], state)  # nothing global is used
    np.random.seed(2)
    again = pickle.loads(pickle.dumps(transform))({"image": image.copy()}, rng(5))
    assert all(np.array_equal(first[k], again[k]) for k in ("high", "low"))
    assert first["high"].shape == (24, 24, 3)
    assert first["low"].shape == (24 // scale, 24 // scale, 3)
    assert first["high"].dtype == first["low"].dtype == np.uint8
    assert first["high"].flags.c_contiguous
    other = transform({"image": image}, rng(6))
    assert not np.array_equal(first["high"], other["high"])


def test_crops_are_turned_and_mirrored_and_lie_anywhere(image):
    transform = LowHigh(4, 16, DegradationConfig())
    numbered = np.arange(20 * 20, dtype=np.int64).reshape(20, 20)
    coded = np.stack([numbered % 256, numbered // 256, numbered * 0], axis=2).astype(np.uint8)
    seen = set()
    for seed in range(200):
        high = transform({"image": coded}, rng(seed))["high"].astype(int)
        numbers = high[:, :, 0] + 256 * high[:, :, 1]
        seen.add((numbers.min(), numbers[0, 1] - numbers[0, 0], numbers[1, 0] - numbers[0, 0]))
    assert {corner for corner, _, _ in seen} == {20 * y + x for y in range(5) for x in range(5)}
    steps = {(right, down) for _, right, down in seen}
    assert steps == {(1, 20), (-1, 20), (1, -20), (-1, -20), (20, 1), (-20, 1), (20, -1), (-20, -1)}


def test_the_centre_is_shown_as_it_is(image):
    sample = LowHigh(4, 16, DegradationConfig(), centre=True)({"image": image}, rng())
    assert np.array_equal(sample["high"], image[16:32, 24:40])
    assert np.array_equal(sample["low"], downscale(image[16:32, 24:40], 4))


def test_crops_larger_than_the_image_are_refused(image):
    with pytest.raises(DegradeError, match=r"64×48 has no crop of 52²; make data\.crop smaller"):
        LowHigh(4, 52, DegradationConfig())({"image": image}, rng())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_antialiased_and_agrees_with_pytorch(image, scale):
    h, w = 48 // scale * scale, 60 // scale * scale
    cut = image[:h, :w]
    x = torch.from_numpy(cut).permute(2, 0, 1)[None].float()
    for mine, size in (
        (downscale(cut, scale), (h // scale, w // scale)),
        (upscale(cut, scale), (h * scale, w * scale)),
    ):
        theirs = F.interpolate(x, size, mode="bicubic", antialias=True)[0].permute(1, 2, 0)
        assert np.abs(mine - theirs.clamp(0, 255).numpy()).max() < 1.5  # it rounds twice
    stripes = np.zeros((8 * scale, 8 * scale, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: grey if antialiased
    assert np.abs(downscale(stripes, scale)[2:-2, 2:-2].astype(int) - 128).max() < 40


def test_kernels_blur_along_their_axis():
    kernel = gaussian_kernel(10, 3.0, 1.0, np.pi / 2)  # along the columns
    assert kernel.sum() == pytest.approx(1)
    y, x = np.mgrid[-10:11, -10:11]
    assert np.sqrt((kernel * y**2).sum()) == pytest.approx(3, rel=0.02)
    assert np.sqrt((kernel * x**2).sum()) == pytest.approx(1, rel=0.02)


def test_blur_is_a_convolution_with_mirrored_borders(image):
    kernel = gaussian_kernel(4, 2.0, 1.0, 0.7)
    filtered = blur(image.astype(np.float32), kernel)
    y, x = 20, 30
    patch = image[y - 4 : y + 5, x - 4 : x + 5].astype(np.float64)
    np.testing.assert_allclose(filtered[y, x], (patch * kernel[::-1, ::-1, None]).sum((0, 1)), atol=1e-2)
    flat = np.full((12, 9, 3), 200, np.float32)
    np.testing.assert_allclose(blur(flat, kernel), flat, atol=1e-2)


def test_what_each_setting_does(image):
    clean = {
        "kind": "blur-noise-jpeg", "blur_sigma": (0.01, 0.01), "resize": (1, 1), "kernels": ("bicubic",),
        "poisson_prob": 0, "gaussian_noise": (0, 0), "jpeg_quality": (95, 95),
    }  # fmt: skip

    grey = image[:, :, :1].repeat(3, axis=2)  # JPEG halves the resolution of colours

    def error(**changes):
        config = DegradationConfig.model_validate({**clean, **changes})
        low = downscale(grey, 4).astype(float)
        return np.mean([np.abs(degrade(grey, 4, config, rng(seed)) - low).mean() for seed in range(6)])

    least = error()
    assert least < 3  # JPEG alone
    assert error(blur_sigma=(6, 6)) > least + 3
    assert error(resize=(0.1, 0.1)) > least + 3
    assert error(gaussian_noise=(60, 60)) > least + 5
    assert error(poisson_prob=1, poisson_noise=(5, 5)) > least + 5
    assert error(jpeg_quality=(1, 1)) > least + 5


def test_noise_may_be_grey():
    flat = np.full((64, 64, 3), 128, np.uint8)
    settings = {"kind": "blur-noise-jpeg", "resize": (1, 1), "kernels": ("area",), "jpeg_quality": (95, 95)}
    for kind in (
        {"poisson_prob": 0, "gaussian_noise": (25, 25)},
        {"poisson_prob": 1, "poisson_noise": (3, 3)},
    ):
        for prob, colourful in ((1, False), (0, True)):
            config = DegradationConfig.model_validate({**settings, **kind, "grey_noise_prob": prob})
            low = degrade(flat, 2, config, rng()).astype(float)
            assert low.std() > 4
            assert bool(np.ptp(low, axis=2).mean() > 4) is colourful


def test_extremes_stay_within_bounds():
    white = np.full((24, 24, 3), 255, np.uint8)
    for seed in range(10):
        for pixels in (white, white * 0):
            low = degrade(pixels, 4, REAL, rng(seed))
            assert low.shape == (6, 6, 3)
            assert np.abs(low.astype(int) - pixels[0, 0, 0]).mean() < 80


def test_jpeg_quality_is_heeded(image):
    errors = [np.abs(jpeg(image, q).astype(int) - image).mean() for q in (5, 50, 95)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resize": (2, 1)},
        {"jpeg_quality": (0, 90)},
        {"blur_sigma": (0, 1)},
        {"kernels": ()},
        {"jpeg_quality": (50, 99)},
    ],
)
def test_ranges_are_checked(wrong):
    with pytest.raises(ValidationError):
        DegradationConfig.model_validate(wrong)


def test_a_wrong_range_is_reported_in_a_sentence():
    with pytest.raises(ConfigError, match="resize must be two numbers, the smaller first"):
        parse_config(
            {
                "name": "x", "title": "x", "family": "srgan", "data": {"recipe": "photos", "resolution": 128},
                "degradation": {"resize": [2, 1]}, "optimization": {"kimg": 1},
            }
        )  # fmt: skip


def test_degradations_are_told_in_words():
    assert "antialiased" in DegradationConfig().describe()
    assert "JPEG quality 30–95" in REAL.describe()
