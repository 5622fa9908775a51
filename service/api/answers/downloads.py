"""Files that are to be saved rather than shown, under a name that is safe on every system (RFC 6266)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_ODD: Final = re.compile(r"[^A-Za-z0-9._ ()+=@-]")
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_LONGEST: Final = 150


def attachment(name: str) -> str:
    """The value of `Content-Disposition`.

    Args:
        name: Of the file, with folders, of which the last part alone is used.

    Returns:
        With the name in ASCII and, if that is another one, in UTF-8.
    """
    last = _UNSAFE.sub("_", name.rpartition("/")[2])[-_LONGEST:].strip(". ") or "file"
    plain = _ODD.sub("_", last)
    value = f'attachment; filename="{plain}"'
    return value if plain == last else f"{value}; filename*=UTF-8''{quote(last, safe='')}"
