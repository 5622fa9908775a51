"""Reads files out of packages without unpacking them: npm's tarballs, Debian's .deb, Qt's .rcc.

Nothing is ever written under a name that an archive gives, so none can lead out of a folder.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from training.errors import GantrainError

Keep = Callable[[str], bool]
"""Decides by name whether a member is wanted."""


class PackageError(GantrainError):
    """A package is damaged, or built in a way that is not known here; the message names it."""


def npm_members(path: Path, keep: Keep) -> Iterator[tuple[str, bytes]]:
    """Reads an npm tarball.

    Args:
        path: A `.tgz`.
        keep: Told names without the leading `package/`.

    Yields:
        Name and content of each wanted file, in the order of the tarball.

    Raises:
        PackageError: If the file is no such tarball.
    """
    with path.open("rb") as file:
        yield from _tar_members(file, path, "package/", keep)


def deb_members(path: Path, keep: Keep) -> Iterator[tuple[str, bytes]]:
    """Reads the files that a Debian package installs; needs no tool of Debian's.

    A .deb is an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)).

    Args:
        path: A `.deb`.
        keep: Told names without the leading `./`, such as `usr/share/doc/x/copyright`.

    Yields:
        Name and content of each wanted file, in the order of the package.

    Raises:
        PackageError: If the file is no such package.
    """
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise PackageError(f"{path} is no Debian package")
        while header := file.read(60):
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58]
            if len(header) < 60 or header[58:] != b"`\n" or not size.strip().isdigit():
                raise PackageError(f"{path} is damaged")
            start = file.tell()
            if name.startswith("data.tar"):
                # Wrapped, so that tarfile finds the end where the member ends.
                yield from _tar_members(io.BytesIO(file.read(int(size))), path, "./", keep)
                return
            file.seek(start + int(size) + int(size) % 2)  # members begin at even offsets
    raise PackageError(f"{path} holds no data.tar")


def _tar_members(file: IO[bytes], path: Path, prefix: str, keep: Keep) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                name = member.name.removeprefix(prefix)
                if member.isfile() and keep(name):
                    content = tar.extractfile(member)
                    assert content is not None  # isfile() was asked
                    yield name, content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise PackageError(f"{path} is damaged: {error}") from error


_COMPRESSED, _DIRECTORY, _ZSTD = 1, 2, 4


def rcc_members(data: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Reads a binary Qt resource file, as `rcc --binary` writes it (versions 1 to 3).

    It starts with `qres`, the version and the offsets of three tables. The tree has a node of 14 bytes (22
    from version 2 on, with a time) per file or folder; names are UTF-16 behind a length and a hash; data
    stand behind their length. All numbers are big-endian.

    Args:
        data: The whole file.
        where: What to call it in messages.

    Yields:
        Path and content of each file.

    Raises:
        PackageError: If the file is damaged or compressed in another way than with zlib.
    """
    try:
        magic, version, tree, payload, names = struct.unpack_from(">4s4I", data)
        if magic != b"qres" or version not in (1, 2, 3):
            raise PackageError(f"{where} is no Qt resource file of version 1 to 3")
        node_size = 14 if version == 1 else 22
        waiting = [(0, "")]
        while waiting:
            index, parent = waiting.pop()
            node = tree + index * node_size
            name_at, flags = struct.unpack_from(">IH", data, node)
            length = struct.unpack_from(">H", data, names + name_at)[0]
            name = data[names + name_at + 6 :][: 2 * length].decode("utf-16-be")
            path = f"{parent}/{name}" if parent else name
            if flags & _DIRECTORY:
                count, first = struct.unpack_from(">2I", data, node + 6)
                if first <= index or (first + count) * node_size > len(data):
                    raise PackageError(f"{where} is damaged: its tree leads back or out")
                waiting += [(child, path) for child in reversed(range(first, first + count))]
            else:
                at = payload + struct.unpack_from(">I", data, node + 10)[0]
                size = struct.unpack_from(">I", data, at)[0]
                content = data[at + 4 : at + 4 + size]
                if flags & _ZSTD or len(content) < size:
                    problem = "is compressed with zstd" if flags & _ZSTD else "is cut short"
                    raise PackageError(f"{where}: {path} {problem}")
                # Qt puts the size of the result before the zlib stream.
                yield path, zlib.decompress(content[4:]) if flags & _COMPRESSED else content
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise PackageError(f"{where} is damaged: {error}") from error
