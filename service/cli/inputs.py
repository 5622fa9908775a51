"""Which files are meant by files, folders and globs, and what the results are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Of what the server reads; a file that is named outright is sent whatever it is called.
_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)


@dataclass(frozen=True)
class Planned:
    """A file and where its result goes."""

    source: Path
    output: Path


def plan(arguments: Sequence[str], out: Path, extension: str, *, recursive: bool) -> list[Planned]:
    """Finds the inputs and names the outputs.

    Results keep the inputs' paths below the folder that all arguments have in common, so `a/x.png b/x.jpg`
    become `a/x.png` and `b/x.png`. Where two inputs differ in their suffix only, the one that does not have
    the results' suffix keeps its own before it: `x.jpg.png`.

    Args:
        arguments: Files, folders and globs.
        out: Folder of the results.
        extension: Of the results, with its dot.
        recursive: Look into folders of folders.

    Returns:
        Each input once, in the order of the arguments, and by name within them.

    Raises:
        ValueError: Nothing is meant, or results would replace their inputs; the message says which.
    """
    roots: list[Path] = []
    found: dict[Path, None] = {}
    for argument in arguments:
        root, files = _find(argument, recursive)
        roots.append(root)
        found.update(dict.fromkeys(_without(files, out, root)))
    base = Path(os.path.commonpath(roots))
    names = [path.relative_to(base) for path in found]
    alike = Counter(name.with_suffix("") for name in names)
    planned = []
    for path, name in zip(found, names, strict=True):
        unique = alike[name.with_suffix("")] == 1 or name.suffix == extension
        result = name.with_suffix(extension) if unique else name.with_name(name.name + extension)
        planned.append(Planned(path, out / result))
    _check(planned, out)
    return planned


def _find(argument: str, recursive: bool) -> tuple[Path, list[Path]]:
    """The folder that results are named from, and the files."""
    path = Path(os.path.abspath(argument))  # noqa: PTH100 - resolve() would follow links to other names
    if path.is_dir():
        files = sorted(_images_in(path, recursive))
        if not files:
            more = "" if recursive else "; --recursive looks into its folders too"
            raise ValueError(f"there are no images in {argument}{more}")
        return path, files
    if path.exists():
        return path.parent, [path]
    if not glob.has_magic(argument):
        raise ValueError(f"there is no {argument}")
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute
    files = sorted(match for match in matches if _is_image(match))
    if not files:
        raise ValueError(f"no image matches {argument}")
    fixed: list[str] = []
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed), files


def _images_in(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in folder.rglob("*") if recursive else folder.iterdir():
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and _is_image(path):
            yield path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _without(files: list[Path], out: Path, root: Path) -> list[Path]:
    """Results of an earlier run, in a folder below the inputs, are not inputs of the next."""
    results = out.absolute()
    if results == root or not results.is_relative_to(root):
        return files
    return [path for path in files if not path.is_relative_to(results)]


def _check(planned: Sequence[Planned], out: Path) -> None:
    sources = {one.source for one in planned}
    seen: set[Path] = set()
    for one in planned:
        if one.output.absolute() in sources:
            raise ValueError(f"{one.source} would be replaced by a result; give another folder than {out}")
        if one.output in seen:
            raise ValueError(f"two results would be called {one.output}; rename {one.source}")
        seen.add(one.output)
