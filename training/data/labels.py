"""Labels of images: from `dataset.json`, as NVIDIA's tools write it, or from the names of sub-folders."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from training.data.recipe import read_provenance
from training.data.sources import DatasetError, Source, listed, refuse

_SHARD = re.compile(r"\d{5}")  # folders of a thousand files each, named 00000, 00001, …; no classes


def read_labels(
    source: Source, folder: Path, train: Source | None = None
) -> tuple[list[int] | None, tuple[str, ...]]:
    """The label of each image and the names of the classes.

    `dataset.json` decides where it is present; `"labels": null` means none. Otherwise, if every image lies in
    one of two or more sub-folders, these are the classes in alphabetical order.

    Args:
        source: The images of a split.
        folder: The dataset's folder, whose `recipe.json` may name the classes.
        train: The training images, which decide on the classes where nothing else does.

    Returns:
        A label for each of `source.names`, or None if there are none, and the names of the classes.

    Raises:
        DatasetError: If labels are missing, malformed, or out of the range of the classes.
    """
    names = _recorded_classes(folder)
    if source.metadata() is not None:
        labels = _from_metadata(source)
        if labels is None:
            return None, ()
        train_labels = labels if train is None or train is source else _from_metadata(train)
        count = max([*labels, *(train_labels or [])]) + 1
        classes = names or tuple(str(i) for i in range(count))
        if count > len(classes):
            raise DatasetError(
                f"{source.path} has a label {count - 1}; recipe.json names {len(classes)} classes"
            )
        return labels, classes
    folders = _sub_folders(train if train is not None else source)
    classes = names or tuple(sorted(set(folders or ())))
    own = _sub_folders(source, least=1)
    if folders is None or own is None:
        return None, ()
    index = {name: i for i, name in enumerate(classes)}
    strange = sorted(set(own) - set(index))
    if strange:
        raise DatasetError(
            f"{source.path} has sub-folders that are no class of the training images: {listed(strange)}"
        )
    return [index[name] for name in own], classes


def _recorded_classes(folder: Path) -> tuple[str, ...]:
    provenance = read_provenance(folder if folder.is_dir() else folder.parent)
    return tuple(provenance.classes) if provenance else ()


def _from_metadata(source: Source) -> list[int] | None:
    data = source.metadata()
    if data is None:
        return None
    try:
        rows = json.loads(data)["labels"]
        table = None if rows is None else {str(name).replace("\\", "/"): label for name, label in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{source.path}: dataset.json is malformed; it holds {{"labels": [[name, class], …]}} or null'
        ) from error
    if table is None:
        return None
    problems = []
    for name in source.names:
        label = table.get(name)
        if name not in table:
            problems.append(f"{name} has no label in dataset.json")
        elif not isinstance(label, int) or isinstance(label, bool) or label < 0:
            problems.append(f"{name} has the label {label!r}; a class is a whole number from 0 on")
    refuse(source.path, problems, len(source.names))
    return [table[name] for name in source.names]


def _sub_folders(source: Source, least: int = 2) -> list[str] | None:
    """The first folder in each name; None if these are no classes."""
    parents = [PurePosixPath(name).parts[0] for name in source.names if "/" in name]
    distinct = set(parents)
    if len(parents) < len(source.names) or len(distinct) < least or all(map(_SHARD.fullmatch, distinct)):
        return None
    return parents
