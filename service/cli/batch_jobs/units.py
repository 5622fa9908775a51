"""What a batch consists of: files or seeds, what their results are called, and the parts they are sent in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from service.cli.inputs import plan
from service.jobs.naming import DEFAULT_PATTERNS, Named, check_pattern, output_name, output_names

# The first parts are small, so that computing begins while the others are still being sent.
_FIRST_PART = 25
LARGEST_PART = 500
LARGEST_PART_BYTES = 512 << 20


@dataclass(frozen=True)
class Unit:
    """One image to be made.

    Attributes:
        name: Path of the file below the folder of inputs, with `/`; or the seed.
        source: The file; None for a seed.
        output: Path of the result below the folder of outputs, with `/`.
        size: Of the file, in bytes.
        mtime_ns: When the file was changed.
    """

    name: str
    source: Path | None
    output: str
    size: int = 0
    mtime_ns: int = 0

    @property
    def stamp(self) -> tuple[int, int]:
        """What is another if the file was changed."""
        return self.size, self.mtime_ns


def file_units(
    folder: Path,
    out: Path | None,
    extension: str,
    *,
    recursive: bool,
    pattern: str | None,
    naming: str | None,
    model: str,
    scale: float | None,
) -> list[Unit]:
    """The images of a folder.

    Args:
        folder: Of the inputs.
        out: Of the outputs, if it is a folder too; results of an earlier run in it are no inputs. Otherwise
            the server names the outputs, in each job by itself.
        extension: Of the outputs, with its dot.
        recursive: Look into folders of folders.
        pattern: Only files whose path below the folder, or whose name, matches this shell pattern.
        naming: Pattern of the outputs' names; None keeps those of the inputs.
        model: Name of the model, for `{model}`.
        scale: For `{scale}`; None if the server decides, which leaves that field to the server too.

    Returns:
        By path.

    Raises:
        ValueError: There are none, two would have one name, or one would replace an input; or the pattern is
            none.
        OSError: The folder cannot be read.
    """
    # A folder of results that is elsewhere changes nothing about which files are inputs.
    results = out if out is not None else Path("/nonexistent")
    planned = plan([str(folder)], results, extension, recursive=recursive)
    base = folder.absolute()
    if out is None:  # here the others have no say in what a result is called
        planned = [one for one in planned if _matches(one.source, base, pattern)]
    names = [one.source.relative_to(base).as_posix() for one in planned]
    outputs: list[str | None] = [one.output.relative_to(results).as_posix() for one in planned]
    fields: dict[str, str | int] = {"ext": extension[1:], "model": model}
    if scale is not None:
        fields["scale"] = f"{scale:g}"
    if out is None:
        fields.setdefault("scale", "scale")
        pattern_of_all = naming or DEFAULT_PATTERNS["super-resolution"]
        check_pattern(pattern_of_all, {"path", "stem", *fields}, extension[1:])
        outputs = _names_by_server(pattern_of_all, [Named(0, name, fields) for name in names])
    elif naming is not None:
        check_pattern(naming, {"path", "stem", "n", *fields}, extension[1:])
        outputs = output_names(
            naming, [Named(n, name, fields) for n, name in enumerate(names)], lambda wanted: ()
        )
    units = []
    sources = {one.source for one in planned}
    for one, name, output in zip(planned, names, outputs, strict=True):
        if output is None:
            raise ValueError(f"{name} cannot have a result called as --naming says")
        if out is not None and (out.absolute() / output) in sources:
            raise ValueError(f"{output} would be replaced by a result; give another folder than {out}")
        if not _matches(one.source, base, pattern):
            continue
        found = one.source.stat()
        units.append(Unit(name, one.source, output, found.st_size, found.st_mtime_ns))
    if not units:
        raise ValueError(f"no image in {folder} matches {pattern}")
    return units


def seed_units(
    seeds: Sequence[int], extension: str, *, naming: str, model: str, by_server: bool = False
) -> list[Unit]:
    """Images of seeds.

    Args:
        seeds: Each once.
        extension: Of the outputs, with its dot.
        naming: Pattern of the outputs' names.
        model: Name of the model, for `{model}`.
        by_server: Whether the server names them, in each job by itself.

    Returns:
        In their order.

    Raises:
        ValueError: The pattern is none, or gives two images one name.
    """
    check_pattern(naming, {"ext", "model", "seed", *(() if by_server else ("n",))}, extension[1:])
    common: dict[str, str | int] = {"ext": extension[1:], "model": model}
    named = [Named(n, str(seed), {**common, "seed": seed}) for n, seed in enumerate(seeds)]
    outputs = _names_by_server(naming, named) if by_server else output_names(naming, named, lambda wanted: ())
    units = [
        Unit(str(seed), None, output)
        for seed, output in zip(seeds, outputs, strict=True)
        if output is not None
    ]
    if len(units) < len(seeds):
        raise ValueError("--naming gives no name to some of the images")
    return units


def parts(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Takes units apart into what is sent as one job each.

    Args:
        units: All of them.

    Yields:
        Consecutive ones: few at first, then up to `LARGEST_PART` and `LARGEST_PART_BYTES`; one that is larger
        is alone.
    """
    room = _FIRST_PART
    part: list[Unit] = []
    size = 0
    for unit in units:
        if part and (len(part) == room or size + unit.size > LARGEST_PART_BYTES):
            yield part
            part, size = [], 0
            room = min(2 * room, LARGEST_PART)
        part.append(unit)
        size += unit.size
    if part:
        yield part


def _names_by_server(pattern: str, items: Sequence[Named]) -> list[str | None]:
    """What the server will call the outputs, which must not depend on how they are spread over jobs.

    Raises:
        ValueError: Two would have one name, and one would replace the other.
    """
    names: dict[str, str] = {}
    for item in items:
        name = output_name(pattern, item, lambda name: False)
        other = names.setdefault(name, item.source)
        if other != item.source:
            raise ValueError(
                f"the results of {other} and {item.source} would both be called {name}; give a --naming that"
                " tells them apart, or send them to different places (--pattern)"
            )
    return list(names)


def _matches(path: Path, base: Path, pattern: str | None) -> bool:
    if pattern is None:
        return True
    return fnmatchcase(path.relative_to(base).as_posix(), pattern) or fnmatchcase(path.name, pattern)
