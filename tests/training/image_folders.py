"""Small images, folders of them, and what a dataset makes of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def noise(n: int = 1, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, height, width, 3), np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def png(side: int = 8, value: int = 0) -> bytes:
    return encoded(Image.new("RGB", (side, side), (value,) * 3))


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pixels(dataset, key="image"):
    return [dataset.sample(i, RNG)[key] for i in range(len(dataset))]
