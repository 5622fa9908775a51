"""Names of outputs: patterns such as `{path}/{stem}-x{scale}.{ext}`, and one name for each item."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from service.jobs.safe_names import (
    MAX_SEGMENT_BYTES,
    PART_PREFIX,
    UnsafeNameError,
    safe_name,
    unsafe_character,
)

DEFAULT_PATTERNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "super-resolution": "{path}/{stem}.{ext}",
        "translate": "{path}/{stem}.{ext}",
        "generate": "seed{seed:04}.{ext}",
    }
)
FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "path": "folder of the input, without its name; nothing if it is in none",
        "stem": "name of the input without folder and extension",
        "ext": "extension of the output format",
        "n": "number of the item, from 0",
        "model": "name of the model",
        "scale": "how many times larger the output is",
        "seed": "seed of the picture",
    }
)
MAX_PATTERN_LENGTH: Final = 200

_NUMBERS: Final = ("n", "scale", "seed")
_WIDTH: Final = re.compile(r"0[1-9][0-9]?|")  # `{n:06}`; nothing else is needed of a number
_MAX_WIDTH: Final = 20
_EXTENSIONS: Final = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp", "gif": "gif"}


class PatternError(ValueError):
    """A pattern that names nothing; its text says why."""


@dataclass(frozen=True)
class Named:
    """What an item's output is named by.

    Attributes:
        n: Number of the item in its job, from 0.
        source: Name of the input, with folders; empty if there is none.
        fields: Values of the other fields that the job has (`ext`, `model`, `scale`, `seed`).
    """

    n: int
    source: str
    fields: Mapping[str, str | int]


def check_pattern(pattern: str, available: Collection[str], extension: str | None = None) -> str:
    """Checks a pattern before a job is made with it.

    Args:
        pattern: Text with fields in braces; `{{` is a brace.
        available: Fields that items of this job have, some of `FIELDS`.
        extension: Of the output format; a pattern that ends in the one of another is refused.

    Returns:
        The pattern.

    Raises:
        PatternError: If a field is unknown or not available, has a format other than a width with zeros
            (`{n:06}`, numbers only), or if what comes out could not be a name.
    """
    if not 1 <= len(pattern) <= MAX_PATTERN_LENGTH:
        raise PatternError(f"a pattern has 1 to {MAX_PATTERN_LENGTH} characters")
    known = ", ".join(f"{{{field}}}" for field in FIELDS if field in available)
    try:
        pieces = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise PatternError(f"the braces do not fit together: {error}") from None
    for _, field, spec, conversion in pieces:
        if field is None:
            continue
        if field not in available or field not in FIELDS:
            raise PatternError(f"there is no field {{{field[:40]}}} here; there are {known}")
        if conversion is not None:
            raise PatternError(f"{{{field}!{conversion}}} has a conversion, and there are none")
        if not _WIDTH.fullmatch(spec or "") or int(spec or "0") > _MAX_WIDTH:
            raise PatternError(
                f"{{{field}:{(spec or '')[:40]}}}: a format is a width with zeros, as in {{n:06}}"
            )
        if spec and field not in _NUMBERS:
            raise PatternError(f"{{{field}:{spec}}} has a width, which only numbers have")
    literal = "".join(text for text, *_ in pieces)
    if any(map(unsafe_character, literal)):
        raise PatternError("a backslash or a character that cannot be seen is in it")
    last = pieces[-1][0] if pieces[-1][1] is None else ""
    written = _EXTENSIONS.get(last.rpartition(".")[2].lower()) if "." in last else None
    if extension is not None and written is not None and written != _EXTENSIONS.get(extension, extension):
        raise PatternError(
            f"it ends in .{last.rpartition('.')[2]}, and the files will be .{extension}; use {{ext}}"
        )
    values: dict[str, str | int] = {field: 1 if field in _NUMBERS else "a" for field in FIELDS}
    try:
        safe_name(_joined(pattern.format_map(values)))
    except ValueError as error:
        raise PatternError(str(error)) from None
    return pattern


def output_name(pattern: str, item: Named, taken: Callable[[str], bool]) -> str:
    """The name of one item's output.

    Two items that would have the same name, such as those of `a.jpg` and `a.png`, get different ones: the
    first in the order of items keeps it, the other gets its own number at the end, as in `a~17.png`.
    The name is decided once, when the item is made, and depends on nothing but earlier items.

    Args:
        pattern: As checked by `check_pattern`.
        item: What it is named by.
        taken: Whether an earlier item of the job has a name.

    Returns:
        A `safe_name`.

    Raises:
        UnsafeNameError: If the item cannot have a name, as its folders are too deep.
    """
    path, _, last = item.source.rpartition("/")
    stem = last.rpartition(".")[0] or last
    values: dict[str, str | int] = {"n": item.n, "path": path, "stem": stem, **item.fields}
    cleaned = {
        field: "/".join(map(_cleaned, value.split("/"))) if isinstance(value, str) else value
        for field, value in values.items()
    }
    name = safe_name(_shortened(_joined(pattern.format_map(cleaned)), ""))
    marked, mark = name, ""
    while taken(marked):
        mark += f"~{item.n}"
        marked = safe_name(_shortened(name, mark))
    return marked


def output_names(
    pattern: str, items: Iterable[Named], taken_among: Callable[[Collection[str]], Collection[str]]
) -> list[str | None]:
    """Names of consecutive items, as `output_name` gives them one by one.

    Args:
        pattern: As checked by `check_pattern`.
        items: In their order.
        taken_among: Which of some names earlier items of the job have, such as by one query; asked once
            for all, and once more for those that are not free.

    Returns:
        A name for each item, None for those that cannot have one.
    """
    items = list(items)
    wanted = [_or_none(pattern, item, _nothing) for item in items]
    used = set(taken_among({name for name in wanted if name is not None}))
    known = {name: name in used for name in wanted if name is not None}

    def taken(name: str) -> bool:
        if name not in known:
            known[name] = bool(taken_among({name}))
        return known[name] or name in used

    twice = {name for name, count in Counter(wanted).items() if name is not None and count > 1}
    marked = {
        _or_none(pattern, item, {name}.__contains__)
        for item, name in zip(items, wanted, strict=True)
        if name is not None and (name in used or name in twice)
    }
    asked = {name for name in marked if name is not None and name not in known}
    if asked:
        found = set(taken_among(asked))
        known.update({name: name in found for name in asked})
    names: list[str | None] = []
    for item, name in zip(items, wanted, strict=True):
        names.append(_or_none(pattern, item, taken) if name in used else name)
        if (given := names[-1]) is not None:
            used.add(given)
    return names


def _or_none(pattern: str, item: Named, taken: Callable[[str], bool]) -> str | None:
    try:
        return output_name(pattern, item, taken)
    except UnsafeNameError:
        return None


def _nothing(name: str) -> bool:
    return False


def _joined(name: str) -> str:
    """Without the empty parts that an empty `{path}` leaves."""
    return "/".join(part for part in name.split("/") if part)


def _cleaned(part: str) -> str:
    """A part of an input's name, which may be any text, as a part of a safe one."""
    part = "".join("_" if unsafe_character(c) else c for c in unicodedata.normalize("NFC", part))
    return "_" * len(part) if part in (".", "..") else part


def _shortened(name: str, mark: str) -> str:
    """A name with a mark before its extension, its last part cut if it would be too long."""
    path, slash, last = name.rpartition("/")
    stem, dot, extension = last.rpartition(".")
    if not stem or len(extension.encode()) > MAX_SEGMENT_BYTES // 4:
        stem, dot, extension = last, "", ""
    if last.startswith(PART_PREFIX):
        stem = f"_{stem}"
    room = MAX_SEGMENT_BYTES - len(f"{mark}{dot}{extension}".encode())
    return f"{path}{slash}{stem.encode()[:room].decode(errors='ignore')}{mark}{dot}{extension}"
