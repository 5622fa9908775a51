"""The `photos` recipe: sharp tiles of photographs, for super-resolution.

The photographs are desktop backgrounds and the pictures of a children's program in four packages of Debian,
under free licences that differ from one to the next; the record names author and licence of each.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from training.data.archive import Pixels, write_archive
from training.data.photo_benchmark import benchmark_photos
from training.data.photo_sources import SOURCES, Photo, photos
from training.data.photo_tiles import MIN_GRADIENT_LENGTH, SHARP, sharpened, tiles
from training.data.recipe import (
    FileCredit,
    Progress,
    Provenance,
    RecipeError,
    SourceFile,
    start,
    write_provenance,
)
from training.data.splits import held_out

RESOLUTIONS = range(32, 257)
HELD_OUT_EVERY = 10
PIXELS_PER_PHOTO = 64 * 128**2
"""At most so many pixels are taken of one photograph, so that a few large ones do not fill the dataset."""


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train.zip`, `heldout.zip`, `benchmark.zip` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of a tile in pixels, 32 to 256; the benchmark's photographs stay whole.
        progress: Told each step.

    Raises:
        FetchError: If a package cannot be fetched.
        RecipeError: If tiles of this size cannot be cut, or scikit-image is missing.
    """
    if resolution not in RESOLUTIONS:
        raise RecipeError(f"tiles of photos are 32 to 256 pixels wide; got {resolution}")
    benchmark = list(benchmark_photos())
    most = max(1, PIXELS_PER_PHOTO // resolution**2)
    cut: dict[str, list[Pixels]] = {"train": [], "heldout": []}
    credits_: list[FileCredit] = []
    halved = 0
    for photo in photos(cache, progress):
        split = "heldout" if held_out(photo.name, HELD_OUT_EVERY) else "train"
        image, halvings = sharpened(decode(photo), resolution)
        found = tiles(image, resolution, most)
        if found:
            halved += halvings > 0
            cut[split] += found
            credits_.append(_credit(photo, split, len(found)))
    start(out)
    counts = {}
    for split, images in cut.items():
        progress(f"writing {split}.zip")
        counts[split] = write_archive(out / f"{split}.zip", images)
    progress("writing benchmark.zip")
    counts["benchmark"] = write_archive(
        out / "benchmark.zip",
        (np.asarray(decode(photo)) for photo in benchmark),
        names=[photo.name for photo in benchmark],
    )
    credits_ += [_credit(photo, "benchmark", 1) for photo in benchmark]
    write_provenance(
        out,
        Provenance(
            recipe="photos",
            title="Tiles of photographs",
            sources=[SourceFile(name=str(package), sha256=package.sha256) for package in SOURCES],
            licence=" AND ".join(sorted({credit.licence for credit in credits_ if credit.split == "train"})),
            attribution="the photographers named with each file",
            resolution=resolution,
            counts=counts,
            split=f"one photograph in {HELD_OUT_EVERY} is held out; the benchmark is scikit-image's",
            processing=f"{halved} photographs that are soft at full size halved until sharp (finest octave "
            f"under {SHARP:g} grey levels); tiles with a mean gradient of {MIN_GRADIENT_LENGTH:g} or "
            f"more, at most {most} a photograph",
            files=credits_,
        ),
    )


def decode(photo: Photo) -> Image.Image:
    """The photograph as RGB, turned as its EXIF data say."""
    with Image.open(io.BytesIO(photo.data)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _credit(photo: Photo, split: str, images: int) -> FileCredit:
    return FileCredit(
        file=photo.name, licence=photo.licence, attribution=photo.attribution, split=split, images=images
    )
