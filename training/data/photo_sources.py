"""Photographs out of packages, each with its own licence and author."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.debian_copyright import SPDX, Terms, parse_copyright, terms_of
from training.data.packages import PackageError, deb_members, rcc_members
from training.data.photo_tiles import size_of
from training.data.recipe import Progress
from training.data.registry import Package, fetch_package

LOMIRI = Package(
    registry="Debian",
    name="lomiri-wallpapers-16.04",
    version="20.04.0-2",
    sha256="a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
)
MATE = Package(
    registry="Debian",
    name="mate-backgrounds",
    version="1.26.0-1",
    sha256="7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
)
PLASMA = Package(
    registry="Debian",
    name="plasma-workspace-wallpapers",
    version="4:5.27.5-2",
    sha256="32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
)
GCOMPRIS = Package(
    registry="Debian",
    name="gcompris-qt-data",
    version="3.1-2",
    sha256="e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
)
SOURCES = (LOMIRI, MATE, PLASMA, GCOMPRIS)

DRAWN = ("analogpattern", "free", "greentock", "umang")
"""Beginnings of the names in lomiri-wallpapers that are drawn or rendered, not photographed."""
PLASMA_PHOTOS = (
    *("Autumn", "BytheWater", "ColdRipple", "ColorfulCups", "DarkestHour", "EveningGlow"),
    *("FallenLeaf", "Grey", "Kite", "OneStandsOut", "Path", "summer_1am"),
)
"""Those of plasma-workspace-wallpapers that are photographs; each is there in many sizes."""
PLASMA_SIZE = "2560x1600"
ACTIVITIES = (
    *("clickgame", "erase", "explore_farm_animals", "explore_monuments"),
    *("explore_world_animals", "explore_world_music"),
)
"""Activities of GCompris with photographs."""
MIN_PIXELS = 250_000
"""Smaller pictures of GCompris are buttons and sprites."""


@dataclass(frozen=True)
class Photo:
    """A photograph as its package has it.

    Attributes:
        name: Package and name within, the same in every run.
        data: The JPEG, PNG or WebP file.
        licence: SPDX identifier.
        attribution: Whom to credit.
    """

    name: str
    data: bytes
    licence: str
    attribution: str


def photos(cache: Path, progress: Progress) -> Iterator[Photo]:
    """Fetches the packages and reads every photograph in them.

    Args:
        cache: Where downloads are kept.
        progress: Told each step.

    Yields:
        Photographs, package after package, sorted by name.

    Raises:
        FetchError: If a package cannot be fetched.
        PackageError: If one does not say under which terms a photograph is.
    """
    readers: tuple[tuple[Package, Callable[[Path], Iterator[Photo]]], ...] = (
        (LOMIRI, _lomiri),
        (MATE, _mate),
        (PLASMA, _plasma),
        (GCOMPRIS, _gcompris),
    )
    paths = []
    for package, _ in readers:  # all first: nothing is decoded in vain if one is not to be had
        progress(f"fetching {package}")
        paths.append(fetch_package(package, cache))
    for (package, reader), path in zip(readers, paths, strict=True):
        progress(f"reading the photographs of {package.name}")
        yield from sorted(reader(path), key=lambda photo: photo.name)


def _with_terms(package: Path, folder: str, suffix: str) -> tuple[dict[str, bytes], list[Terms]]:
    """The files of a folder with an ending, and the package's copyright stanzas."""
    files: dict[str, bytes] = {}
    stanzas: list[Terms] = []
    for name, data in deb_members(
        package, lambda n: (n.startswith(folder) and n.endswith(suffix)) or _is_copyright(n)
    ):
        if _is_copyright(name):
            stanzas = parse_copyright(data.decode())
        else:
            files[name] = data
    return files, stanzas


def _is_copyright(name: str) -> bool:
    return name.startswith("usr/share/doc/") and name.endswith("/copyright")


def _photo(name: str, path: str, data: bytes, stanzas: list[Terms]) -> Photo:
    terms = terms_of(path, stanzas)
    if terms is None:
        raise PackageError(f"nothing tells the licence of {path}")
    return Photo(name, data, terms.licence, terms.attribution)


def _lomiri(package: Path) -> Iterator[Photo]:
    files, stanzas = _with_terms(package, "usr/share/backgrounds/", ".jpg")
    for path, data in files.items():
        stem = PurePosixPath(path).stem
        if not stem.startswith(DRAWN):
            # The source package keeps them in a folder named by the release.
            yield _photo(f"lomiri/{stem}", f"16.04/{stem}.jpg", data, stanzas)


def _mate(package: Path) -> Iterator[Photo]:
    files, stanzas = _with_terms(package, "usr/share/backgrounds/mate/nature/", ".jpg")
    for path, data in files.items():
        yield _photo(f"mate/{PurePosixPath(path).stem}", path, data, stanzas)


def _plasma(package: Path) -> Iterator[Photo]:
    def wanted(name: str) -> bool:
        path = PurePosixPath(name)
        return path.name == "metadata.json" or (path.stem == PLASMA_SIZE and path.parent.name == "images")

    folder = PurePosixPath("usr/share/wallpapers")
    files = dict(deb_members(package, wanted))
    for title in PLASMA_PHOTOS:
        # The package as a whole says less than what lies beside each picture.
        about = json.loads(files[f"{folder / title}/metadata.json"])["KPlugin"]
        licence = about["License"]
        authors = "; ".join(author["Name"] for author in about["Authors"])
        data = files[f"{folder / title}/contents/images/{PLASMA_SIZE}.jpg"]
        yield Photo(f"plasma/{title}", data, SPDX.get(licence, licence), authors)


def _gcompris(package: Path) -> Iterator[Photo]:
    files, stanzas = _with_terms(package, "usr/share/gcompris-qt/rcc/", ".rcc")
    for activity in ACTIVITIES:
        where = f"usr/share/gcompris-qt/rcc/{activity}.rcc"
        for path, data in rcc_members(files[where], where):
            if not path.endswith(".webp"):
                continue
            width, height = size_of(data)
            if width * height >= MIN_PIXELS:
                stem = PurePosixPath(path).stem
                yield _photo(f"gcompris/{activity}/{stem}", path, data, stanzas)
