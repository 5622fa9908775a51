"""How close an image is to the one it should be: L1, PSNR, SSIM; in RGB and in luma.

Images are pixels 0…255, [N, C, H, W], UINT8 or float; results are one FP64 number an image, [N].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PEAK = 255.0
MAX_PSNR = 100.0
"""What stands for equal images, so that means stay finite, dB."""
WINDOW = 11
SIGMA = 1.5


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference, in levels of 0…255."""
    return (x.double() - y.double()).abs().mean(dim=(1, 2, 3))


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, 10 log₁₀(255² / MSE), in dB; at most 100."""
    mse = (x.double() - y.double()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(PEAK**2 / mse)).clamp(max=MAX_PSNR)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity, averaged over channels and over the places where the whole window fits.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004),
    section III.C: Gaussian window 11×11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03.

    Raises:
        ValueError: If the images are smaller than the window.
    """
    if min(x.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW}×{WINDOW} pixels; got {x.shape[3]}×{x.shape[2]}")
    x, y = x.double(), y.double()
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mu_x, mu_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mu_x**2
    var_y = _window_mean(y * y) - mu_y**2
    covariance = _window_mean(x * y) - mu_x * mu_y
    similarity = ((2 * mu_x * mu_y + c1) * (2 * covariance + c2)) / (
        (mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2)
    )
    return similarity.mean(dim=(1, 2, 3))


def luma(rgb: Tensor) -> Tensor:
    """Y of ITU-R BT.601 in studio range 16…235, as super-resolution papers measure it; not rounded.

    Args:
        rgb: [N, 3, H, W].

    Returns:
        [N, 1, H, W] FP64.
    """
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=rgb.device) / 255
    return 16 + (rgb.double() * weights[:, None, None]).sum(dim=1, keepdim=True)


def crop_border(images: Tensor, border: int) -> Tensor:
    """The images without so many pixels on each side."""
    return images[..., border : images.shape[-2] - border, border : images.shape[-1] - border]


def _window_mean(x: Tensor) -> Tensor:
    """Gaussian-weighted means of all windows. [N, C, H, W] → [N, C, H − 10, W − 10]."""
    offset = torch.arange(WINDOW, dtype=torch.float64, device=x.device) - WINDOW // 2
    g = torch.exp(-offset.square() / (2 * SIGMA**2))
    g = g / g.sum()
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, w)
    y = F.conv2d(F.conv2d(x, g.view(1, 1, -1, 1)), g.view(1, 1, 1, -1))
    return y.reshape(n, c, *y.shape[2:])
