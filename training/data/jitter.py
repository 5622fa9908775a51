"""Random crops and mirroring of a translation sample.

Source: Isola et al. (CVPR 2017), section 6.2: images of 256 × 256 pixels are enlarged to 286 × 286 and
cropped back at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Jitter:
    """Changes A and B of a sample, by the same random numbers or each by its own.

    Attributes:
        enlarge: Factor by which images are enlarged before they are cropped back; 1 leaves them whole.
        mirror: Whether half of them are mirrored left to right.
        aligned: Whether A and B are a pair, and so must be moved alike.
    """

    enlarge: float
    mirror: bool
    aligned: bool

    def __call__(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """A sample whose `A` and `B`, UINT8 [H, W, 3], keep their sizes."""
        draws_a = rng.random(3)
        draws_b = draws_a if self.aligned else rng.random(3)
        return {**sample, "A": self._move(sample["A"], draws_a), "B": self._move(sample["B"], draws_b)}

    def _move(self, image: NDArray[np.uint8], draws: NDArray[np.float64]) -> NDArray[np.uint8]:
        h, w = image.shape[:2]
        large_h, large_w = round(h * self.enlarge), round(w * self.enlarge)
        if (large_h, large_w) != (h, w):
            large = Image.fromarray(image).resize((large_w, large_h), Image.Resampling.BICUBIC)
            top, left = int(draws[0] * (large_h - h + 1)), int(draws[1] * (large_w - w + 1))
            image = np.asarray(large)[top : top + h, left : left + w]
        return image[:, ::-1] if self.mirror and draws[2] < 0.5 else image
