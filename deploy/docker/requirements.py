"""Prints what extras of a pyproject.toml need, a requirement a line: all but the project itself.

Usage: requirements.py pyproject.toml EXTRA[,EXTRA…]

With it an image gets its dependencies before the project's own code is there, in a layer that a change of
that code leaves alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def requirements(pyproject: dict[str, Any], extras: list[str]) -> list[str]:
    """The requirements of a project with some of its extras.

    Args:
        pyproject: The file's content.
        extras: Names of extras; those that name others of the same project bring them along.

    Returns:
        Sorted, each once.

    Raises:
        KeyError: There is no such extra.
    """
    project = pyproject["project"]
    itself = re.compile(re.escape(project["name"]) + r"\[([^\]]+)\]\s*")
    found = set(project["dependencies"])
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            if match := itself.fullmatch(requirement):
                found.update(requirements(pyproject, [name.strip() for name in match[1].split(",")]))
            else:
                found.add(requirement)
    return sorted(found)


if __name__ == "__main__":
    content = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))
    print("\n".join(requirements(content, sys.argv[2].split(","))))
