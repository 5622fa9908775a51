"""Datasets of random pictures in each layout, about as hard to decode as photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.config import Layout
from training.data.archive import write_archive
from training.data.layouts import write_images, write_pairs


def write_dataset(folder: Path, layout: Layout, resolution: int, images: int) -> None:
    """Writes the training split of a dataset.

    Args:
        folder: Where to.
        layout: How it is laid out.
        resolution: Side of an image in pixels.
        images: How many, or how many pairs.
    """
    rng = np.random.default_rng(0)
    a = {f"{i:04d}": _picture(rng, resolution) for i in range(images)}
    if layout == "images":
        write_archive(folder / "train.zip", a.values())
        return
    b = {name: _picture(rng, resolution) for name in a}
    if layout == "paired":
        write_pairs(folder / "train", ((name, a[name], b[name]) for name in a))
    else:
        write_images(folder / "trainA", a.items())
        write_images(folder / "trainB", b.items())


def _picture(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Smooth colours with edges and a little noise, UINT8 [side, side, 3]."""
    smooth = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    pixels = np.asarray(smooth.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    steps = rng.integers(-40, 40, (16, 16, 3)).repeat(-(-side // 16), 0).repeat(-(-side // 16), 1)
    pixels = pixels + steps[:side, :side] + rng.integers(-4, 5, (side, side, 3))
    return pixels.clip(0, 255).astype(np.uint8)
