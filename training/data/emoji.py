"""The `emoji` recipe: Google's Noto emoji, 64×64, with their categories as classes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from training.data.archive import write_archive
from training.data.compositing import on_white
from training.data.emoji_sequences import concept, distinct
from training.data.packages import PackageError, npm_members
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import Package, fetch_package
from training.data.splits import held_out

SOURCE = Package(
    registry="npm",
    name="emoji-datasource-google",
    version="16.0.0",
    sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)
IMAGES = "img/google/64/"
RESOLUTIONS = (32, 64)
HELD_OUT_EVERY = 8
LEFT_OUT = "Component"
"""The category of the five bare skin tones; too few to be a class."""


def categories(table: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Reads the package's `emoji.json`.

    Args:
        table: An object per emoji with `image`, `unified`, `category` and perhaps `skin_variations`.

    Returns:
        Category and concept by the file name of the image, in the order of the table.
    """
    found: dict[str, tuple[str, str]] = {}
    for emoji in table:
        if emoji["category"] == LEFT_OUT:
            continue
        for image in (emoji, *emoji.get("skin_variations", {}).values()):
            found[image["image"]] = (emoji["category"], concept(image["unified"]))
    return found


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train.zip`, `heldout.zip` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: 64, or 32 for a halved picture.
        progress: Told each step.

    Raises:
        FetchError: If the package cannot be fetched.
        RecipeError: If the resolution is another.
    """
    if resolution not in RESOLUTIONS:
        raise RecipeError(f"emoji are drawn at 64 pixels: the resolution is 32 or 64, not {resolution}")
    progress(f"fetching {SOURCE}")
    package = fetch_package(SOURCE, cache)
    progress("reading the pictures")
    start(out)
    files = dict(npm_members(package, lambda name: name == "emoji.json" or name.startswith(IMAGES)))
    table = categories(json.loads(files["emoji.json"]))
    missing = [name for name in table if IMAGES + name not in files]
    if missing:
        raise PackageError(f"{package} has no {IMAGES}{missing[0]}")
    pictures = distinct((name, files[IMAGES + name]) for name in table)
    classes = sorted({category for category, _ in table.values()})
    counts = {}
    for split in ("train", "heldout"):
        progress(f"writing {split}.zip")
        names = [n for n in pictures if held_out(table[n][1], HELD_OUT_EVERY) == (split == "heldout")]
        counts[split] = write_archive(
            out / f"{split}.zip",
            (on_white(Image.open(io.BytesIO(pictures[name])), resolution) for name in names),
            [classes.index(table[name][0]) for name in names],
        )
    write_provenance(
        out,
        Provenance(
            recipe="emoji",
            title="Noto emoji, by category",
            sources=[SourceFile(name=str(SOURCE), sha256=SOURCE.sha256)],
            licence="Apache-2.0",
            attribution="Noto Emoji, © Google; packaged as emoji-datasource by Cal Henderson (MIT)",
            resolution=resolution,
            counts=counts,
            split=f"one concept in {HELD_OUT_EVERY} is held out, in every skin tone and gender",
            processing="composited on white" + (", halved" if resolution == 32 else ""),
            classes=classes,
        ),
    )
