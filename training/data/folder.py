"""The `folder` recipe: a dataset out of the user's own images.

Whatever cannot be used is left out and listed; the rest is brought to one size, split by source image, and
recorded with the licence that the user states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.archive import write_archive
from training.data.datasets import Layout
from training.data.decode import WHITE, Pixels, quiet_pillow
from training.data.domains import Domain, find_domains
from training.data.intake import Intake, Item, Shaping, Views
from training.data.labels import read_labels
from training.data.layouts import atomic_folder, write_images, write_pairs
from training.data.recipe import Provenance, RecipeError, SourceFile, read_provenance, write_provenance
from training.data.shaping import MIN_ABS_GRADIENT
from training.data.sources import Source, listed
from training.data.store import Progress, no_progress
from training.files import atomic_write

RECIPE = "folder"
REPORT = "report.txt"


@dataclass(frozen=True)
class FolderReport:
    """What became of the user's files.

    Attributes:
        folder: The dataset.
        counts: Images in each of its parts.
        left_out: A sentence for each file that was not used, beginning with its name.
        notes: What else is worth telling.
    """

    folder: Path
    counts: dict[str, int]
    left_out: list[str]
    notes: list[str]

    def text(self, most: int | None = 10) -> str:
        """The report in words, with at most so many of the files that were left out."""
        lines = [f"{self.folder}: {', '.join(f'{n} {part}' for part, n in self.counts.items())}", *self.notes]
        if self.left_out:
            shown = self.left_out[:most]
            lines += [f"left out ({len(self.left_out)}):", *(f"  {problem}" for problem in shown)]
            if len(shown) < len(self.left_out):
                lines.append(f"  and {len(self.left_out) - len(shown)} more, see {self.folder / REPORT}")
        return "\n".join(lines)


def prepare_folder(
    source: Path,
    out: Path,
    *,
    resolution: int,
    layout: Layout = "images",
    second: Path | None = None,
    labels_from_subfolders: bool = False,
    held_out_share: float = 0.1,
    tiles: bool = False,
    min_gradient: float = MIN_ABS_GRADIENT,
    enlarge: bool = False,
    background: tuple[int, int, int] = WHITE,
    title: str | None = None,
    licence: str = "unknown",
    attribution: str = "unknown",
    progress: Progress = no_progress,
) -> FolderReport:
    """Makes a dataset out of images in a folder or zip file, whole or not at all.

    Every picture is centre-cropped to a square and resized by an antialiased Lanczos filter, or cut into
    tiles. Files that are broken, too small or the same as another are left out and listed in the report,
    which also lies beside the images. All images made of one source belong to one split, by the hash of its
    name.

    Args:
        source: Folder, with its sub-folders, or zip file. For `paired` it holds images that show A on the
            left and B on the right, or two folders `A` and `B` with files of equal names; for `unpaired` two
            folders `A` and `B`.
        out: The dataset's folder, such as `data/cats-128`; an older one made by this recipe is replaced.
        resolution: Side of the images to make.
        layout: `images`, `paired` or `unpaired`; see `open_dataset`.
        second: Folder or zip file of B, if `source` holds A alone.
        labels_from_subfolders: Whether the first sub-folder is an image's class. A `dataset.json` of labels
            is heeded without being asked for.
        held_out_share: Share of sources that are held out, between 0 and 1.
        tiles: Whether to cut tiles at full detail, as super-resolution wants them.
        min_gradient: Least detail of a tile; see `shaping.mean_gradient`.
        enlarge: Whether pictures smaller than the resolution are enlarged rather than left out.
        background: RGB behind transparent pixels.
        title: What the pictures show; the source's name if not given.
        licence: SPDX identifier of the terms they come under.
        attribution: Whom to credit.
        progress: Told how many files are read.

    Returns:
        What became of the files.

    Raises:
        RecipeError: If an option does not fit, `out` is not this recipe's to replace, or a split stays empty.
        DatasetError: If `source` holds no image.
    """
    _check_options(source, second, out, resolution, layout, held_out_share)
    domains = find_domains(source, second, layout)
    labels: dict[str, int] = {}
    classes: tuple[str, ...] = ()
    if layout == "images":
        labels, classes = _labels(domains[0].sources[0], labels_from_subfolders)
    shaping = Shaping(resolution, tiles, min_gradient, enlarge, background)
    total = sum(len(domain.items) for domain in domains)
    intake = Intake(shaping, total, unique=layout == "images", progress=progress)
    counts: dict[str, int] = {}
    with quiet_pillow(), atomic_folder(out) as part:
        for domain in domains:
            held_out = _held_out([item.name for item in domain.items], held_out_share)
            for split in ("train", "heldout" if layout == "images" else "test"):
                items = [item for item in domain.items if (item.name in held_out) == (split != "train")]
                folder = part / f"{split}{domain.name}"
                counts[folder.name] = _write(folder, layout, intake.take(items), labels, tiles=tiles)
        notes = _notes(domains, intake, labels, classes)
        left_out = [*(problem for domain in domains for problem in domain.problems), *intake.left_out]
        report = FolderReport(out, counts, left_out, notes)
        if empty := [name for name, count in counts.items() if count == 0]:
            reasons = "".join(f"\n  {problem}" for problem in left_out[:10])
            hint = "" if sum(counts.values()) == 0 else "; another held-out share chooses otherwise"
            raise RecipeError(f"{source} yields no image for {' and '.join(empty)}{hint}{reasons}")
        with atomic_write(part / REPORT) as file:
            file.write(f"{report.text(None)}\n".encode())
        record = Provenance(
            recipe=RECIPE,
            title=title or source.resolve().stem,
            sources=[
                SourceFile(
                    name=f"{source.resolve().name}, {len(intake.digests)} files", sha256=_digest(intake)
                )
            ],
            licence=licence,
            attribution=attribution,
            resolution=resolution,
            counts=counts,
            split="held out are sources of which the SHA-256 of the relative name, without its ending, lies "
            f"in the lowest {held_out_share:.3g} of all values",
            processing=_processing(shaping),
            layout=layout,
            classes=list(classes),
        )
        write_provenance(part, record)
    return report


def _check_options(
    source: Path, second: Path | None, out: Path, resolution: int, layout: Layout, held_out_share: float
) -> None:
    for path in (source, second):
        if path is not None and not path.exists():
            raise RecipeError(f"there is no folder or zip file {path}")
        if path is not None and _overlap(path.resolve(), out.resolve()):
            raise RecipeError(f"{out} and {path} lie in one another; name a dataset folder elsewhere")
    if second is not None and layout == "images":
        raise RecipeError("a second folder is for the layouts `paired` and `unpaired`")
    if resolution < 8:
        raise RecipeError(f"images are at least 8 pixels wide; got {resolution}")
    if not 0 < held_out_share < 1:
        raise RecipeError(f"the held-out share lies between 0 and 1; got {held_out_share}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        record = read_provenance(out) if out.is_dir() else None
        if record is None or record.recipe != RECIPE:
            raise RecipeError(f"{out} was not made from a folder; remove it or choose another name")


def _overlap(first: Path, second: Path) -> bool:
    return first == second or first in second.parents or second in first.parents


def _labels(source: Source, from_subfolders: bool) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each name, and the names of the classes; none of either if there are no labels."""
    if source.metadata() is not None:
        labels, classes = read_labels(source, source.path)
        return dict(zip(source.names, labels or (), strict=labels is not None)), classes
    if not from_subfolders:
        return {}, ()
    parts = {name: PurePosixPath(name).parts for name in source.names}
    depth = 0  # an archive often wraps everything in a folder of its own
    while len({p[: depth + 1] for p in parts.values()}) == 1 and all(
        len(p) > depth + 2 for p in parts.values()
    ):
        depth += 1
    if loose := [name for name, p in parts.items() if len(p) < depth + 2]:
        raise RecipeError(f"labels come from sub-folders, and in none of {source.path} lies {listed(loose)}")
    classes = tuple(sorted({p[depth] for p in parts.values()}))
    return {name: classes.index(p[depth]) for name, p in parts.items()}, classes


def _held_out(names: Sequence[str], share: float) -> set[str]:
    """Which sources are held out: decided by each name alone, so that other files do not matter."""
    number = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names}
    chosen = {name for name in names if number[name] < share * 2**64}
    # In a set of a few images chance may leave one split empty.
    if not chosen and names:
        return {min(names, key=number.__getitem__)}
    if len(chosen) == len(number) and names:
        chosen.remove(max(names, key=number.__getitem__))
    return chosen


def _write(
    folder: Path,
    layout: Layout,
    taken: Iterable[tuple[Item, list[Views]]],
    labels: dict[str, int],
    *,
    tiles: bool,
) -> int:
    """Writes one part of a dataset, named as its sources are; returns how many images it holds."""
    ending = "-{:03}" if tiles else ""
    if layout == "images":
        own: list[int] = []
        names: list[str] = []

        def pixels() -> Iterator[Pixels]:
            seen: set[str] = set()
            for item, images in taken:
                file = item.files[0].name
                name = file if item.name in seen else item.name  # a.png may lie beside a.jpg
                seen.add(item.name)
                for number, (image,) in enumerate(images):
                    names.append(name + ending.format(number))
                    own.append(labels.get(file, 0))
                    yield image

        path = folder.with_name(f"{folder.name}.zip")
        return write_archive(path, pixels(), own if labels else None, names)
    named = (
        (item.name + ending.format(number), views)
        for item, images in taken
        for number, views in enumerate(images)
    )
    if layout == "paired":
        return write_pairs(folder, ((name, a, b) for name, (a, b) in named))
    return write_images(folder, ((name, image) for name, (image,) in named))


def _notes(
    domains: Sequence[Domain], intake: Intake, labels: dict[str, int], classes: tuple[str, ...]
) -> list[str]:
    sources = [source for domain in domains for source in domain.sources]
    notes = [f"{s.path}: not taken for images were {listed(s.others)}" for s in sources if s.others]
    if intake.animated:
        notes.append(f"only the first frame is used of {listed(intake.animated)}")
    found = {labels[item.files[0].name] for item in intake.used} if labels else set()
    if missing := [name for i, name in enumerate(classes) if i not in found]:
        notes.append(f"no image is left of the class {listed(missing)}")
    return notes


def _digest(intake: Intake) -> str:
    """SHA-256 of what `sha256sum` would print of the files that were used, sorted by name."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(intake.digests.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _processing(shaping: Shaping) -> str:
    side = f"{shaping.resolution}×{shaping.resolution}"
    if shaping.tiles:
        return (
            f"tiles of {side} with a mean gradient of at least {shaping.min_gradient:g} grey levels a pixel"
        )
    return f"centre square, resized to {side} by an antialiased Lanczos filter"
