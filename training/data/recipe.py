"""What every data recipe leaves behind: a record of where the pixels come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from training.errors import GantrainError
from training.files import atomic_write

Progress = Callable[[str], None]
"""Told, in a few words, what a recipe does now."""


class RecipeError(GantrainError):
    """A recipe was asked for something it cannot make."""


class SourceFile(BaseModel):
    """A published file that pixels were taken from.

    Attributes:
        name: Package, version and registry, and the file inside if it is one.
        sha256: Hex digest of the package, or of that file.
    """

    name: str
    sha256: str


class FileCredit(BaseModel):
    """The terms of one source image, where they differ from one to the next.

    Attributes:
        file: Name of the image in its package.
        licence: SPDX identifier.
        attribution: Whom to credit.
        split: Where its pixels went.
        images: How many images were made from it.
    """

    file: str
    licence: str
    attribution: str
    split: str
    images: int


class Provenance(BaseModel):
    """Where a dataset comes from and under which terms; it travels into the model card.

    Attributes:
        recipe: Name of the recipe.
        title: What the pictures show.
        sources: The published files behind it.
        licence: SPDX expression.
        attribution: Whom to credit.
        resolution: Side of an image in pixels.
        counts: Images in each split.
        split: How held-out images were chosen.
        processing: What was done to the pixels.
        layout: `images`, `paired` or `unpaired`.
        classes: Names of the labels, in order; empty if the images have none.
        files: Terms of each source image, where they differ.
    """

    recipe: str
    title: str
    sources: list[SourceFile] = []
    licence: str
    attribution: str
    resolution: int
    counts: dict[str, int]
    split: str
    processing: str = ""
    layout: Literal["images", "paired", "unpaired"] = "images"
    classes: list[str] = []
    files: list[FileCredit] = []


def start(folder: Path) -> None:
    """Makes a dataset's folder, or takes the mark of completeness from one that is filled anew."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").unlink(missing_ok=True)


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Writes `recipe.json` beside the archives; last of all, so that it marks a complete dataset."""
    with atomic_write(folder / "recipe.json") as f:
        f.write(provenance.model_dump_json(indent=2).encode() + b"\n")


def read_provenance(folder: Path) -> Provenance | None:
    """The record of a prepared dataset, or None if the folder was filled by other means."""
    path = folder / "recipe.json"
    return Provenance.model_validate_json(path.read_bytes()) if path.exists() else None
