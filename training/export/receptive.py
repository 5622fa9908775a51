"""How far a pixel's influence reaches in a network from images to images."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

MAX_RADIUS = 512
"""Pixels; what reaches further is said to reach everywhere."""

_GROUPS = 8
_COLOUR = 0.25  # any


def receptive_radius(network: nn.Module, scale: int, multiple: int) -> int | None:
    """The least r such that an input pixel changes no output pixel further than r away.

    A pixel that is not a number makes everything that is computed from it not a number either, whatever the
    weights, so one pass through the network shows its reach. A strip of the image along each axis is enough.
    Where the reach depends on a pixel's place within many, neighbours are tried together, which can only
    enlarge r.

    Args:
        network: In evaluation mode; [N, 3, H, W] → [N, 3, scale·H, scale·W].
        scale: Enlargement; the output pixel y lies at the input pixel ⌊y / scale⌋.
        multiple: What the network needs heights and widths to be multiples of; a pixel's reach depends on its
            place within that.

    Returns:
        r in input pixels, by Chebyshev distance; None if a pixel reaches everywhere, or beyond `MAX_RADIUS`.
    """
    # In FP64 convolutions are plain sums of products, which spread nothing beyond their windows.
    network = copy.deepcopy(network).double().eval()
    thickness = _thickness(network, multiple)
    reaches = [_reach(network, scale, multiple, thickness, transposed) for transposed in (False, True)]
    return max(reaches) if max(reaches) < MAX_RADIUS else None


@torch.no_grad()
def _reach(network: nn.Module, scale: int, multiple: int, thickness: int, transposed: bool) -> int:
    group = max(1, multiple // _GROUPS)
    # A period of pixels in the middle, and at least `MAX_RADIUS` of them on either side.
    margin = math.ceil(MAX_RADIUS / multiple) * multiple
    reach = 0
    for first in range(margin, margin + multiple, group):
        strip = torch.full((1, 3, thickness, 2 * margin + multiple), _COLOUR, dtype=torch.float64)
        strip[:, :, thickness // 2, first : first + group] = math.nan
        out: Tensor = network(strip.transpose(2, 3)).transpose(2, 3) if transposed else network(strip)
        columns = torch.nonzero(out.isnan().any(dim=2).any(dim=1)[0]).flatten() // scale
        if len(columns):
            reach = max(reach, first + group - 1 - int(columns[0]), int(columns[-1]) - first)
        if reach >= MAX_RADIUS:
            break
    return reach


@torch.no_grad()
def _thickness(network: nn.Module, multiple: int) -> int:
    """The least thickness of a strip that the network takes; reflections need some pixels to reflect."""
    thickness = multiple
    while True:
        length = max(thickness, multiple * math.ceil(32 / multiple))
        try:
            network(torch.full((1, 3, thickness, length), _COLOUR, dtype=torch.float64))
        except (RuntimeError, ValueError):
            if thickness >= MAX_RADIUS:
                raise
            thickness *= 2
        else:
            return thickness
