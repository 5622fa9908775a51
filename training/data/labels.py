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
        train: The training images, which decide on the classes where no record does; None if there are none.

    Returns:
        A label for each of `source.names`, or None if there are none, and the names of the classes.

    Raises:
        DatasetError: If labels are missing, malformed, or of no known class.
    """
    provenance = read_provenance(folder if folder.is_dir() else folder.parent)
    recorded = tuple(provenance.classes) if provenance else ()
    train = train or source
    if source.metadata() is not None:
        return _numbered(source, train, recorded)
    return _by_sub_folder(source, train, recorded)


def metadata_labels(source: Source) -> list[int] | None:
    """The label of each image in `dataset.json`, or None if it has none or is not there.

    Raises:
        DatasetError: If it is malformed or lacks an image.
    """
    data = source.metadata()
    if data is None:
        return None
    try:
        rows = json.loads(data)["labels"]
        table = None if rows is None else {str(name).replace("\\", "/"): label for name, label in rows}
    except (ValueError, KeyError, TypeError) as error:
        expected = '{"labels": [[name, class], …]}, or null for the list'
        raise DatasetError(f"{source.path}: dataset.json is malformed; it holds {expected}") from error
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


def _numbered(
    source: Source, train: Source, recorded: tuple[str, ...]
) -> tuple[list[int] | None, tuple[str, ...]]:
    labels = metadata_labels(source)
    if labels is None:
        return None, ()
    known = recorded or tuple(str(i) for i in range(max(metadata_labels(train) or labels) + 1))
    if max(labels) >= len(known):
        where = "recipe.json names" if recorded else "the training images have"
        raise DatasetError(f"{source.path} has a label {max(labels)}, but {where} only {len(known)} classes")
    return labels, known


def _by_sub_folder(
    source: Source, train: Source, recorded: tuple[str, ...]
) -> tuple[list[int] | None, tuple[str, ...]]:
    folders = {name: PurePosixPath(name).parts[0] for name in train.names if "/" in name}
    distinct = set(folders.values())
    unsorted = len(folders) < len(train.names)
    if unsorted or len(distinct) < 2 or all(_SHARD.fullmatch(name) for name in distinct):
        return None, ()
    known = recorded or tuple(sorted(distinct))
    index = {name: i for i, name in enumerate(known)}
    strange = [name for name in source.names if PurePosixPath(name).parts[0] not in index]
    if strange:
        raise DatasetError(
            f"{source.path}: no sub-folder of a class ({listed(known)}) holds {listed(strange)}"
        )
    return [index[PurePosixPath(name).parts[0]] for name in source.names], known
