"""Image archives: zip files in the layout that NVIDIA's StyleGAN tools write and read.

`00000/img00000000.png` and so on, with `dataset.json` holding `{"labels": [[name, class], …] or null}`.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from training.data.decode import Pixels as Pixels
from training.data.decode import header_size
from training.data.sources import open_source
from training.data.store import ImageStore, SizeCheck
from training.files import atomic_write


def write_archive(
    path: Path, images: Iterable[Pixels], labels: list[int] | None = None, names: Sequence[str] | None = None
) -> int:
    """Writes images to an archive, whole or not at all.

    Args:
        path: The zip file to make.
        images: UINT8 arrays, [H, W, 3].
        labels: A class for each image, in order; may still be filled while the images are made.
        names: What to call each image, without an ending; may still be filled while the images are made. If
            not given they are numbered, as NVIDIA's tools do.

    Returns:
        How many images were written.
    """
    written: list[str] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    # Stored, not deflated: PNG does not shrink again. A fixed date makes equal data equal bytes.
    with atomic_write(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for index, image in enumerate(images):
            stem = f"{index // 1000:05d}/img{index:08d}" if names is None else names[index]
            name = f"{stem}.png"
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            archive.writestr(zipfile.ZipInfo(name), png.getvalue())
            written.append(name)
        rows = None if labels is None else [[n, c] for n, c in zip(written, labels, strict=True)]
        archive.writestr(zipfile.ZipInfo("dataset.json"), json.dumps({"labels": rows}))
    return len(written)


def read_archive(path: Path, resolution: int | None = None) -> Pixels:
    """Reads every image of an archive, or of a folder, into memory.

    Args:
        path: A zip file or a folder.
        resolution: What height and width must be; None takes what the first image has.

    Returns:
        UINT8 pixels, [N, H, W, 3].

    Raises:
        DatasetError: If the file is missing, holds no image, or any that is broken or of another size.
    """
    source = open_source(path)
    if resolution is None:
        with source.open(source.names[0]) as file:
            resolution = (header_size(file) or (None,))[0]
    return ImageStore(source, SizeCheck(resolution), ram_limit=sys.maxsize).stack()
