"""Reads a Debian package's machine-readable copyright file: who made a file, and under which licence.

The format is DEP-5: stanzas apart by empty lines, of which those with `Files:` name patterns, holders and a
licence; the last one that matches a file is its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

SPDX = {
    "Expat": "MIT",
    "GPL-2+": "GPL-2.0-or-later",
    "GPL-3": "GPL-3.0-only",
    "GPL-3+": "GPL-3.0-or-later",
    "LGPLv3": "LGPL-3.0-only",
    "GFDL-NIV-1.2": "GFDL-1.2-no-invariants-only",
    "GFDL-NIV-1.2+": "GFDL-1.2-no-invariants-or-later",
    "free-art": "LicenseRef-Free-Art",
    "public-domain": "LicenseRef-public-domain",
}
"""Debian's and KDE's short names that SPDX has another one for; the rest are the same."""
_NAMED = 4


@dataclass(frozen=True)
class Terms:
    """Licence and holders of some files.

    Attributes:
        patterns: Paths in the source package, with `*` and `?`.
        holders: A line each, with years.
        licence: SPDX identifier.
        upstream: Name of the project behind the package.
    """

    patterns: tuple[str, ...]
    holders: tuple[str, ...]
    licence: str
    upstream: str

    @property
    def attribution(self) -> str:
        """Whom to credit, in a line."""
        if self.patterns == ("*",):  # what no other stanza names; its holders wrote the program
            return f"the contributors of {self.upstream}"
        holders = [re.sub(r"\s*<[^>]*>", "", holder) for holder in self.holders]
        if len(holders) > _NAMED:
            return f"{holders[0]} and {len(holders) - 1} others"
        return "; ".join(holders)


def parse_copyright(text: str) -> list[Terms]:
    """Reads the `Files:` stanzas, in order."""
    found = []
    upstream = re.search(r"^Upstream-Name:\s*(.+)$", text, re.M)
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = {
            key: [line.strip() for line in value.splitlines() if line.strip()]
            for key, value in re.findall(r"^(Files|Copyright|License):(.*(?:\n[ \t].*)*)", stanza, re.M)
        }
        if {"Files", "Copyright", "License"} <= fields.keys():
            licence = fields["License"][0]
            found.append(
                Terms(
                    tuple(" ".join(fields["Files"]).split()),
                    tuple(fields["Copyright"]),
                    SPDX.get(licence, licence),
                    upstream.group(1).strip() if upstream else "the package",
                )
            )
    return found


def terms_of(path: str, stanzas: list[Terms]) -> Terms | None:
    """The terms of an installed file.

    Args:
        path: Where the package has it. Its end is compared with the patterns, which name files in the source
            package, and endings such as `.jpg` are not: pictures are converted when the package is built.
        stanzas: As `parse_copyright` gave them.

    Returns:
        The last terms that match, or None.
    """
    name = PurePosixPath(path).with_suffix("").as_posix()
    for terms in reversed(stanzas):
        for pattern in terms.patterns:
            bare = pattern if pattern.endswith("*") else PurePosixPath(pattern).with_suffix("").as_posix()
            if fnmatchcase(name, bare) or fnmatchcase(name, f"*/{bare}"):
                return terms
    return None
