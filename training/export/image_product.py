"""What translators and upscalers have in common: sizes, the receptive field, what the gate compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from training.export.effective import effective_radius
from training.export.exportable import FLOATS, Arrays, Exportable, Product, Run, SizeAxis
from training.export.fold import fold_batch_norms, fold_factors
from training.export.golden import golden_picture
from training.export.image_graph import Colours, ImageGraph
from training.export.onnx_graph import ExportError
from training.export.receptive import receptive_radius
from training.export.tiles import is_exact, tile_error
from training.export.triton_entry import TensorSpec
from training.families.base import Deployable

MAX_BATCH_SIZE = 8
BATCHES = (1, 2, 5, 8)
MAX_SIZE = 1024
"""Longest side of an image that is computed in one piece, unless the family says otherwise."""

_WARMUP_SIDE = 64


def image_product(deployable: Deployable, decode: Colours, encode: Colours, scale: int) -> Product:
    """The Triton model of a network from images to images, with every batch normalisation folded.

    Args:
        deployable: Its card may say `size_multiple` and `min_size`, what the network needs heights and widths
            to be multiples of and how large at least, and `max_size`.
        decode: From UINT8 to what the network sees.
        encode: From what the network makes to UINT8.
        scale: Enlargement.

    Returns:
        One model, which takes any size from the card's `min_size` on.

    Raises:
        ExportError: If the network depends on what else is in the batch, or does not take the sizes that the
            card says it does.
    """
    multiple = int(deployable.card.get("size_multiple", getattr(deployable.network, "size_multiple", 1)))
    least = _least(int(deployable.card.get("min_size", 1)), multiple)
    largest = int(deployable.card.get("max_size", MAX_SIZE))
    side = max(_WARMUP_SIDE, least)
    network = fold_factors(fold_batch_norms(deployable.network))
    _check_sizes(network, scale, multiple, least)
    graph = ImageGraph(network, decode, encode, scale, multiple).eval().requires_grad_(False)

    def draw_cases() -> list[Arrays]:
        rng = np.random.RandomState(0)
        cases: list[Arrays] = []
        for n, (height, width) in zip(BATCHES, odd_sizes(least, multiple), strict=True):
            cases.append({"source": rng.randint(0, 256, (n, height, width, 3), dtype=np.uint8)})
        return cases

    @torch.no_grad()
    def reference(inputs: Arrays) -> Arrays:
        original = ImageGraph(deployable.network, decode, encode, scale, multiple)
        original.with_floats = True
        results = [original(image[None]) for image in torch.from_numpy(inputs["source"])]
        images, floats = (torch.cat(parts).numpy() for parts in zip(*results, strict=True))
        return {"images": images, FLOATS: floats}

    model = Exportable(
        "",
        graph,
        [TensorSpec("source", "TYPE_UINT8", (-1, -1, 3), warmup_dims=(side, side, 3))],
        [TensorSpec("images", "TYPE_UINT8", (-1, -1, 3))],
        MAX_BATCH_SIZE,
        draw_cases,
        reference,
        [SizeAxis(1, "height", least), SizeAxis(2, "width", least)],
    )
    radius = receptive_radius(network, scale, multiple)

    def measure(runs: Sequence[Run], runtime: str) -> dict[str, Any]:
        golden = {"golden": golden_picture(runs[0], multiple, least, runtime)}
        if radius is None:
            return {"tileable": False, **golden}
        seen, reach = radius, {}
        if 4 * radius > largest:  # most of each tile would be computed for its neighbours alone
            seen = effective_radius(runs[0], radius, scale, multiple)
            reach = {"receptive_radius": seen, "reach": radius}
        error = tile_error(runs[0], seen, scale, multiple)
        return {"tileable": is_exact(error), "tile_level_error": error, **reach, **golden}

    card = {
        **deployable.card,
        "scale": scale,
        "size_multiple": multiple,
        "min_size": least,
        "max_size": largest,
        "receptive_radius": radius,
    }
    return Product([model], card, measure)


def odd_sizes(least: int, multiple: int) -> list[tuple[int, int]]:
    """Heights and widths to try: one that fits the network, two that do not, the least that is taken."""
    fits = multiple * -(-max(24, least) // multiple)
    return [(fits, fits), (fits + 1, fits + multiple // 2 + 3), (2 * fits - 1, fits), (least, least + 1)]


@torch.no_grad()
def _check_sizes(network: nn.Module, scale: int, multiple: int, least: int) -> None:
    """Tries two sizes that the network should take."""
    side = multiple * -(-max(24, least) // multiple)
    for height, width in ((side, side + multiple), (side + multiple, side)):
        try:
            shape = tuple(network(torch.zeros(1, 3, height, width)).shape)
        except (RuntimeError, ValueError) as error:
            raise ExportError(
                f"the network refuses {height}×{width} pixels, though its card says that sides may be any "
                f"multiple of {multiple} (`size_multiple`): {error}"
            ) from error
        if shape != (1, 3, height * scale, width * scale):
            raise ExportError(f"the network makes {list(shape)} of {height}×{width} pixels, at scale {scale}")


def _least(network_least: int, multiple: int) -> int:
    """The least side that a graph takes, which lengthens sides to multiples."""
    padded = multiple * -(-network_least // multiple)
    return padded - multiple + 1
