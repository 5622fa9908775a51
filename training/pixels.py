"""Between UINT8 pixels and the [−1, 1] that networks see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_unit_range(pixels: Tensor) -> Tensor:
    """UINT8 0…255 to float −1…1, any shape."""
    return pixels.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Float −1…1 to UINT8, rounded half to even and clamped, any shape."""
    return (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def image_grid(images: Tensor, columns: int) -> NDArray[np.uint8]:
    """Lays images out in rows.

    Args:
        images: [N, 3, H, W] in [−1, 1].
        columns: Images in a row; a last row that is not full is filled with black.

    Returns:
        UINT8 pixels, [rows·H, columns·W, 3].
    """
    n, c, h, w = images.shape
    rows = -(-n // columns)
    cells = torch.zeros(rows * columns, c, h, w, dtype=torch.uint8)
    cells[:n] = to_uint8(images).cpu()
    grid = cells.view(rows, columns, c, h, w).permute(0, 3, 1, 4, 2)  # [rows, H, columns, W, 3]
    return grid.reshape(rows * h, columns * w, c).numpy()
