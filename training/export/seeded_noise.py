"""Gaussian noise computed inside a graph from a seed, so that a picture can be asked for again.

ONNX has no random operator that takes its seed as an input. This one is a counter-based generator made of
integer additions, multiplications and remainders, which every runtime computes exactly and alike: a pixel's
noise depends on seed, layer and position only, never on the batch.

Construction: x ↦ (x + c)⁵ mod p is a permutation of the integers below the Mersenne prime p = 2³¹ − 1 (5 does
not divide p − 1), and a few rounds of it make the block cipher MiMC (Albrecht et al., ASIACRYPT 2016). Rows
and columns are enciphered under keys made of the seed and the layer; their sum, raised once more to the fifth
power, gives the 31 bits that the Box–Muller transform turns into a Gaussian number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

P = 2**31 - 1
"""The Mersenne prime; products of two residues stay below 2⁶², inside INT64."""

_Q = 2147483629
"""The prime before P: the residues by both tell any two seeds below 2⁶¹ apart."""

_ROUND_CONSTANTS = (0x243F6A88, 0x085A308D, 0x13198A2E, 0x03707344)  # digits of π, all below p


def _fifth_power(x: Tensor) -> Tensor:
    square = x * x % P
    return square * square % P * x % P


def _encipher(x: Tensor, key: Tensor) -> Tensor:
    for constant in _ROUND_CONSTANTS:
        x = _fifth_power((x + key + constant) % P)
    return x


def seeded_noise(seed: Tensor, resolutions: Sequence[int]) -> list[Tensor]:
    """Standard normal noise for every layer of a network.

    Args:
        seed: [N, 1] INT64, 0 … 2⁶¹.
        resolutions: Height and width of each layer's noise.

    Returns:
        For each layer [N, 1, R, R] FP32; the layers of one seed are independent of each other.
    """
    key = _encipher(seed % P, _encipher(seed % _Q, torch.zeros_like(seed)))  # [N, 1]
    # Rows and columns of all layers are enciphered at once: one number for each, counted from 1.
    total = 2 * sum(resolutions)
    lines = _encipher(torch.arange(1, total + 1, device=seed.device).unsqueeze(0), key)  # [N, total]
    noise = []
    first = 0
    for r in resolutions:
        rows, columns = lines[:, first : first + r], lines[:, first + r : first + 2 * r]
        noise.append(_gaussian(_fifth_power((rows.unsqueeze(2) + columns.unsqueeze(1)) % P)).unsqueeze(1))
        first += 2 * r
    return noise


def _gaussian(x: Tensor) -> Tensor:
    """Box–Muller on 31 bits: the upper 16 choose the radius, the lower 15 the angle."""
    low = x % 32768
    high = (x - low).float()  # a multiple of 2¹⁵ below 2³¹, exact in FP32
    radius = (-2 * torch.log(high / 2**31 + 2**-17)).sqrt()  # the half step keeps the logarithm finite
    angle = (low.float() + 0.5) * (2 * math.pi / 32768)
    return radius * torch.cos(angle)
