"""3×3 convolutions with a quarter of the multiplications, for layers of many channels.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4. This is
their F(4×4, 3×3): tiles of 6×6 samples, 4 apart, and the kernels are taken to a basis in which convolving
them is multiplying them sample by sample; over all channels that is a product of matrices for each of the 36
samples. The basis is that of polynomials known by their values at points (Toom and Cook); these points are
close to ±1 and far from each other, which keeps rounding small.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

POINTS = (0.0, 0.75, -0.75, 1.25, -1.25)
TILE = len(POINTS) - 1
"""Height and width of what a tile becomes."""

_WIDE = TILE + 2


def _bases() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Aᵀ [4, 6], G [6, 3] and Bᵀ [6, 6] of the paper; the last row or column is the point at infinity."""
    a, g, b = np.zeros((TILE, _WIDE)), np.zeros((_WIDE, 3)), np.zeros((_WIDE, _WIDE))
    for i, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        a[:, i] = point ** np.arange(TILE)
        g[i] = point ** np.arange(3) / np.prod([point - other for other in others])
        b[i, :-1] = np.poly(others)[::-1]
    a[-1, -1] = g[-1, -1] = 1
    b[-1] = np.poly(POINTS)[::-1]
    return a, g, b


class Winograd(nn.Module):
    """A convolution of 3×3 samples that keeps the size. [N, I, H, W] → [N, O, H, W].

    Args:
        weight: [O, I, 3, 3].
        side: H and W, a multiple of 4.
    """

    weight: Tensor
    kernel: Tensor
    into: Tensor
    out: Tensor

    def __init__(self, weight: Tensor, side: int) -> None:
        super().__init__()
        a, g, b = _bases()
        self.shape = (weight.shape[0], weight.shape[1], side // TILE)
        # The basis makes four numbers of one: runtimes do so when they load a file, which stays small.
        self.register_buffer("weight", weight.detach().flatten(2).permute(2, 0, 1).flatten(1).contiguous())
        for name, array in (("kernel", np.kron(g, g)), ("into", np.kron(b, b)), ("out", np.kron(a, a))):
            self.register_buffer(name, torch.from_numpy(array).float())

    def forward(self, x: Tensor) -> Tensor:
        """Convolves."""
        o, i, tiles = self.shape
        x = F.pad(x, (1, TILE - 1, 1, TILE - 1))
        last = TILE * (tiles - 1) + 1
        x = torch.cat(
            [x[:, :, r : r + last : TILE, c : c + last : TILE] for r in range(_WIDE) for c in range(_WIDE)],
            dim=1,
        )  # [N, 36·I, tiles, tiles]
        x = self.into @ x.reshape(-1, _WIDE**2, i * tiles**2)
        kernels = (self.kernel @ self.weight).reshape(_WIDE**2, o, i)
        x = kernels @ x.reshape(-1, _WIDE**2, i, tiles**2)  # [N, 36, O, tiles²]
        x = self.out @ x.reshape(-1, _WIDE**2, o * tiles**2)  # [N, 16, O · tiles²]
        x = x.reshape(-1, TILE, TILE, o, tiles, tiles).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(-1, o, tiles * TILE, tiles * TILE)
