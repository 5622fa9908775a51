"""An area that is a local folder, or one mounted from elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, ParamSpec, TypeVar
from urllib.parse import quote

from service.jobs.area import (
    CHUNK_BYTES,
    Area,
    Content,
    ObjectTooLargeError,
    StoredObject,
    chunks_of,
    name_to_read,
    name_to_write,
)
from service.jobs.local_folder import LocalFolder, NewFile, storage_errors, stored

P = ParamSpec("P")
Result = TypeVar("Result")

# Threads of their own: a folder that hangs (a network file system) must not hold up everything else.
_THREADS: Final = ThreadPoolExecutor(16, thread_name_prefix="local-area")


class LocalArea(Area):
    """See `Area`. Links that lead out of the root are refused, links to folders are not listed."""

    def __init__(self, root: Path, parts: tuple[str, ...] = ()) -> None:
        """Opens nothing yet.

        Args:
            root: An absolute path; what nothing leads out of.
            parts: Names from there to the area.
        """
        self._files = LocalFolder(root, parts)

    @property
    def url(self) -> str:
        """See `Area`."""
        return "file://" + quote(str(self._files.root.joinpath(*self._files.parts)))

    def below(self, name: str) -> LocalArea:
        """See `Area`."""
        return LocalArea(self._files.root, (*self._files.parts, *name_to_read(name).split("/")))

    async def stays_within(self) -> bool:
        """Whether no link on the way to the area leads out of the root."""
        return await _read_in_thread(self._files.stays_within)

    async def prepare(self) -> None:
        """See `Area`."""
        await _in_thread(self._files.prepare)

    async def put(
        self,
        name: str,
        content: Content,
        *,
        attributes: Mapping[str, str] | None = None,
        settled: bool = True,
    ) -> int:
        """See `Area`."""
        del attributes  # files have none
        name_to_write(name)
        if isinstance(content, bytes):
            return await _in_thread(self._put, name, content, settled)
        file = NewFile(self._files, name, settled)
        try:
            await _in_thread(file.open)
            async for chunk in chunks_of(content):
                await _in_thread(file.write, chunk)
            return await _in_thread(file.finish)
        finally:
            await _in_thread(file.close)

    async def settle(self) -> None:
        """See `Area`."""
        await _in_thread(self._files.settle)

    def _put(self, name: str, content: bytes, settled: bool) -> int:
        file = NewFile(self._files, name, settled)
        try:
            file.open().write(content)
            return file.finish()
        finally:
            file.close()

    async def get(self, name: str, limit_bytes: int) -> bytes:
        """See `Area`."""
        return await _read_in_thread(self._get, name_to_read(name), limit_bytes)

    def _get(self, name: str, limit: int) -> bytes:
        with self._files.file(name) as handle:
            size = os.fstat(handle).st_size
            if size > limit:
                raise ObjectTooLargeError(size, limit)
            return _read(handle, 0, size)

    async def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Area`."""
        return await _read_in_thread(self._get_range, name_to_read(name), start, length)

    def _get_range(self, name: str, start: int, length: int) -> bytes:
        with self._files.file(name) as handle:
            return _read(handle, start, length)

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """See `Area`."""
        file = self._files.file(name_to_read(name))
        try:
            handle, start = await _in_thread(file.__enter__), 0
            while chunk := await _in_thread(_read, handle, start, CHUNK_BYTES):
                start += len(chunk)
                yield chunk
        finally:
            await _in_thread(file.__exit__, None, None, None)

    async def head(self, name: str) -> StoredObject:
        """See `Area`."""
        return await _read_in_thread(self._head, name_to_read(name))

    def _head(self, name: str) -> StoredObject:
        with self._files.file(name) as handle:
            return stored(name, os.fstat(handle))

    async def delete(self, names: Iterable[str]) -> None:
        """See `Area`."""
        for some in _in_lists(map(name_to_read, names), 1000):
            await _in_thread(self._delete, some)

    def _delete(self, names: list[str]) -> None:
        for name in names:
            self._files.remove(name)

    async def delete_all(self) -> int:
        """See `Area`."""
        return await _in_thread(self._files.remove_all)

    async def list_pages(
        self, after: str | None = None, page: int = 1000
    ) -> AsyncGenerator[list[StoredObject], None]:
        """See `Area`."""
        files = self._files.walk(after)
        try:
            while found := await _in_thread(_take, files, page):
                yield found
        finally:
            await _in_thread(files.close)

    async def clean_up(self, older_than_seconds: float) -> int:
        """See `Area`."""
        return await _in_thread(self._files.remove_parts, older_than_seconds)


async def _read_in_thread(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Runs a function in a thread. If cancelled nobody waits for it: it changes nothing."""
    return await _begun_in_thread(function, *args, **kwargs)


def _begun_in_thread(
    function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
) -> asyncio.Future[Result]:
    return asyncio.get_running_loop().run_in_executor(
        _THREADS, lambda: storage_errors(function)(*args, **kwargs)
    )


async def _in_thread(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Runs a function in a thread and waits for its end even if cancelled, as it cannot be stopped."""
    work = _begun_in_thread(function, *args, **kwargs)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                continue
        if not work.cancelled():
            work.exception()  # looked at, so that nobody says it was not
        raise


def _read(handle: int, start: int, length: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(handle, min(length, 8 * CHUNK_BYTES), start)):
        pieces.append(piece)
        start += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _take(objects: Iterator[StoredObject], count: int) -> list[StoredObject]:
    return list(itertools.islice(objects, count))


def _in_lists(names: Iterator[str], size: int) -> Iterator[list[str]]:
    while some := list(itertools.islice(names, size)):
        yield some
