"""From pictures and a model to folders of projections: what `gantrain project` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from training.errors import GantrainError
from training.projection.files import PictureError, figures, read_target, write_projection
from training.projection.projectable import Projectable
from training.projection.search import Projection, Settings, project, seen

if TYPE_CHECKING:
    from training.perceptual import PerceptualDistance

Perceptual = Literal["auto", "vgg19", "efficientnet", "none"]
Resolution = Literal["fit", "exact"]
Progress = Callable[[Path, int, float], None]
"""Told which picture is projected, how many steps are done, and the least loss so far."""


class LabelError(GantrainError):
    """A model has no such class."""


class OutputError(GantrainError):
    """Results cannot be written where they are wanted."""


class NoFeaturesError(GantrainError):
    """The network that images are compared by is not installed."""


class NoNoiseError(GantrainError):
    """A model takes no noise that could be adapted."""


@dataclass(frozen=True)
class Projected:
    """One picture that was projected.

    Attributes:
        picture: The file.
        folder: Where the result is.
        found: What was found.
        report: What `projection.json` says.
    """

    picture: Path
    folder: Path
    found: Projection
    report: dict[str, Any]


def project_pictures(
    pictures: Sequence[Path],
    generator: Projectable,
    distance: PerceptualDistance | None,
    settings: Settings,
    out: Path,
    *,
    label: str | None = None,
    resolution: Resolution = "fit",
    progress: Progress = lambda _picture, _steps, _loss: None,
) -> list[Projected]:
    """Projects pictures one after another; an interrupt ends it with the best of the picture at hand.

    Args:
        pictures: Image files.
        generator: What is to make them.
        distance: How alike images look; None compares pixels alone.
        settings: How they are looked for.
        out: Folder of the result; of several pictures, folder of a folder for each.
        label: Name or number of the class whose mean the search begins at.
        resolution: See `read_target`.
        progress: Told how far it is.

    Raises:
        PictureError: If one is no image, or two would be written to one folder; nothing is done then.
        LabelError: If the model has no such class.
        NoNoiseError: If noise is to be adapted, and the model takes none.
        OutputError: If a folder cannot be made.
    """
    index = None if label is None else class_index(generator, label)
    if settings.optimize_noise and not generator.noise:
        raise NoNoiseError(f"{generator.name} takes no noise that --noise could adapt")
    folders = [out] if len(pictures) == 1 else [out / picture.stem for picture in pictures]
    if len(set(folders)) < len(folders):
        raise PictureError("two pictures have the same name but for its ending; project them one by one")
    targets = [read_target(picture, generator.resolution, resolution) for picture in pictures]
    make_folder(out)  # before minutes of work
    done = []
    for picture, folder, target in zip(pictures, folders, targets, strict=True):
        found = project(generator, target, distance, settings, index, partial(progress, picture))
        report = describe(picture, generator, distance, settings, label, target, found)
        make_folder(folder)
        write_projection(folder, generator.name, target, found, report)
        done.append(Projected(picture, folder, found, report))
        if found.stopped:
            break
    return done


def make_folder(folder: Path) -> None:
    """Makes a folder if it is missing.

    Raises:
        OutputError: If it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be a folder: {error.strerror}; choose another with --out"
        ) from error


def describe(
    picture: Path,
    generator: Projectable,
    distance: PerceptualDistance | None,
    settings: Settings,
    label: str | None,
    target: Tensor,
    found: Projection,
) -> dict[str, Any]:
    """What `projection.json` says: figures of what is served, before and after, and how it came to be."""

    def measure(image: Tensor) -> dict[str, float]:
        measured = figures(image, target)
        if distance is None:
            return measured
        pair = [seen(i[None].to(generator.device).float() / 255) for i in (image, target)]
        with torch.no_grad():
            return {"distance": round(float(distance(*pair)), 6), **measured}

    report: dict[str, Any] = {
        "picture": picture.name,
        "model": {
            "name": generator.name,
            "digest": generator.digest,
            "served": generator.served,
            "label": label,
        },
        "start": measure(found.start),
        "found": measure(found.image),
        "distance": None if distance is None else distance.name,
        "loss": {"start": found.start_loss, "found": found.loss},
        "settings": asdict(settings),
        "steps": found.steps,
        "stopped": found.stopped,
        "seconds": round(found.seconds, 1),
    }
    if found.noisy_image is not None:
        report["with_own_noise"] = measure(found.noisy_image)
    return report


def class_index(generator: Projectable, label: str) -> int:
    """The number of a class.

    Args:
        generator: Whose class it is.
        label: Its name or number.

    Raises:
        LabelError: If there is no such class.
    """
    if not generator.c_dim:
        raise LabelError(f"{generator.name} has no classes, so --label has no effect on it")
    if label in generator.classes:
        return generator.classes.index(label)
    if label.isascii() and label.isdigit() and int(label) < generator.c_dim:
        return int(label)
    known = ", ".join(generator.classes) or f"numbers from 0 to {generator.c_dim - 1}"
    raise LabelError(f"{generator.name} has no class {label!r}; there are: {known}")


def choose_distance(
    choice: Perceptual, vgg19: Path | None, device: torch.device
) -> PerceptualDistance | None:
    """How alike images look, as `training.perceptual` has it for losses.

    Args:
        choice: `auto` takes VGG-19 where its weights are found, and otherwise EfficientNet-Lite0.
        vgg19: File of VGG-19's weights.
        device: Where to compute.

    Raises:
        NoFeaturesError: If the package with the weights of EfficientNet-Lite0 is not installed.
        PerceptualError: If VGG-19 is asked for, and its weights cannot be used.
    """
    if choice == "none":
        return None
    try:
        from training.perceptual import PerceptualConfig, perceptual_distance
    except ModuleNotFoundError as error:
        raise NoFeaturesError(
            f"images are compared by features of a network whose package {error.name} is not installed: "
            "install ganserve[train], or compare pixels alone with --perceptual none"
        ) from error
    config = PerceptualConfig(
        features="efficientnet-lite0" if choice == "efficientnet" else choice,
        vgg19=None if vgg19 is None else os.fspath(vgg19),
    )
    return perceptual_distance(config, device)
