"""One range of bytes of a file (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ONE: Final = re.compile(r"bytes=\s*(?:([0-9]{1,18})\s*-\s*([0-9]{0,18})|-([0-9]{1,18}))\s*")


class UnsatisfiableRangeError(Exception):
    """The file has no byte of the range."""


@dataclass(frozen=True)
class ByteRange:
    """Some bytes of a file.

    Attributes:
        start: The first one.
        length: How many; at least one, but for an empty file.
    """

    start: int
    length: int


def wanted_range(header: str, size: int) -> ByteRange | None:
    """The range that a client asks for.

    Args:
        header: `Range`.
        size: Of the file, in bytes.

    Returns:
        The range; None if all of the file is sent: for other units, several ranges, or what is no range.

    Raises:
        UnsatisfiableRangeError: The file ends before it begins, or it is empty.
    """
    found = _ONE.fullmatch(header.strip())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        if not length:
            raise UnsatisfiableRangeError
        return ByteRange(size - length, length)
    start, end = int(first), int(last) if last else size - 1
    if end < start and last:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return ByteRange(start, min(end, size - 1) - start + 1)
