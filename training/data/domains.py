"""Which of the user's files belong together: pictures, pairs side by side or of equal name, two sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.datasets import Layout
from training.data.intake import File, Item
from training.data.recipe import RecipeError
from training.data.sources import Source, open_source


@dataclass(frozen=True)
class Domain:
    """What fills one part of a layout: all of it, or A or B of an unpaired one.

    Attributes:
        name: `A`, `B` or empty.
        sources: Where the files lie.
        items: Pictures or pairs.
        problems: A sentence for each file that fits nowhere, beginning with its name.
    """

    name: str
    sources: list[Source]
    items: list[Item]
    problems: list[str]


def find_domains(source: Path, second: Path | None, layout: Layout) -> list[Domain]:
    """Sorts the files of one or two sources by a layout.

    Args:
        source: Folder or zip file of pictures, of A, or of pairs side by side; or a folder that holds two,
            `A` and `B`.
        second: Folder or zip file of B.
        layout: `images`, `paired` or `unpaired`.

    Returns:
        One domain, or A and B of an unpaired layout.

    Raises:
        RecipeError: If B is missing.
        DatasetError: If a source holds no image.
    """
    if second is None and layout != "images" and (source / "A").is_dir() and (source / "B").is_dir():
        source, second = source / "A", source / "B"
    if second is not None:
        a, b = open_source(source), open_source(second)
        return [_pairs(a, b)] if layout == "paired" else [_single(a, "A"), _single(b, "B")]
    if layout == "unpaired":
        raise RecipeError(f"{source} holds no folders A and B; name the folder of B as well")
    if layout == "paired":
        return [_single(open_source(source), halves=True)]
    # Here files may share a name but for the ending: an archive can keep both.
    whole = open_source(source)
    return [Domain("", [whole], [Item(_stem(name), (_file(whole, name),)) for name in whole.names], [])]


def _single(source: Source, name: str = "", *, halves: bool = False) -> Domain:
    problems: list[str] = []
    files = _by_stem(source, problems)
    items = [Item(stem, (file,), halves) for stem, file in files.items()]
    return Domain(name, [source], items, problems)


def _pairs(a: Source, b: Source) -> Domain:
    problems: list[str] = []
    of_a, of_b = _by_stem(a, problems), _by_stem(b, problems)
    problems += [f"{file.shown} has no partner in {b.path.name}" for s, file in of_a.items() if s not in of_b]
    problems += [f"{file.shown} has no partner in {a.path.name}" for s, file in of_b.items() if s not in of_a]
    items = [Item(stem, (file, of_b[stem])) for stem, file in of_a.items() if stem in of_b]
    return Domain("", [a, b], items, problems)


def _by_stem(source: Source, problems: list[str]) -> dict[str, File]:
    """Files by relative name without ending, of which a folder of PNG files holds each but once."""
    files: dict[str, File] = {}
    for name in source.names:
        file = _file(source, name)
        first = files.setdefault(_stem(name), file)
        if first is not file:
            problems.append(f"{file.shown} has the same name as {first.shown}")
    return files


def _file(source: Source, name: str) -> File:
    return File(source, name, f"{source.path.name}/{name}")


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
