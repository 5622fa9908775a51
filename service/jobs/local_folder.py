"""Files beneath one folder, reached so that no link leads out of it; blocking, for threads."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import heapq
import os
import secrets
import stat
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from service.jobs.area import Kind, StorageError, StoredObject
from service.jobs.safe_names import MAX_NAME_BYTES, PART_PREFIX

P = ParamSpec("P")
Result = TypeVar("Result")

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING: Final = {errno.ENOENT}
_REFUSED: Final = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTEMPTY, errno.EILSEQ, errno.EINVAL, errno.ENXIO),
}
_NO_UNNAMED_FILES: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_SORTED_AT_A_TIME: Final = 100_000  # names of one folder held in memory while it is listed
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if hasattr(ctypes.CDLL(None), "syncfs") else None
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def storage_errors(function: Callable[P, Result]) -> Callable[P, Result]:
    """Has a function raise `StorageError` for every `OSError`."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise storage_error(error) from error

    return wrapped


def storage_error(error: OSError) -> StorageError:
    """What an error of the file system means."""
    kind: Kind = "unavailable"
    if error.errno in _FULL:
        kind = "full"
    elif error.errno in _MISSING:
        kind = "missing"
    elif error.errno in _REFUSED:
        kind = "refused"
    return StorageError(os.strerror(error.errno) if error.errno else "The file system failed", kind)


class LocalFolder:
    """Opens, makes, lists and removes files beneath a root.

    Links within the folder are followed as long as what they lead to is beneath the root as well. That is
    so at the moment of use, not only when somebody looked: every step is taken from an open folder, and a
    step onto a link is refused.
    """

    def __init__(self, root: Path, parts: tuple[str, ...]) -> None:
        self.root = root
        self.parts = parts

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
        """An open folder beneath this one.

        Args:
            parts: Names from here.
            create: Makes what is missing.
        """
        if create:
            self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root, _FOLDER)
        try:
            for part in self._steps((*self.parts, *parts)):
                step = _step(handle, part, create=create)
                os.close(handle)
                handle = step
            yield handle
        finally:
            os.close(handle)

    def prepare(self) -> None:
        """Makes the folder; raises `OSError` if nothing can be put into it."""
        with self.folder((), create=True) as handle:
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=handle):
                read_only = os.fstatvfs(handle).f_flag & os.ST_RDONLY
                raise OSError(errno.EROFS if read_only else errno.EACCES, "nothing can be written")

    def stays_within(self) -> bool:
        """Whether no link on the way to this folder leads out of the root."""
        try:
            self._steps(self.parts)
        except StorageError:
            return False
        return True

    def _steps(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Names from the root to a folder without links in between."""
        root = os.path.realpath(self.root)
        real = os.path.realpath(Path(root, *parts))
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise StorageError("A link leads out of the folder that may be used", "refused")
        return () if real == root else tuple(real[len(root.rstrip("/")) + 1 :].split("/"))

    @contextmanager
    def file(self, name: str) -> Iterator[int]:
        """An open regular file, for reading."""
        *folders, last = name.split("/")
        steps = self._steps((*self.parts, *folders, last))
        if not steps:
            raise StorageError("That is a folder, not a file", "refused")
        with LocalFolder(self.root, ()).folder(steps[:-1]) as folder:
            handle = os.open(
                steps[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
            )
        try:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                kind: Kind = "missing" if stat.S_ISDIR(mode) else "refused"
                raise StorageError("There is no file of that name, but something else", kind)
            yield handle
        finally:
            os.close(handle)

    def walk(self, after: str | None) -> Generator[StoredObject, None, None]:
        """All files, in the order of their names' bytes, whole names compared."""
        with LocalFolder(self.root, ()).folder(()):
            pass  # a missing root is an error, as a missing bucket is; a missing folder in it is empty
        with contextlib.suppress(FileNotFoundError), self.folder(()) as handle:
            yield from self._walk(handle, b"", None if after is None else os.fsencode(after))

    def _walk(self, folder: int, prefix: bytes, after: bytes | None) -> Iterator[StoredObject]:
        reached = b""
        while True:
            keys = heapq.nsmallest(_SORTED_AT_A_TIME, (key for key in _keys(folder) if key > reached))
            for key in keys:
                name = prefix + key
                if key.endswith(b"/"):
                    if after is not None and after > name and not after.startswith(name):
                        continue
                    with contextlib.suppress(FileNotFoundError), _opened(key[:-1], folder) as inner:
                        yield from self._walk(inner, name, after)
                elif (after is None or name > after) and (found := self._stored(folder, key, name)):
                    yield found
            if len(keys) < _SORTED_AT_A_TIME:
                return
            reached = keys[-1]

    def _stored(self, folder: int, key: bytes, name: bytes) -> StoredObject | None:
        """A file as listed; None for what is no object."""
        if len(name) > MAX_NAME_BYTES:
            return None
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return None
        try:
            status = os.stat(key, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                with self.file(text) as handle:
                    status = os.fstat(handle)
        except (OSError, StorageError):
            return None  # gone by now, or a link to nothing that may be read
        return stored(text, status) if stat.S_ISREG(status.st_mode) else None

    def settle(self) -> None:
        """Writes the file system that this folder is on to its disk."""
        with contextlib.suppress(FileNotFoundError), self.folder(()) as handle:
            if _LIBC is None:
                os.sync()
            elif _LIBC.syncfs(handle) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")

    def remove(self, name: str) -> None:
        """Removes a file, if there is one."""
        *folders, last = name.split("/")
        with contextlib.suppress(FileNotFoundError), self.folder(tuple(folders)) as folder:
            os.unlink(last, dir_fd=folder)

    def remove_all(self) -> int:
        """Removes everything beneath this folder, and the folder itself unless it is the root."""
        removed = 0
        with contextlib.suppress(FileNotFoundError):
            with self.folder(()) as handle:
                removed = _empty(handle)
            if self.parts:
                with LocalFolder(self.root, self.parts[:-1]).folder(()) as above:
                    _remove_folder(self.parts[-1], above)
        return removed

    def remove_parts(self, older_than_seconds: float) -> int:
        """Removes files that were never finished."""
        removed, limit = 0, time.time() - older_than_seconds
        with contextlib.suppress(FileNotFoundError), self.folder(()) as top:
            for _, _, files, folder in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                for name in files:
                    if not name.startswith(PART_PREFIX):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime <= limit:
                            os.unlink(name, dir_fd=folder)
                            removed += 1
        return removed


class NewFile:
    """A file in the making, seen by nobody until `finish`.

    Where the file system can, it has no name until then, and a killed process leaves nothing behind.
    """

    def __init__(self, area: LocalFolder, name: str, settled: bool) -> None:
        self._area = area
        self._settled = settled
        *folders, self._last = name.split("/")
        self._folders = tuple(folders)
        self._closing = contextlib.ExitStack()
        self._part: str | None = None
        self.size = 0

    def open(self) -> NewFile:
        """Makes the folders and the file; `close` it in any case."""
        for attempt in range(3):  # a folder may be removed as empty between the two calls
            try:
                self._folder = self._closing.enter_context(self._area.folder(self._folders, create=True))
                self._file = self._opened()
                break
            except FileNotFoundError:
                self._closing.close()
                if attempt == 2:
                    raise
        self._closing.callback(os.close, self._file)
        return self

    def _opened(self) -> int:
        unnamed = getattr(os, "O_TMPFILE", None)
        if unnamed is not None and Path("/proc/self/fd").exists():
            try:
                return os.open(".", unnamed | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_UNNAMED_FILES:
                    raise
        self._part = PART_PREFIX + secrets.token_hex(12)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._part, flags, 0o666, dir_fd=self._folder)

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._file, left) :]
        self.size += len(chunk)

    def finish(self) -> int:
        """Gives the file its name, once it is on disk; returns its size."""
        try:
            if self._settled:
                os.fsync(self._file)
            if self._part is None:
                source = f"/proc/self/fd/{self._file}"
                try:
                    os.link(source, self._last, dst_dir_fd=self._folder, follow_symlinks=True)
                except FileExistsError:  # a link replaces nothing, a renaming does
                    self._part = PART_PREFIX + secrets.token_hex(12)
                    os.link(source, self._part, dst_dir_fd=self._folder, follow_symlinks=True)
            if self._part is not None:
                os.rename(self._part, self._last, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                self._part = None
            if self._settled:
                os.fsync(self._folder)
        finally:
            self.close()
        return self.size

    def close(self) -> None:
        """Gives up; nothing is left of it."""
        with self._closing:
            if self._part is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._part, dir_fd=self._folder)
                self._part = None


def stored(name: str, status: os.stat_result) -> StoredObject:
    """A file as listings show it."""
    return StoredObject(name, status.st_size, datetime.fromtimestamp(status.st_mtime, timezone.utc))


def _step(folder: int, part: str, *, create: bool) -> int:
    flags = _FOLDER | os.O_NOFOLLOW
    if not create:
        return os.open(part, flags, dir_fd=folder)
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
            os.fsync(folder)
        return os.open(part, flags, dir_fd=folder)


@contextmanager
def _opened(name: bytes, folder: int) -> Iterator[int]:
    handle = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def _keys(folder: int) -> Iterator[bytes]:
    """Names in a folder; those of folders with a slash, so that they sort as the names within do."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield os.fsencode(entry.name) + b"/"
            elif not entry.name.startswith(PART_PREFIX):
                yield os.fsencode(entry.name)


def _empty(folder: int) -> int:
    removed = 0
    for top, folders, files, handle in os.fwalk(".", topdown=False, dir_fd=folder, follow_symlinks=False):
        del top
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=handle)
                removed += not name.startswith(PART_PREFIX)
        for name in folders:
            with contextlib.suppress(FileNotFoundError):
                _remove_folder(name, handle)
    return removed


def _remove_folder(name: str, above: int) -> None:
    try:
        os.rmdir(name, dir_fd=above)
    except NotADirectoryError:
        os.unlink(name, dir_fd=above)  # a link to a folder
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # somebody puts something into it just now
            raise
