"""How far a pixel's influence is seen in what a network makes, where its reach is much further."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training.export.exportable import Run
from training.export.golden import source_picture
from training.export.parity import MAX_LEVEL_ERROR

MARGIN = 1.25
"""What is added to the distance that was found, as other pictures may be seen a little further."""

_GRAIN = 8
_LENGTH = 256
_THICKNESS = 64


def effective_radius(run: Run, reach: int, scale: int, multiple: int) -> int:
    """The distance from a cut beyond which an image's other side is not seen any more.

    Deep networks reach hundreds of pixels by their layers, but influence fades long before that. A picture
    and noise are computed whole and cut in half, the one along its width, the other along its height; the
    distance is where the two differ by a level of 255 at most.

    Args:
        run: The exported graph.
        reach: The receptive radius, which is never exceeded.
        scale: Enlargement.
        multiple: What the network needs heights and widths to be multiples of.

    Returns:
        In input pixels, a margin included.
    """
    length = math.ceil(_LENGTH / multiple) * multiple
    thickness = math.ceil(_THICKNESS / multiple) * multiple
    cut = math.ceil(length / 2 / multiple) * multiple
    noise = np.random.RandomState(0).randint(0, 256, (thickness, length, 3), dtype=np.uint8)
    furthest = 0
    for strip, axis in ((source_picture(thickness, length), 1), (noise.transpose(1, 0, 2), 0)):
        whole = _computed(run, strip)
        part = _computed(run, strip[:, cut:] if axis == 1 else strip[cut:])
        rest = whole[:, cut * scale :] if axis == 1 else whole[cut * scale :]
        far = np.abs(rest.astype(np.int16) - part).max(axis=(1 - axis, 2)) > MAX_LEVEL_ERROR
        seen = np.flatnonzero(far)
        furthest = max(furthest, 0 if len(seen) == 0 else int(seen[-1]) // scale + 1)
    return min(reach, _GRAIN * math.ceil(MARGIN * furthest / _GRAIN))


def _computed(run: Run, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = run({"source": np.ascontiguousarray(image)[None]})["images"][0]
    return made
