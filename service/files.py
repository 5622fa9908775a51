"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
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
