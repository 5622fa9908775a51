"""Mirroring of samples, which doubles a dataset whose pictures have no handedness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Mirror:
    """Mirrors every image of a sample left to right, or none of them.

    Attributes:
        share: How many of the samples.
    """

    share: float = 0.5

    def __call__(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """The sample or its mirror image; images are UINT8 [H, W, 3], labels stay."""
        if rng.random() >= self.share:
            return sample
        return {name: v[:, ::-1] if isinstance(v, np.ndarray) else v for name, v in sample.items()}
