"""Where image files lie: in a folder, with its sub-folders, or in a zip archive."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from training.data.decode import SUFFIXES
from training.errors import GantrainError

_NAMED = 10


class DatasetError(GantrainError):
    """A dataset cannot be used as it is; the message says which files and why."""


def refuse(path: Path, problems: Sequence[str], total: int) -> None:
    """Raises a `DatasetError` that tells all problems of a dataset at once, if there are any.

    Args:
        path: The dataset.
        problems: A sentence each that begins with the name of a file; the first ten are told.
        total: How many files there are.
    """
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems[:_NAMED])
        more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        count = f"{len(problems)} of {total} images cannot be used"
        raise DatasetError(f"{path}: {count}; mend them or take them out:{lines}{more}")


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class Source(Protocol):
    """Image files by name.

    Attributes:
        path: The folder or archive.
        names: Relative names of its images with forward slashes, sorted.
        others: Names of its files that are not taken for images, sorted.
    """

    path: Path
    names: list[str]
    others: list[str]

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


def _sorted_out(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of images and of other files; hidden ones, and the shadows in macOS's `__MACOSX`, are neither."""
    images: list[str] = []
    others: list[str] = []
    for name in sorted(names):
        relative = PurePosixPath(name)
        if any(part.startswith(".") or part == "__MACOSX" for part in relative.parts):
            continue
        if relative.suffix.lower() in SUFFIXES:
            images.append(name)
        elif name != "dataset.json":
            others.append(name)
    return images, others


class FolderSource:
    """Images in a folder and its sub-folders; see `Source`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        self.names, self.others = _sorted_out(files)

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
        files = (info.filename for info in self._archive().infolist() if not info.is_dir())
        self.names, self.others = _sorted_out(files)

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
        # Pillow seeks while it looks for the format, and inside an archive every step back reads anew. So the
        # beginning comes as a whole; it holds every header but those behind a large profile.
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
