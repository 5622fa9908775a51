"""The `fluent-emoji` recipe: Microsoft's three-dimensional Fluent emoji, up to 256×256."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from training.data.archive import write_archive
from training.data.compositing import on_white
from training.data.emoji_sequences import concept, distinct
from training.data.packages import npm_members
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import Package, fetch_package
from training.data.splits import held_out

SOURCE = Package(
    registry="npm",
    name="@lobehub/fluent-emoji-3d",
    version="1.1.0",
    sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)
NATIVE = 256
HELD_OUT_EVERY = 8
FLAGS = ("1f1e", "1f1f")
"""Prefixes of the flags of countries: flat rectangles among solid things."""


def wanted(name: str) -> bool:
    """Whether a member of the package is a picture to learn from."""
    return name.startswith("assets/") and name.endswith(".webp") and not Path(name).name.startswith(FLAGS)


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train.zip`, `heldout.zip` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of an image in pixels, at most 256.
        progress: Told each step.

    Raises:
        FetchError: If the package cannot be fetched.
        RecipeError: If the resolution is beyond what was drawn.
    """
    if not 16 <= resolution <= NATIVE:
        raise RecipeError(f"fluent-emoji pictures are 16 to {NATIVE} pixels wide; got {resolution}")
    progress(f"fetching {SOURCE}")
    package = fetch_package(SOURCE, cache)
    progress("reading the pictures")
    start(out)
    pictures = distinct(sorted((Path(name).stem, data) for name, data in npm_members(package, wanted)))
    counts = {}
    for split in ("train", "heldout"):
        progress(f"writing {split}.zip")
        names = [n for n in pictures if held_out(concept(n), HELD_OUT_EVERY) == (split == "heldout")]
        images = (on_white(Image.open(io.BytesIO(pictures[name])), resolution) for name in names)
        counts[split] = write_archive(out / f"{split}.zip", images)
    write_provenance(
        out,
        Provenance(
            recipe="fluent-emoji",
            title="Three-dimensional Fluent emoji",
            sources=[SourceFile(name=str(SOURCE), sha256=SOURCE.sha256)],
            licence="MIT",
            attribution="Fluent Emoji, © Microsoft Corporation; packaged by LobeHub",
            resolution=resolution,
            counts=counts,
            split=f"one concept in {HELD_OUT_EVERY} is held out, in every skin tone and gender",
            processing="flags of countries left out, composited on white"
            + ("" if resolution == NATIVE else f", {NATIVE} to {resolution} pixels with a Lanczos filter"),
        ),
    )
