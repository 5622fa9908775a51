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


class Provenance(BaseModel):
    """Where a dataset comes from and under which terms; it travels into the model card.

    Attributes:
        recipe: Name of the recipe.
        title: What the pictures show.
        source: Package, version and file.
        source_sha256: Digest of that file.
        licence: SPDX identifier.
        attribution: Whom to credit.
        resolution: Side of an image in pixels.
        counts: Images in each split.
        split: How held-out images were chosen.
        layout: `images`, `paired` or `unpaired`.
        classes: Names of the labels, in order; empty if the images have none.
    """

    recipe: str
    title: str
    source: str
    source_sha256: str
    licence: str
    attribution: str
    resolution: int
    counts: dict[str, int]
    split: str
    layout: Literal["images", "paired", "unpaired"] = "images"
    classes: list[str] = []


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Writes `recipe.json` beside the archives; last of all, so that it marks a complete dataset."""
    with atomic_write(folder / "recipe.json") as f:
        f.write(provenance.model_dump_json(indent=2).encode() + b"\n")


def read_provenance(folder: Path) -> Provenance | None:
    """The record of a prepared dataset, or None if the folder was filled by other means."""
    path = folder / "recipe.json"
    return Provenance.model_validate_json(path.read_bytes()) if path.exists() else None
