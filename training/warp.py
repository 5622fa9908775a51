"""Affine warps of images without aliasing, differentiable as often as wanted.

Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020), appendix
B.2: reflected borders, twofold supersampling with the low-pass filter of the sym6 wavelet, bilinear lookup.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filter of the wavelet symlet 6, whose twofold up- and downsampling undo each other exactly."""
CENTRE = sum(k * f for k, f in enumerate(SYM6)) / sum(SYM6)
"""Where the filter has its centre: pixel i lies at 2i + CENTRE among the supersampled ones."""
PAD = 4
"""Pixels of reflected border, so that every sample that is looked up was made from whole filters."""


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Moves the pixels of images; what comes in from outside is their reflection.

    Args:
        images: [N, C, H, W], FP32, at least 8 pixels high and wide.
        inverse: Where each pixel of the result comes from, [N, 3, 3] on homogeneous (x, y, 1) in pixels from
            the centre of the image.

    Returns:
        [N, C, H, W].
    """
    n, c, h, w = images.shape
    fine = _upsample(F.pad(images, (PAD, PAD, PAD, PAD), mode="reflect").flatten(0, 1).unsqueeze(1))
    fine = fine.view(n, c, *fine.shape[2:])

    # Positions of the supersampled result, in pixels from the centre, and of where they come from.
    y = (torch.arange(2 * h + 10, device=images.device) - CENTRE - (h - 1)) / 2
    x = (torch.arange(2 * w + 10, device=images.device) - CENTRE - (w - 1)) / 2
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    target = torch.stack([xx.flatten(), yy.flatten(), torch.ones_like(xx).flatten()])  # [3, P]
    source = inverse[:, :2] @ target  # [N, 2, P]
    size = torch.tensor([[w - 1], [h - 1]], device=images.device)
    position = _reflect(source + size / 2, size)
    index = 2 * (position + PAD) + CENTRE  # in `fine`
    extent = torch.tensor([[fine.shape[3] - 1], [fine.shape[2] - 1]], device=images.device)
    grid = (index / extent * 2 - 1).transpose(1, 2).reshape(n, *xx.shape, 2)

    moved: Tensor = _Lookup.apply(fine, grid)  # type: ignore[no-untyped-call]
    return _downsample(moved.flatten(0, 1).unsqueeze(1)).view(n, c, h, w)


def _reflect(position: Tensor, size: Tensor) -> Tensor:
    """Folds positions into 0 … size, back and forth."""
    folded = position.remainder(2 * size)
    return torch.minimum(folded, 2 * size - folded)


def _upsample(x: Tensor) -> Tensor:
    """[M, 1, H, W] → [M, 1, 2H+10, 2W+10], one axis after the other."""
    f = torch.tensor(SYM6, device=x.device) * 2**0.5
    x = F.conv_transpose2d(x, f.view(1, 1, -1, 1), stride=(2, 1))
    return F.conv_transpose2d(x, f.view(1, 1, 1, -1), stride=(1, 2))


def _downsample(x: Tensor) -> Tensor:
    """[M, 1, 2H+10, 2W+10] → [M, 1, H, W]."""
    f = torch.tensor(SYM6, device=x.device) / 2**0.5
    x = F.conv2d(x, f.view(1, 1, -1, 1), stride=(2, 1))
    return F.conv2d(x, f.view(1, 1, 1, -1), stride=(1, 2))


class _Lookup(torch.autograd.Function):
    """Bilinear lookup, whose gradient can be differentiated again, which that of `grid_sample` often cannot.

    It is linear in x, so its gradient is the transposed map, and the gradient of that is the map itself.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        """X [N, C, H, W] at grid [N, h, w, 2] in [−1, 1] → [N, C, h, w]."""
        ctx.save_for_backward(grid)
        ctx.size = x.shape[2:]
        return F.grid_sample(x, grid, align_corners=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The gradient for x alone."""
        (grid,) = ctx.saved_tensors
        return _Spread.apply(grads[0], grid, ctx.size), None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The transpose of `_Lookup`: adds values up where they would be looked up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, size: tuple[int, int]) -> Tensor:
        """Values [N, C, h, w] and grid [N, h, w, 2] → [N, C, *size]."""
        ctx.save_for_backward(grid)
        like = values.new_empty(*values.shape[:2], *size)
        bilinear, zeros, align_corners = 0, 0, True
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            values.contiguous(), like, grid, bilinear, zeros, align_corners, [True, False]
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The gradient for the values alone."""
        (grid,) = ctx.saved_tensors
        return _Lookup.apply(grads[0], grid), None, None  # type: ignore[no-untyped-call]
