"""Names of objects that every storage can hold and no reader can be fooled by."""

from __future__ import annotations

import unicodedata
from typing import Final

PART_PREFIX: Final = ".ganserve-part-"  # a file still being written; never an object
MAX_SEGMENT_BYTES: Final = 255  # of most file systems
MAX_NAME_BYTES: Final = 1024  # of S3

# Control characters, formats such as the one that reverses text, lone surrogates, ends of lines.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"  # formats that belong to the spelling of words and emoji


class UnsafeNameError(ValueError):
    """A name that nothing is stored under; its text says why."""


def safe_name(name: str) -> str:
    """Checks the name that an object is to be stored under.

    Args:
        name: Segments with `/` between them.

    Returns:
        The name, normalised (Unicode NFC), so that one name is never two objects.

    Raises:
        UnsafeNameError: If a segment is empty, `.`, `..`, too long or kept for files being written, if there
            is a backslash or a character that cannot be seen, or if the whole is too long.
    """
    name = unicodedata.normalize("NFC", name)
    for character in name:
        if unsafe_character(character):
            raise UnsafeNameError(f"the character U+{ord(character):04X} is not allowed in a name")
    for segment in name.split("/"):
        if not segment:
            raise UnsafeNameError("a name has no empty parts: no slash first, last or twice")
        if segment in (".", ".."):
            raise UnsafeNameError(f"{segment!r} is not a name")
        if segment.startswith(PART_PREFIX):
            raise UnsafeNameError(f"names that begin with {PART_PREFIX!r} are kept for files being written")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise UnsafeNameError(f"a part of the name is longer than {MAX_SEGMENT_BYTES} bytes")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UnsafeNameError(f"the name is longer than {MAX_NAME_BYTES} bytes")
    return name


def unsafe_character(character: str) -> bool:
    """Whether a character is allowed in no name."""
    if character in _JOINERS:
        return False
    return character == "\\" or unicodedata.category(character) in _UNSEEN


def is_beneath(name: str) -> bool:
    """Whether a name, however odd, stays within the folder it is looked up in."""
    return "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))
