"""An area that is a prefix of a bucket of S3, or of a server that speaks as S3 does."""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from service.jobs.area import (
    CHUNK_BYTES,
    Area,
    Content,
    Kind,
    ObjectTooLargeError,
    StorageError,
    StoredObject,
    chunks_of,
    name_to_read,
    name_to_write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import ObjectMeta
    from obstore.store import ClientConfig, S3Config


PART_BYTES: Final = 8 << 20  # what is larger goes up in parts of that size; S3 takes 10,000 of them
_STREAM_BYTES: Final = 4 * CHUNK_BYTES
_MAX_KEY_BYTES: Final = 1024
_DELETED_AT_A_TIME: Final = 1000
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_FULL: Final = {"507"}
# Of credentials that are renewed now and then; those that are wrong have other codes.
_EXPIRED: Final = ("ExpiredToken", "TokenRefreshRequired")
_LATER: Final = {"408", "409", "412", "425", "429"}


class S3Area(Area):
    """See `Area`. Credentials, region and endpoint are those of the environment (`AWS_…`)."""

    def __init__(self, bucket: str, parts: tuple[str, ...], timeout_seconds: float) -> None:
        """Opens nothing yet.

        Args:
            bucket: Its name.
            parts: Of the prefix.
            timeout_seconds: Longest wait for one answer; each call tries up to three times.
        """
        self._bucket = bucket
        self._parts = parts
        self._timeout = timeout_seconds
        environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        self._store = _store(bucket, timeout_seconds, environment)
        self._prefix = "/".join(parts)

    @property
    def url(self) -> str:
        """See `Area`."""
        return "s3://" + quote("/".join((self._bucket, *self._parts)))

    def below(self, name: str) -> S3Area:
        """See `Area`."""
        return S3Area(self._bucket, (*self._parts, *name_to_read(name).split("/")), self._timeout)

    def _key(self, name: str) -> str:
        key = f"{self._prefix}/{name}" if self._prefix else name
        if len(key.encode()) > _MAX_KEY_BYTES:
            raise StorageError(f"The name is longer than the {_MAX_KEY_BYTES} bytes S3 has for it", "refused")
        return key

    async def prepare(self) -> None:
        """See `Area`."""
        async with aclosing(self.list_pages(page=1)) as pages:
            await anext(pages, None)

    async def put(
        self,
        name: str,
        content: Content,
        *,
        attributes: Mapping[str, str] | None = None,
        settled: bool = True,
    ) -> int:
        """See `Area`. What is larger than `PART_BYTES` goes up in parts, and is given up if it fails."""
        del settled  # it is, once the server says that it has it
        key = self._key(name_to_write(name))
        parts = _parts(content)
        first, second = await anext(parts, b""), await anext(parts, None)
        if second is None:
            await self._put(key, first, attributes)
            return len(first)
        return await _Upload(self._store, key, attributes).send(first, second, parts)

    async def settle(self) -> None:
        """See `Area`."""

    async def _put(self, key: str, content: bytes, attributes: Mapping[str, str] | None) -> None:
        with _errors():
            await obstore.put_async(
                self._store, key, content, attributes=dict(attributes or {}), use_multipart=False
            )

    async def get(self, name: str, limit_bytes: int) -> bytes:
        """See `Area`."""
        with _errors():
            result = await obstore.get_async(self._store, self._key(name_to_read(name)))
            if result.meta["size"] > limit_bytes:
                raise ObjectTooLargeError(result.meta["size"], limit_bytes)
            return (await result.bytes_async()).to_bytes()

    async def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Area`."""
        key = self._key(name_to_read(name))
        if length <= 0:
            return b""
        try:
            with _errors():
                return (
                    await obstore.get_range_async(self._store, key, start=start, length=length)
                ).to_bytes()
        except StorageError:
            if start >= (await self.head(name)).size:
                return b""
            raise

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """See `Area`. Each piece is a request of its own, so that a slow reader never meets a timeout."""
        key = self._key(name_to_read(name))
        with _errors():
            meta = await obstore.head_async(self._store, key)
        for start in range(0, meta["size"], _STREAM_BYTES):
            end = min(start + _STREAM_BYTES, meta["size"])
            with _errors():
                result = await obstore.get_async(
                    self._store, key, options={"range": (start, end), "if_match": meta["e_tag"]}
                )
                piece = await result.bytes_async()
            yield piece.to_bytes()

    async def head(self, name: str) -> StoredObject:
        """See `Area`."""
        with _errors():
            meta = await obstore.head_async(self._store, self._key(name_to_read(name)))
        return StoredObject(name, meta["size"], meta["last_modified"])

    async def delete(self, names: Iterable[str]) -> None:
        """See `Area`."""
        keys = [self._key(name_to_read(name)) for name in names]
        for start in range(0, len(keys), _DELETED_AT_A_TIME):
            try:
                with _errors():
                    await obstore.delete_async(self._store, keys[start : start + _DELETED_AT_A_TIME])
            except StorageError as error:
                if error.kind != "missing":
                    raise

    async def delete_all(self) -> int:
        """See `Area`."""
        deleted = 0
        async for page in self.list_pages():
            await self.delete([found.name for found in page])
            deleted += len(page)
        return deleted

    async def list_pages(
        self, after: str | None = None, page: int = 1000
    ) -> AsyncGenerator[list[StoredObject], None]:
        """See `Area`."""
        prefix = f"{self._prefix}/" if self._prefix else ""
        found: list[StoredObject] = []
        with _errors():
            listing = aiter(
                obstore.list(
                    self._store,
                    prefix or None,
                    offset=None if after is None else prefix + after,
                    chunk_size=min(page, 1000),
                )
            )
        while True:
            with _errors():
                metas = await anext(listing, None)
            if metas is None:
                break
            for meta in metas:
                if await self._is_object(meta, prefix, after):
                    found.append(
                        StoredObject(meta["path"][len(prefix) :], meta["size"], meta["last_modified"])
                    )
                if len(found) == page:
                    yield found
                    found = []
        if found:
            yield found

    async def _is_object(self, meta: ObjectMeta, prefix: str, after: str | None) -> bool:
        """Whether what is listed is one; consoles mark folders by empty objects `folder/`."""
        if not meta["path"].startswith(prefix) or meta["path"] == f"{prefix}{after}":
            return False
        return meta["size"] > 0 or await self.exists(meta["path"][len(prefix) :])

    async def clean_up(self, older_than_seconds: float) -> int:
        """See `Area`."""
        return 0


class _Upload:
    """One object that goes up in parts. It is given up, and its parts removed, if anything goes wrong."""

    def __init__(self, store: S3Store, key: str, attributes: Mapping[str, str] | None) -> None:
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)
        self._task = asyncio.ensure_future(
            obstore.put_async(
                store,
                key,
                self._arriving(),
                attributes=dict(attributes or {}),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=2,
            )
        )

    async def _arriving(self) -> AsyncIterator[bytes]:
        while (part := await self._queue.get()) is not None:
            if isinstance(part, Exception):
                raise part  # the one way to have the parts removed
            yield part

    async def send(self, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> int:
        """Sends all parts; returns how many bytes they are."""
        size = len(first) + len(second)
        try:
            with _errors():
                await self._hand_over(first)
                await self._hand_over(second)
            async for part in rest:
                size += len(part)
                with _errors():
                    await self._hand_over(part)
            with _errors():
                await self._hand_over(None)
                await asyncio.shield(self._task)
        except BaseException:
            await self._give_up()
            raise
        return size

    async def _hand_over(self, part: bytes | None) -> None:
        waiting = asyncio.ensure_future(self._queue.put(part))
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._task.done():
            self._task.result()

    async def _give_up(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(_GivenUpError())
        while not self._task.done():
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError:
                continue  # parts that stay behind cost money: they are removed first
        self._task.exception()


class _GivenUpError(Exception):
    """Ends an upload that is not wanted any more."""


@functools.lru_cache(64)
def _store(bucket: str, timeout_seconds: float, environment: tuple[tuple[str, str], ...]) -> S3Store:
    """One client, and so one set of connections, for all areas of a bucket."""
    variables = dict(environment)
    endpoint = next((variables[name] for name in _ENDPOINTS if variables.get(name)), None)
    options: ClientConfig = {"timeout": timedelta(seconds=timeout_seconds)}
    config: S3Config = {}
    if endpoint is not None:
        config["endpoint"] = endpoint
        if endpoint.startswith("http://"):
            options["allow_http"] = True
    options["connect_timeout"] = timedelta(seconds=min(5.0, timeout_seconds))
    try:
        return S3Store(
            bucket,
            config=config,
            client_options=options,
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=2 * timeout_seconds)},
        )
    except BaseError as error:
        raise StorageError(
            f"The bucket {bucket!r} cannot be opened: {_first_line(error)}", "refused"
        ) from None


async def _parts(content: Content) -> AsyncIterator[bytes]:
    """Content in pieces of `PART_BYTES`, the last one smaller."""
    part = bytearray()
    async for chunk in chunks_of(content):
        for start in range(0, len(chunk), PART_BYTES):
            part += memoryview(chunk)[start : start + PART_BYTES]
            if len(part) >= PART_BYTES:
                yield bytes(memoryview(part)[:PART_BYTES])
                del part[:PART_BYTES]
    if part:
        yield bytes(part)


@contextmanager
def _errors() -> Iterator[None]:
    """Has what obstore raises be `StorageError`."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise _storage_error(error) from error


def _storage_error(error: Exception) -> StorageError:
    text = str(error)
    status = found.group(1) if (found := _STATUS.search(text)) else ""
    code = f" ({found.group(1)})" if (found := _CODE.search(text)) else ""
    if status in _FULL or "StorageFull" in code or "Quota" in code:
        return StorageError(f"The storage is full{code}", "full")
    if any(expired in code for expired in _EXPIRED):
        return StorageError(f"The credentials for the storage have expired{code}", "unavailable")
    if isinstance(error, FileNotFoundError | NotFoundError) or status == "404":
        return StorageError(f"There is no such object or bucket{code}", "missing")
    if isinstance(error, PermissionError | PermissionDeniedError | UnauthenticatedError) or status in (
        "401",
        "403",
    ):
        return StorageError(f"The storage does not permit it{code}", "refused")
    if (status.startswith("4") and status not in _LATER) or status.startswith("3"):
        return StorageError(f"The storage refuses it with status {status}{code}", "refused")
    kind: Kind = "unavailable"
    if status:
        return StorageError(f"The storage answers with status {status}{code}", kind)
    return StorageError("The storage does not answer", kind)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
