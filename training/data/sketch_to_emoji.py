"""The `sketch-to-emoji` recipe: Fluent emoji as a black drawing (A) and in colour (B), drawn from SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from training.data.archive import Pixels
from training.data.compositing import on_white
from training.data.layouts import write_pairs
from training.data.packages import PackageError, npm_members
from training.data.recipe import Progress, Provenance, RecipeError, SourceFile, start, write_provenance
from training.data.registry import Package, fetch_package
from training.data.splits import held_out

SOURCE = Package(
    registry="npm",
    name="fluentui-emoji",
    version="1.3.0",
    sha256="ec892e607e854859b812c7d827801756adc19955b0ef56d4ae8afcddd19492c5",
)
SKETCHES, COLOURED = "icons/high-contrast", "icons/flat"
RESOLUTIONS = range(32, 513)
HELD_OUT_EVERY = 8
MIN_CHROMA, MIN_COLOURED = 32, 0.03
"""A picture is coloured if its channels differ by so many levels in such a share of its pixels."""
_ANYONE = frozenset({"default", "man", "woman", "person", "men", "women", "people"})
Rasteriser = Callable[[bytes, int], Pixels]


def subject(stem: str) -> str:
    """What a picture shows, whoever does it: `man-biking-default` and `woman-biking-default` are `biking`."""
    return "-".join(word for word in stem.split("-") if word not in _ANYONE) or stem


def is_coloured(pixels: Pixels) -> bool:
    """Whether colour is to be learned from a picture, or whether it is grey as its drawing."""
    chroma = pixels.max(axis=2) - pixels.min(axis=2)
    return bool((chroma >= MIN_CHROMA).mean() >= MIN_COLOURED)


def rasteriser() -> Rasteriser:
    """A function that draws an SVG document on a white square of a given side.

    Raises:
        RecipeError: If resvg is not installed.
    """
    try:
        import resvg_py
    except ModuleNotFoundError as error:
        raise RecipeError("SVG pictures are drawn with resvg: pip install resvg-py") from error

    def rasterise(svg: bytes, side: int) -> Pixels:
        # Most are square; a taller one is drawn in full and padded.
        width, height = (None, side) if _is_tall(svg) else (side, None)
        png = resvg_py.svg_to_bytes(svg.decode(), width=width, height=height, skip_system_fonts=True)
        with Image.open(io.BytesIO(png)) as image:
            return on_white(image, side)

    return rasterise


def _is_tall(svg: bytes) -> bool:
    box = re.search(rb'viewBox="\S+ \S+ (\S+) (\S+)"', svg)
    return box is not None and float(box[2]) > float(box[1])


def prepare(out: Path, cache: Path, resolution: int, progress: Progress) -> None:
    """Writes `train/`, `test/` and `recipe.json` to a folder.

    Args:
        out: The folder to fill.
        cache: Where downloads are kept.
        resolution: Side of A and of B in pixels, 32 to 512.
        progress: Told each step.

    Raises:
        FetchError: If the package cannot be fetched.
        RecipeError: If resvg is missing or the resolution out of range.
    """
    if resolution not in RESOLUTIONS:
        raise RecipeError(f"sketches are drawn 32 to 512 pixels wide; got {resolution}")
    rasterise = rasteriser()
    progress(f"fetching {SOURCE}")
    package = fetch_package(SOURCE, cache)
    progress("reading the pictures")
    start(out)
    pairs = matched(dict(npm_members(package, lambda name: name.startswith((SKETCHES, COLOURED)))))
    if not pairs:
        raise PackageError(f"{package} has no file that is in {SKETCHES} and in {COLOURED}")
    counts = {}
    for split in ("train", "test"):
        progress(f"drawing {split} pairs")
        names = [n for n in pairs if held_out(subject(n), HELD_OUT_EVERY) == (split == "test")]
        counts[split] = write_pairs(out / split, _drawn({n: pairs[n] for n in names}, rasterise, resolution))
    write_provenance(
        out,
        Provenance(
            recipe="sketch-to-emoji",
            title="Emoji: black drawing and coloured picture",
            sources=[SourceFile(name=str(SOURCE), sha256=SOURCE.sha256)],
            licence="MIT",
            attribution="Fluent UI Emoji, © Microsoft Corporation; packaged by Mohammad Abu Mattar",
            resolution=resolution,
            counts=counts,
            split=f"one subject in {HELD_OUT_EVERY} is held out, man, woman and person together",
            processing="A: high-contrast SVG, B: flat SVG, drawn on white; pairs left out if B is grey",
            layout="paired",
        ),
    )


def matched(files: dict[str, bytes]) -> dict[str, tuple[bytes, bytes]]:
    """Drawing and coloured picture of every emoji that has both, by name, sorted."""
    stems = {PurePosixPath(name).stem for name in files}
    pairs = {s: (files.get(f"{SKETCHES}/{s}.svg"), files.get(f"{COLOURED}/{s}.svg")) for s in sorted(stems)}
    return {stem: (a, b) for stem, (a, b) in pairs.items() if a is not None and b is not None}


def _drawn(
    pairs: dict[str, tuple[bytes, bytes]], rasterise: Rasteriser, side: int
) -> Iterator[tuple[str, Pixels, Pixels]]:
    for name, (sketch, coloured) in pairs.items():
        # Judged at one size, so that every resolution has the same pairs.
        if is_coloured(rasterise(coloured, 64)):
            yield name, rasterise(sketch, side), rasterise(coloured, side)
