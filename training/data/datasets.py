"""Datasets of the three layouts, opened and checked: single images, aligned pairs, two unaligned sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from training.data.decode import WHITE
from training.data.labels import read_labels
from training.data.sources import DatasetError, Source, open_source
from training.data.store import MIN_SIDE, RAM_LIMIT, ImageStore, Progress, SizeCheck, no_progress

Sample = dict[str, Any]
"""`image`: UINT8 [H, W, 3] and `label`: int, or `A` and `B`: UINT8 [H, W, 3]. Pixels are read-only."""
Layout = Literal["images", "paired", "unpaired"]
Split = Literal["train", "heldout"]

SPLIT_NAMES: dict[Split, tuple[str, ...]] = {"train": ("train",), "heldout": ("heldout", "test", "val")}
"""What the folder or archive of a split may be called."""


class Dataset(Protocol):
    """Checked images, by index.

    Attributes:
        classes: Names of the labels; empty if there are none.
        names: Relative names of the files, in the order of the indices.
        notes: What is worth telling about files that are usable.
    """

    classes: tuple[str, ...]
    names: list[str]
    notes: list[str]

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """One sample; `rng` are its own random numbers."""
        ...


def open_dataset(
    folder: Path,
    layout: Layout,
    split: Split,
    *,
    resolution: int | None = None,
    min_side: int = MIN_SIDE,
    background: tuple[int, int, int] = WHITE,
    ram_limit: int = RAM_LIMIT,
    progress: Progress = no_progress,
) -> Dataset:
    """Opens one split of a dataset and decodes every image of it once.

    Args:
        folder: A folder `data/<recipe>-<resolution>`, or one made by anyone in the same layout. For `images`
            it may also be a single zip file or a folder of images, which is then the training split.
        layout: `images`: `train.zip` and `heldout.zip`, or folders of these names. `paired`: `train/` and
            `test/`, whose images show A on the left and B on the right. `unpaired`: `trainA/`, `trainB/`,
            `testA/`, `testB/`. Held-out images may lie under `heldout`, `test` or `val`.
        split: Which part.
        resolution: What height and width must be (of A and of B); None takes any size.
        min_side: Least height and width where no resolution is asked for.
        background: RGB behind transparent pixels.
        ram_limit: Bytes of decoded pixels to keep in memory; beyond it images are decoded as they are used,
            and a stamp file beside them spares the next start the check.
        progress: Told how many files are checked.

    Raises:
        DatasetError: If the split is missing, or images are broken or of a wrong size; it names them.
    """
    check = SizeCheck(resolution, min_side, halves=layout == "paired")

    def store(source: Source, limit: int = ram_limit) -> ImageStore:
        return ImageStore(source, check, background=background, ram_limit=limit, progress=progress)

    if layout == "images":
        source = _images_source(folder, split)
        labels, classes = read_labels(source, folder, _train_source(folder, source, split))
        return ImageDataset(store(source), labels, classes)
    if layout == "paired":
        return PairedDataset(store(open_source(_find(folder, split))))
    a = store(open_source(_find(folder, split, "A")))
    b = store(open_source(_find(folder, split, "B")), ram_limit - a.held_bytes)
    return UnpairedDataset(a, b, draw=split == "train")


class ImageDataset:
    """Single images, with or without labels; see `Dataset`."""

    def __init__(self, images: ImageStore, labels: Sequence[int] | None, classes: tuple[str, ...]) -> None:
        self.images = images
        self.labels = labels
        self.classes = classes
        self.names = images.names
        self.notes = images.notes

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """`image`, and `label`, which is 0 where there are none."""
        return {"image": self.images[index], "label": 0 if self.labels is None else self.labels[index]}


class PairedDataset:
    """Aligned pairs out of images that show A on the left and B on the right; see `Dataset`."""

    classes: tuple[str, ...] = ()

    def __init__(self, images: ImageStore) -> None:
        self.images = images
        self.names = images.names
        self.notes = images.notes

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """`A` and `B`."""
        image = self.images[index]
        half = image.shape[1] // 2
        return {"A": image[:, :half], "B": image[:, half:]}


class UnpairedDataset:
    """Images of A, each with one of B; see `Dataset`.

    Args:
        a: Images of A; there are as many samples.
        b: Images of B.
        draw: Whether B is drawn by the sample's random numbers. Otherwise it is the image of equal name where
            all of A have one, or else the one that comes at the same place.

    Attributes:
        pairs: Whether A and B of a sample show the same.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, a: ImageStore, b: ImageStore, *, draw: bool) -> None:
        self.a = a
        self.b = b
        self.names = a.names
        self.notes = [*a.notes, *b.notes]
        self.draw = draw
        index_of = {_stem(name): i for i, name in enumerate(b.names)}
        self.pairs = not draw and all(_stem(name) in index_of for name in a.names)
        self._partner = [index_of[_stem(n)] if self.pairs else i % len(b) for i, n in enumerate(a.names)]

    def __len__(self) -> int:
        return len(self.a)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """`A` and `B`."""
        partner = int(rng.integers(len(self.b))) if self.draw else self._partner[index]
        return {"A": self.a[index], "B": self.b[partner]}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _find(folder: Path, split: Split, domain: str = "") -> Path:
    """The folder or archive of a split.

    Raises:
        DatasetError: If there is none.
    """
    names = [f"{name}{domain}" for name in SPLIT_NAMES[split]]
    for name in names:
        for path in (folder / f"{name}.zip", folder / name):
            if path.exists():
                return path
    wanted = " or ".join(names)
    if not folder.exists():
        raise DatasetError(f"no dataset at {folder} ({wanted} is needed in it); `gantrain prepare` makes one")
    raise DatasetError(f"{folder} has no {wanted}, neither as a folder nor as a zip file")


def _images_source(folder: Path, split: Split) -> Source:
    if split == "train" and _is_single(folder):
        return open_source(folder)
    return open_source(_find(folder, split))


def _is_single(folder: Path) -> bool:
    """Whether a path is itself the training images: a zip file, or a folder without splits."""
    if not folder.is_dir():
        return folder.suffix.lower() == ".zip"
    names = [name for aliases in SPLIT_NAMES.values() for name in aliases]
    splits = {f"{name}{domain}" for name in names for domain in ("", "A", "B")}
    return not any(path.stem in splits for path in folder.iterdir() if path.is_dir() or path.suffix == ".zip")


def _train_source(folder: Path, source: Source, split: Split) -> Source | None:
    """Where the training images lie, which decide on the classes of all splits."""
    if split == "train":
        return source
    try:
        return _images_source(folder, "train")
    except DatasetError:
        return None
