"""3×3 convolutions with a quarter of the multiplications, for layers of many channels.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4. This is
their F(4×4, 3×3): tiles of 6×6 samples, 4 apart, and the kernels are taken to a basis in which convolving
them is multiplying them sample by sample; over all channels that is a product of matrices for each of the 36
samples. The basis is that of polynomials known by their values at points (Toom and Cook); these points are
close to ±1 and far from each other, which keeps rounding small.

Channels are the last axis here, so that tiles are cut out and put together by copying whole pixels. A layer
that doubles the size, by a transposed convolution and a filter, is four convolutions of 3×3 at the lower
resolution, one for each pixel of a square; they share their tiles.
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


def _doubling() -> NDArray[np.float64]:
    """Taps of the convolutions that make even and odd samples, from those of the transposed one: [2, 3, 3].

    In one dimension; both are sums of a 1-3-3-1 filter's and a kernel's taps that meet in a sample.
    """
    doubling = np.zeros((2, 3, 3))
    for tap in range(3):
        both = np.zeros(6)
        both[tap : tap + 4] = np.array([1, 3, 3, 1]) / 4
        for odd in range(2):
            doubling[odd, :, tap] = both[[4 + odd, 2 + odd, odd]]
    return doubling


class Winograd(nn.Module):
    """A convolution of 3×3 samples that keeps the size, or doubles it. [N, H, W, I] → [N, H·s, W·s, O].

    Args:
        weight: [O, I, 3, 3].
        side: H and W, a multiple of 4.
        up: Whether s is 2: a transposed convolution of stride 2, behind which a 1-3-3-1 filter cuts the edge.
    """

    weight: Tensor
    kernel: Tensor
    into: Tensor
    out: Tensor
    tiles: Tensor
    pixels: Tensor

    def __init__(self, weight: Tensor, side: int, *, up: bool = False) -> None:
        super().__init__()
        a, g, b = _bases()
        g = g @ _doubling() if up else g[None]  # [s, 6, 3]
        kernel = np.einsum("pia,qjb->ijpqab", g, g).reshape(-1, 9)  # [36 · s², 9]
        self.outputs, self.inputs = weight.shape[:2]
        self.scale = 2 if up else 1
        self.side = side * self.scale
        self.tiles_of_image = (side // TILE) ** 2
        # Products of matrices are fastest whose narrower side is the kernels'.
        self.kernels_first = self.tiles_of_image < self.scale**2 * self.outputs
        order = (2, 0, 1) if self.kernels_first else (2, 1, 0)
        # The basis makes four numbers of one, or sixteen: runtimes do so when they load a file, which stays
        # small.
        self.register_buffer("weight", weight.detach().flatten(2).permute(order).flatten(1).contiguous())
        for name, array in (("kernel", kernel), ("into", np.kron(b, b)), ("out", np.kron(a, a))):
            self.register_buffer(name, torch.from_numpy(array).float())
        self.register_buffer("tiles", torch.from_numpy(_tiles(side)))
        self.register_buffer("pixels", torch.from_numpy(_pixels(side, self.scale, self.kernels_first)))

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Convolves.

        Args:
            x: [N, H, W, I].
            scale: [N, I, O], what the weights of each sample are multiplied by; with it, `kernels_first` must
                be false.
        """
        squares, tiles = self.scale**2, self.tiles_of_image
        x = F.pad(x, (0, 0, 1, 1, 1, 1)).flatten(1, 2).index_select(1, self.tiles)
        x = self.into @ x.reshape(-1, _WIDE**2, tiles * self.inputs)
        x = x.reshape(-1, _WIDE**2, tiles, self.inputs)
        kernels = self.kernel @ self.weight
        if self.kernels_first:
            kernels = kernels.reshape(_WIDE**2, squares * self.outputs, self.inputs)
            x = kernels @ x.transpose(2, 3)  # [N, 36, s² · O, tiles]
            x = self.out @ x.reshape(-1, _WIDE**2, squares * self.outputs * tiles)
            x = x.reshape(-1, TILE**2 * squares, self.outputs, tiles).transpose(2, 3)
        else:
            kernels = kernels.reshape(_WIDE**2, squares, self.inputs, self.outputs).transpose(1, 2)
            if scale is not None:
                kernels = kernels * scale[:, None, :, None]
            x = x @ kernels.flatten(-2)  # [N, 36, tiles, s² · O]
            x = self.out @ x.reshape(-1, _WIDE**2, tiles * squares * self.outputs)
        x = x.reshape(-1, self.side**2, self.outputs).index_select(1, self.pixels)
        return x.reshape(-1, self.side, self.side, self.outputs)


def _tiles(side: int) -> NDArray[np.int64]:
    """Where the samples of all tiles are in an image with an edge of one sample around it."""
    starts = np.arange(0, side, TILE)
    lines = np.arange(_WIDE)[:, None] + starts  # [6, side / 4]
    places: NDArray[np.int64] = lines[:, None, :, None] * (side + 2) + lines[None, :, None, :]
    return places.reshape(-1)


def _pixels(side: int, scale: int, kernels_first: bool) -> NDArray[np.int64]:
    """Where each pixel of the result is among the samples of all tiles."""
    y, x = np.mgrid[: side * scale, : side * scale]
    square = y % scale * scale + x % scale
    y, x = y // scale, x // scale
    sample, tile = y % TILE * TILE + x % TILE, y // TILE * (side // TILE) + x // TILE
    tiles = (side // TILE) ** 2
    if kernels_first:
        places = (sample * scale**2 + square) * tiles + tile
    else:
        places = (sample * tiles + tile) * scale**2 + square
    return np.asarray(places.reshape(-1), np.int64)
