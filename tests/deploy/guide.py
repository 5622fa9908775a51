"""The operator's guide as tests read it: its sections, and the commands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "deploy" / "README.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """What the guide has below a heading, up to the next one of the same rank or a higher one."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", GUIDE.read_text(), re.MULTILINE)
    assert found is not None, f"the guide has no heading {title!r}"
    rest = GUIDE.read_text()[found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def commands(text: str) -> list[str]:
    """The commands of all blocks in a text, continued lines joined."""
    found: list[str] = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
    return found


def command(title: str, beginning: str) -> str:
    """The one command of a section that begins so."""
    found = [each for each in commands(section(title)) if each.startswith(beginning)]
    assert len(found) == 1, f"{title}: {beginning}: {found}"
    return found[0]
