"""Pictures that cost what photographs cost to decode, to compute and to encode, without being anybody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def made_up_photograph(height: int, width: int, seed: int) -> Image.Image:
    """Noise whose amplitude falls with its frequency as in photographs, with edges and a little grain.

    Args:
        height: In pixels.
        width: In pixels.
        seed: Another one, another picture.
    """
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0

    def plane() -> np.ndarray:
        spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**1.2
        pixels = np.fft.irfft2(spectrum, (height, width))
        return (pixels - pixels.mean()) / pixels.std()

    light, shape = plane(), plane()
    light = np.where(shape > 0.4, light * 0.6 + 0.8, light)  # things before a background
    colour = np.stack([plane(), plane(), plane()], -1) * 0.3
    pixels = 118 + 45 * (light[..., None] + colour) + rng.standard_normal((height, width, 3)) * 1.5
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_photographs(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Writes JPEG files as cameras do.

    Args:
        folder: Which is made.
        count: How many.
        height: In pixels.
        width: In pixels.

    Returns:
        The files.
    """
    folder.mkdir(parents=True)
    paths = [folder / f"photo-{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        made_up_photograph(height, width, number).save(path, quality=90)
    return paths
