"""Which files of the repository are sent to the builder, as .dockerignore says."""

from __future__ import annotations

import os
import re
from pathlib import Path


class Ignored:
    """The patterns of a .dockerignore: the last that fits a path decides."""

    def __init__(self, text: str) -> None:
        """Reads them.

        Args:
            text: The file's content.
        """
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.splitlines():
            pattern = line.strip()
            if pattern and not pattern.startswith("#"):
                kept = pattern.startswith("!")
                self._rules.append((kept, _expression(pattern.lstrip("!").strip("/"))))

    def __contains__(self, path: str) -> bool:
        """Whether a path, relative to the root and with slashes, is left out."""
        parents = [path]
        while "/" in parents[-1]:
            parents.append(parents[-1].rpartition("/")[0])
        left_out = False
        for kept, expression in self._rules:
            if any(expression.fullmatch(each) for each in parents):
                left_out = not kept
        return left_out


def files(root: Path) -> list[str]:
    """The files that are sent, relative to `root`, sorted."""
    ignored = Ignored((root / ".dockerignore").read_text("utf-8"))
    # Every folder of ours that is not worth a look is named at the top level; links are sent as links.
    found = []
    for folder, names, members in os.walk(root):
        here = Path(folder).relative_to(root)
        if here == Path():
            names[:] = [
                name for name in names if not name.startswith(".") and name not in ("data", "runs", "out")
            ]
        found += [path for name in members if (path := (here / name).as_posix()) not in ignored]
    return sorted(found)


def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part) or re.escape(part) for part in parts))
