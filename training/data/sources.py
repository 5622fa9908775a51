"""Where image files lie: in a folder, with its sub-folders, or in a zip archive."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from training.data.decode import SUFFIXES
from training.errors import GantrainError


class DatasetError(GantrainError):
    """A dataset cannot be used as it is; the message says which files and why."""


class Source(Protocol):
    """Image files by name.

    Attributes:
        path: The folder or archive.
        names: Relative names of its images with forward slashes, sorted.
    """

    path: Path
    names: list[str]

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """The file, for reading no more than its beginning."""
        ...

    def metadata(self) -> bytes | None:
        """The bytes of `dataset.json`, if there is one."""
        ...

    def fingerprint(self, name: str) -> tuple[str, int, int]:
        """Name, size and a number that changes with the content."""
        ...


def open_source(path: Path) -> Source:
    """A folder or a zip file as a source of images.

    Raises:
        DatasetError: If it is neither, or holds no image.
    """
    source: Source
    if path.is_dir():
        source = FolderSource(path)
    elif path.exists():
        source = ZipSource(path)
    else:
        raise DatasetError(f"no dataset at {path}; `gantrain prepare` makes one")
    if not source.names:
        endings = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise DatasetError(f"{path} holds no PNG or other image (looked for {endings})")
    return source


def is_image_name(name: str) -> bool:
    """Whether a relative name is an image's, and not a hidden file or macOS's shadow of one (`__MACOSX/._a.png`)."""
    relative = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in relative.parts)
    return relative.suffix.lower() in SUFFIXES and not hidden


class FolderSource:
    """Images in a folder and its sub-folders; see `Source`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = (file for file in path.rglob("*") if file.is_file())
        self.names = sorted(n for n in (f.relative_to(path).as_posix() for f in found) if is_image_name(n))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.path / name).read_bytes()

    def open(self, name: str) -> IO[bytes]:
        """The file, for reading no more than its beginning."""
        return (self.path / name).open("rb")

    def metadata(self) -> bytes | None:
        """The bytes of `dataset.json`, if there is one."""
        path = self.path / "dataset.json"
        return path.read_bytes() if path.is_file() else None

    def fingerprint(self, name: str) -> tuple[str, int, int]:
        """Name, size and time of the last change."""
        status = (self.path / name).stat()
        return name, status.st_size, status.st_mtime_ns


class ZipSource:
    """Images in a zip archive; see `Source`. May be used after a fork and travels to other processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self.names = sorted(n for n in self._archive().namelist() if is_image_name(n))

    def _archive(self) -> zipfile.ZipFile:
        # A forked process shares the file position with its parent, so that each needs a handle of its own.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), zipfile.ZipFile(self.path))
            except (zipfile.BadZipFile, OSError) as error:
                raise DatasetError(f"{self.path} is not a zip file: {error}") from error
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self._archive().read(name)

    def open(self, name: str) -> IO[bytes]:
        """The file, for reading no more than its beginning."""
        # Pillow seeks while it looks for a format, which inside an archive means to begin anew; the beginning
        # of a file, held in memory, is enough for every header but those that follow a large profile.
        with self._archive().open(name) as file:
            head = file.read(1 << 16)
        return io.BytesIO(head)

    def metadata(self) -> bytes | None:
        """The bytes of `dataset.json`, if there is one."""
        archive = self._archive()
        return archive.read("dataset.json") if "dataset.json" in archive.namelist() else None

    def fingerprint(self, name: str) -> tuple[str, int, int]:
        """Name, size and checksum."""
        info = self._archive().getinfo(name)
        return name, info.file_size, info.CRC
