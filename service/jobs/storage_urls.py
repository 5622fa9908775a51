"""URLs of places for objects, taken apart so that no two readings of one are possible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from service.jobs.safe_names import unsafe_character

_FORM: Final = re.compile(r"(file|s3)://([^/?#]*)(/[^?#]*)?", re.IGNORECASE)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EXPECTED: Final = "file:///folder or s3://bucket/prefix"


class StorageUrlError(ValueError):
    """What was given is not the URL of a place for objects; its text says why."""


@dataclass(frozen=True)
class StorageUrl:
    """A URL taken apart.

    Attributes:
        scheme: `file` or `s3`.
        bucket: Empty for files.
        parts: Of the path, decoded; no part is empty, `.` or `..`.
    """

    scheme: Literal["file", "s3"]
    bucket: str
    parts: tuple[str, ...]

    def beneath(self, other: StorageUrl) -> tuple[str, ...] | None:
        """The parts that lead from the other to this one; None if this one is elsewhere."""
        if (self.scheme, self.bucket) != (other.scheme, other.bucket):
            return None
        length = len(other.parts)
        return self.parts[length:] if self.parts[:length] == other.parts else None


def read_url(url: str) -> StorageUrl:
    """Takes a URL apart. Escapes (`%20`) are decoded once, and never into what separates names.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`; a slash at the end changes nothing.

    Raises:
        StorageUrlError: If it is something else, or could be read in more than one way.
    """
    form = _FORM.fullmatch(url)
    if form is None:
        raise StorageUrlError(f"a URL such as {_EXPECTED}, without query or fragment, is needed")
    scheme, host, path = form[1].lower(), form[2], form[3] or ""
    if _ESCAPE.search(path):
        raise StorageUrlError("a percent sign that begins no escape is written %25")
    parts = tuple(_part(part) for part in path.strip("/").split("/")) if path.strip("/") else ()
    if path.startswith("//") or path.endswith("//"):
        raise StorageUrlError("two slashes follow each other")
    if scheme == "file":
        if host not in ("", "localhost") or not path:
            raise StorageUrlError("a folder of this machine is written file:///folder, with three slashes")
        return StorageUrl("file", "", parts)
    if not _BUCKET.fullmatch(host):
        raise StorageUrlError("a bucket has 3 to 63 characters: lower-case letters, digits, dots and hyphens")
    return StorageUrl("s3", host, parts)


def _part(part: str) -> str:
    try:
        decoded = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise StorageUrlError("an escape is not UTF-8") from None
    if not decoded:
        raise StorageUrlError("two slashes follow each other")
    if decoded in (".", ".."):
        raise StorageUrlError(f"{decoded!r} is not allowed in it")
    if "/" in decoded or any(map(unsafe_character, decoded)):
        raise StorageUrlError("a slash, backslash or unseen character is hidden in it")
    return decoded
