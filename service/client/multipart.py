"""Files as the body of a call (multipart/form-data, RFC 7578), read from disk while they are sent."""

from __future__ import annotations

import asyncio
import errno
import mimetypes
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

NamedFile: TypeAlias = str | PathLike[str] | tuple[str, str | PathLike[str] | bytes]
"""A file to send: its path; or what the server is to call it (folders with `/`), and its path or bytes."""

_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True)
class Parts:
    """What is sent together.

    Attributes:
        fields: Text, by name; JSON where it looks like it.
        files: Name of the field and file, in their order.
    """

    fields: Mapping[str, str]
    files: Sequence[tuple[str, NamedFile]]


class FileChangedError(OSError):
    """A file was not as long any more as when sending began."""


class Multipart:
    """Parts of which the sizes are known, so that a server knows how much will come."""

    def __init__(self, parts: Parts) -> None:
        """Looks at the sizes.

        Args:
            parts: What is sent.

        Raises:
            OSError: A file is not there.
        """
        boundary = secrets.token_hex(16)
        self._pieces: list[tuple[bytes, bytes | Path, int]] = []
        for name, text in parts.fields.items():
            kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
            content = text.encode()
            head = f'Content-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}'
            self._add(boundary, head, content, len(content))
        for field, given in parts.files:
            name, source = given if isinstance(given, tuple) else (Path(given).name, given)
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            head = (
                f'Content-Disposition: form-data; name="{field}"; filename="{_escaped(name)}"\r\n'
                f"Content-Type: {kind}"
            )
            if isinstance(source, bytes):
                self._add(boundary, head, source, len(source))
            else:
                path = Path(source)
                self._add(boundary, head, path, path.stat().st_size)
        self._end = f"--{boundary}--\r\n".encode()
        length = sum(len(head) + size + 2 for head, _, size in self._pieces) + len(self._end)
        self.headers = {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(length),
        }

    def _add(self, boundary: str, head: str, content: bytes | Path, size: int) -> None:
        # Names of files are any bytes; what is no UTF-8 is replaced, since the name is for people.
        start = f"--{boundary}\r\n{head}\r\n\r\n".encode(errors="replace")
        self._pieces.append((start, content, size))

    def blocks(self) -> Iterator[bytes]:
        """The body, from its beginning.

        Raises:
            FileChangedError: A file has another size by now.
            OSError: A file cannot be read.
        """
        for head, content, size in self._pieces:
            yield head
            if isinstance(content, bytes):
                yield content
            else:
                yield from _file_blocks(content, size)
            yield b"\r\n"
        yield self._end

    async def async_blocks(self) -> AsyncIterator[bytes]:
        """The same, read in threads.

        Raises:
            FileChangedError: A file has another size by now.
            OSError: A file cannot be read.
        """
        blocks = self.blocks()
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            yield block


def _file_blocks(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb", buffering=0) as file:
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            left -= len(block)
            yield block
        if left or file.read(1):
            raise FileChangedError(errno.ESTALE, "it changed while it was sent", str(path))


def _escaped(name: str) -> str:
    """As browsers do."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
