"""The keys in use: the keys file as it was when it was last in order, read again whenever it changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from service.keys import KeySet, KeysFileError, read_keys

log = structlog.get_logger("ganserve.keys")

_Signature = tuple[int, ...] | str


class Keyring:
    """Keys that can change under way: requests in flight keep what they came with, later ones meet the new.

    A file that is broken or gone changes nothing: the keys stay those of its last good state, and an error is
    logged, once for every such state of the file.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Args:
            path: The keys file; may be a link that is pointed elsewhere now and then.

        Raises:
            KeysFileError: It is not in order.
        """
        self._path = path
        self._seen = _signature(path)
        self.keys: KeySet = read_keys(path)

    async def keep_fresh(self, seconds: float) -> None:
        """Looks every so many seconds whether the file is another; never returns."""
        while True:
            await asyncio.sleep(seconds)
            # A folder that comes over a network may take its time.
            signature = await asyncio.to_thread(_signature, self._path)
            if signature == self._seen:
                continue
            self._seen = signature
            try:
                keys = await asyncio.to_thread(read_keys, self._path)
            except KeysFileError as error:
                log.error("the keys stay as they were", reason=str(error))
            else:
                self.keys = keys
                log.info("keys read", file=str(self._path), names=sorted(key.name for key in keys))


def _signature(path: Path) -> _Signature:
    """Another one whenever the file is another, or was written to."""
    try:
        stat = path.stat()
    except OSError as error:
        return type(error).__name__
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
