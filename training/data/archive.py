"""Image archives: zip files in the layout that NVIDIA's StyleGAN tools write and read.

`00000/img00000000.png` and so on, with `dataset.json` holding `{"labels": [[name, class], …] or null}`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from training.errors import GantrainError
from training.files import atomic_write

Pixels = NDArray[np.uint8]


class ArchiveError(GantrainError):
    """An archive cannot be used for training; the message says which file and why."""


def write_archive(path: Path, images: Iterable[Pixels], labels: list[int] | None = None) -> int:
    """Writes images to an archive, whole or not at all.

    Args:
        path: The zip file to make.
        images: UINT8 arrays, [H, W, 3].
        labels: A class for each image, in order.

    Returns:
        How many images were written.
    """
    names: list[str] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    # Stored, not deflated: PNG does not shrink again. A fixed date makes equal data equal bytes.
    with atomic_write(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for index, image in enumerate(images):
            name = f"{index // 1000:05d}/img{index:08d}.png"
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            archive.writestr(zipfile.ZipInfo(name), png.getvalue())
            names.append(name)
        rows = None if labels is None else [[n, c] for n, c in zip(names, labels, strict=True)]
        archive.writestr(zipfile.ZipInfo("dataset.json"), json.dumps({"labels": rows}))
    return len(names)


def read_archive(path: Path, resolution: int | None = None) -> Pixels:
    """Reads every image of an archive into memory.

    Args:
        path: A zip file.
        resolution: What height and width must be; None takes what the first image has.

    Returns:
        UINT8 pixels, [N, H, W, 3].

    Raises:
        ArchiveError: If the file is missing, holds no image, or one that is broken or of another size.
    """
    if not path.exists():
        raise ArchiveError(f"no dataset at {path}; `gantrain prepare` makes one")
    images: list[Pixels] = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in {".png", ".jpg"})
            for name in names:
                image = _decode(archive.read(name), f"{path}:{name}")
                expected = resolution or (images[0].shape[0] if images else image.shape[0])
                if image.shape[:2] != (expected, expected):
                    h, w = image.shape[:2]
                    raise ArchiveError(f"{path}:{name} is {w}×{h}; expected {expected}×{expected}")
                images.append(image)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{path} is not a zip file: {error}") from error
    if not images:
        raise ArchiveError(f"{path} holds no PNG or JPEG")
    return np.stack(images)


def _decode(data: bytes, where: str) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ArchiveError(f"{where} is broken: {error}") from error
