"""Low-resolution images made from high-resolution ones while training: crop, turn, degrade.

Everything random comes from the generator a sample is given, so a sample is the same whenever it is made.
Sources: bicubic, Ledig et al. (CVPR 2017), section 3.1; blur, noise and JPEG, Wang et al., "Real-ESRGAN"
(ICCV Workshops 2021), sections 3.1 and 3.2, one round of its model.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from training.config import Section
from training.data.datasets import Sample
from training.errors import GantrainError

Pixels = NDArray[np.uint8]
Kernel = Literal["area", "bilinear", "bicubic"]
Range = tuple[float, float]

_FILTERS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
BICUBIC = "bicubic, antialiased (a = −0.5, as Pillow and MATLAB's imresize)"


class DegradeError(GantrainError):
    """Images do not fit the crops asked for."""


class DegradationConfig(Section):
    """How low-resolution images come about; all but `kind` is for `blur-noise-jpeg`."""

    kind: Literal["bicubic", "blur-noise-jpeg"] = Field(
        "bicubic",
        description="Antialiased bicubic, or blur, resizing, noise and JPEG at random (Real-ESRGAN).",
    )
    blur_sigma: Range = Field((0.2, 3.0), description="Standard deviation of the Gaussian blur, in pixels.")
    blur_radius: int = Field(10, ge=1, description="Pixels that the blur reaches.")
    anisotropic_prob: float = Field(0.5, ge=0, le=1, description="Share of blurs that are longer one way.")
    resize: Range = Field((0.15, 1.5), description="Size after the first resizing, relative to the original.")
    kernels: tuple[Kernel, ...] = Field(
        ("area", "bilinear", "bicubic"), min_length=1, description="What resizing draws from."
    )
    poisson_prob: float = Field(0.5, ge=0, le=1, description="Share of images with shot noise, not Gaussian.")
    gaussian_noise: Range = Field((1.0, 30.0), description="Standard deviation of Gaussian noise, of 255.")
    poisson_noise: Range = Field((0.05, 3.0), description="Shot noise, relative to that of 255 photons.")
    grey_noise_prob: float = Field(0.4, ge=0, le=1, description="Share of noise that is grey.")
    jpeg_quality: tuple[int, int] = Field((30, 95), description="Quality of JPEG compression.")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> DegradationConfig:
        for name in ("blur_sigma", "resize", "gaussian_noise", "poisson_noise", "jpeg_quality"):
            low, high = getattr(self, name)
            least = 1 if name == "jpeg_quality" else 0
            if not least <= low <= high or (name in ("blur_sigma", "resize") and low == 0):
                raise ValueError(f"{name} must be two numbers, the smaller first, above {least}")
        if self.jpeg_quality[1] > 95:
            raise ValueError("jpeg_quality reaches up to 95")
        return self

    def describe(self) -> str:
        """The degradation in words, for a model card."""
        if self.kind == "bicubic":
            return BICUBIC
        return (
            f"blur σ {_span(self.blur_sigma)} px, resized ×{_span(self.resize)}, Gaussian noise σ "
            f"{_span(self.gaussian_noise)} or shot noise ×{_span(self.poisson_noise)}, JPEG quality "
            f"{_span(self.jpeg_quality)}, one round, all at random"
        )


@dataclass(frozen=True)
class LowHigh:
    """Turns a sample's image into a pair: `high` UINT8 [crop, crop, 3], `low` UINT8 [crop / s, crop / s, 3].

    Args:
        scale: s.
        crop: Side of the high-resolution crop; a multiple of the scale.
        degradation: How the low-resolution image comes about.
        mirror: Whether half the crops are mirrored left to right.
        rotate: Whether crops are turned by a random multiple of 90°.
        centre: Whether crops are the centre, neither mirrored nor turned, as for pictures of progress.
    """

    scale: int
    crop: int
    degradation: DegradationConfig
    mirror: bool = True
    rotate: bool = True
    centre: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The pair; `rng` is the sample's own.

        Raises:
            DegradeError: If the image is smaller than the crop.
        """
        image = sample["image"]
        h, w = image.shape[:2]
        if min(h, w) < self.crop:
            raise DegradeError(f"an image of {w}×{h} has no crop of {self.crop}²; make data.crop smaller")
        if self.centre:
            y, x = (h - self.crop) // 2, (w - self.crop) // 2
        else:
            y, x = int(rng.integers(h - self.crop + 1)), int(rng.integers(w - self.crop + 1))
        high = image[y : y + self.crop, x : x + self.crop]
        if self.mirror and not self.centre and rng.random() < 0.5:
            high = high[:, ::-1]
        if self.rotate and not self.centre:
            high = np.rot90(high, int(rng.integers(4)))
        high = np.ascontiguousarray(high)
        return {"high": high, "low": degrade(high, self.scale, self.degradation, rng)}


def degrade(high: Pixels, scale: int, config: DegradationConfig, rng: np.random.Generator) -> Pixels:
    """A low-resolution image of a high-resolution one.

    Args:
        high: UINT8 [H, W, 3], H and W multiples of the scale.
        scale: How many times smaller the result is.
        config: How.
        rng: Where random numbers come from; `bicubic` needs none.

    Returns:
        UINT8 [H / scale, W / scale, 3].
    """
    if config.kind == "bicubic":
        return downscale(high, scale)
    h, w = high.shape[:2]
    x = high.astype(np.float32)
    x = blur(x, _blur_kernel(config, rng))
    factor = _log_uniform(config.resize, rng)
    x = _resize(x, max(round(h * factor), 1), max(round(w * factor), 1), _kernel(config, rng))
    x = _add_noise(x, config, rng)
    x = _resize(x, h // scale, w // scale, _kernel(config, rng))
    low, high_quality = config.jpeg_quality
    return jpeg(_to_pixels(x), int(rng.integers(low, high_quality + 1)))


def downscale(pixels: Pixels, scale: int) -> Pixels:
    """Bicubic, antialiased: Keys' kernel with a = −0.5, widened by the scale.

    MATLAB's imresize differs within rounding: Pillow rounds between the two directions, and at borders leaves
    missing pixels out where MATLAB mirrors them.

    Args:
        pixels: UINT8 [H, W, 3], H and W multiples of the scale.
        scale: How many times smaller the result is.

    Returns:
        UINT8 [H / scale, W / scale, 3].
    """
    h, w = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((w // scale, h // scale), Image.Resampling.BICUBIC))


def upscale(pixels: Pixels, scale: int) -> Pixels:
    """Bicubic enlargement, what a network must do better than. UINT8 [H, W, 3] → [scale·H, scale·W, 3]."""
    h, w = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((w * scale, h * scale), Image.Resampling.BICUBIC))


def gaussian_kernel(radius: int, sigma_x: float, sigma_y: float, angle: float) -> NDArray[np.float32]:
    """A Gaussian, longer along one axis than along the other (Real-ESRGAN, equation 2).

    Args:
        radius: Pixels from the centre to the edge.
        sigma_x: Standard deviation along the axis at `angle`, in pixels.
        sigma_y: Standard deviation across it.
        angle: In radians.

    Returns:
        [2·radius + 1, 2·radius + 1], summing to one.
    """
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = -np.sin(angle) * x + np.cos(angle) * y
    kernel = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return np.asarray(kernel / kernel.sum(), np.float32)


def blur(x: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filters each channel; borders are mirrored. Float [H, W, 3] → the same shape."""
    h, w = x.shape[:2]
    radius = kernel.shape[0] // 2
    padded = np.pad(x, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, shape)[:, :, None]
    filtered = np.fft.irfft2(spectrum, shape, axes=(0, 1))
    return filtered[2 * radius : 2 * radius + h, 2 * radius : 2 * radius + w].astype(np.float32)


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """What JPEG leaves of an image. UINT8 [H, W, 3] → the same shape."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _blur_kernel(config: DegradationConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    sigma_x, sigma_y = rng.uniform(*config.blur_sigma, size=2)
    if rng.random() >= config.anisotropic_prob:
        sigma_y = sigma_x
    return gaussian_kernel(config.blur_radius, sigma_x, sigma_y, rng.uniform(-np.pi, np.pi))


def _kernel(config: DegradationConfig, rng: np.random.Generator) -> Kernel:
    return config.kernels[int(rng.integers(len(config.kernels)))]


def _log_uniform(span: Range, rng: np.random.Generator) -> float:
    """Uniform in octaves, so that sizes below and above the original are met alike."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))


def _add_noise(
    x: NDArray[np.float32], config: DegradationConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Gaussian or shot noise, in each channel or the same in all."""
    x = x.clip(0, 255)
    shot = rng.random() < config.poisson_prob
    grey = rng.random() < config.grey_noise_prob
    if shot:
        strength = rng.uniform(*config.poisson_noise)
        light = x.mean(axis=2, keepdims=True) if grey else x  # photons of a pixel whose white is 255 of them
        noise = (rng.poisson(light) - light) * strength
    else:
        sigma = rng.uniform(*config.gaussian_noise)
        noise = sigma * rng.standard_normal((*x.shape[:2], 1 if grey else 3))
    return (x + noise).astype(np.float32)


def _resize(x: NDArray[np.float32], h: int, w: int, kernel: Kernel) -> NDArray[np.float32]:
    """Resizes without rounding to whole grey levels. Float [H, W, 3] → [h, w, 3]."""
    channels = [Image.fromarray(x[:, :, c]).resize((w, h), _FILTERS[kernel]) for c in range(3)]
    return np.stack([np.asarray(c, np.float32) for c in channels], axis=2)


def _to_pixels(x: NDArray[np.float32]) -> Pixels:
    return x.round().clip(0, 255).astype(np.uint8)


def _span(span: tuple[float, float]) -> str:
    return f"{span[0]:g}–{span[1]:g}"
