"""Whether an image may be computed tile by tile."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.export.exportable import Run
from training.export.parity import MAX_LEVEL_ERROR

_CORE = 16
_THICKNESS = 24


def tile_error(run: Run, radius: int, scale: int, multiple: int) -> int:
    """How far what a tile gives is from what the whole image gives there.

    Compared is the inside of a tile of random pixels, without the `radius` pixels at its borders. Tiles begin
    at multiples of what the network asks for.

    Args:
        run: The exported graph.
        radius: The receptive radius.
        scale: Enlargement.
        multiple: What the network needs heights and widths to be multiples of.

    Returns:
        The largest difference along both axes, in levels of 255.
    """
    overlap = math.ceil(radius / multiple) * multiple
    core = math.ceil(_CORE / multiple) * multiple
    thickness = math.ceil(_THICKNESS / multiple) * multiple
    start, stop = core, core + 2 * overlap + core  # of the tile
    rng = np.random.RandomState(0)
    worst = 0
    for transposed in (False, True):
        strip = rng.randint(0, 256, (1, thickness, stop + core, 3), dtype=np.uint8)

        whole = _along(run, strip, transposed)[:, :, (start + overlap) * scale : (stop - overlap) * scale]
        tile = _along(run, strip[:, :, start:stop], transposed)
        inside = tile[:, :, overlap * scale : (overlap + core) * scale]
        worst = max(worst, int(np.abs(whole - inside).max()))
    return worst


def _along(run: Run, strip: NDArray[np.uint8], transposed: bool) -> NDArray[np.int64]:
    """What the graph makes of a strip that lies along the second axis, or along the first."""
    axes = (0, 2, 1, 3) if transposed else (0, 1, 2, 3)
    images = run({"source": np.ascontiguousarray(strip.transpose(axes))})["images"]
    return images.astype(np.int64).transpose(axes)


def is_exact(error: int) -> bool:
    """Whether tiles with this error fit together: a level may differ, as sums are rounded otherwise."""
    return error <= MAX_LEVEL_ERROR
