"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# Of the name in that of the unfinished file, which has to be short enough for any file system.
_NAME_CHARACTERS = 40


def write_atomically(
    path: Path, content: bytes, *, mode: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Write `content` to `path`, replacing what was there, or leave everything as it was.

    Args:
        path: The file.
        content: All of it.
        mode: Its permissions; None for those of any new file.
        owner: User and group it is given to; None for whoever writes it.

    Raises:
        OSError: The folder is missing or not writable, or the disk is full.
    """
    with writing_atomically(path, mode=mode, owner=owner) as file:
        file.write(content)


@contextmanager
def writing_atomically(
    path: Path,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
    staging: Path | None = None,
) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends, and is gone if that raises.

    Args:
        path: The file.
        mode: Its permissions; None for those of any new file.
        owner: User and group it is given to; None for whoever writes it.
        staging: Folder on the same file system for the unfinished file, which a killed process leaves there;
            None for that of `path`.

    Yields:
        The unfinished file.

    Raises:
        OSError: The folder is missing or not writable, or the disk is full.
    """
    handle, temporary = tempfile.mkstemp(
        prefix=f".{path.name[:_NAME_CHARACTERS]}.", dir=staging or path.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        if owner is not None and owner != (os.geteuid(), os.getegid()):
            os.chown(temporary, *owner)
        if mode is None:  # mkstemp makes files private; this one is to be as readable as any other
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
