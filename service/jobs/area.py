"""A place for objects: a folder or a prefix of a bucket, with the same promises for both."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final, Literal, TypeAlias
from urllib.parse import quote

from service.jobs.safe_names import UnsafeNameError, is_beneath, safe_name

Kind = Literal["missing", "refused", "full", "unavailable"]
Content: TypeAlias = "bytes | AsyncIterable[bytes] | IO[bytes]"
CHUNK_BYTES: Final = 1 << 20


class StorageError(Exception):
    """Storage did not do what was asked.

    Attributes:
        reason: In a sentence without what only the operator should see.
        kind: `missing` (no such object, folder or bucket), `refused` (no permission, read-only, a name
            that cannot be), `full` (disk, quota), `unavailable` (does not answer, or not properly).
    """

    def __init__(self, reason: str, kind: Kind) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: Kind = kind

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later though nobody changes it."""
        return self.kind in ("full", "unavailable")


class ObjectTooLargeError(Exception):
    """An object has more bytes than the caller takes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the object has {size} bytes; {limit} are accepted")
        self.size = size
        self.limit = limit


@dataclass(frozen=True)
class StoredObject:
    """One object as listings show it.

    Attributes:
        name: Relative to the area, as it is stored.
        size: In bytes.
        modified: When it was written.
    """

    name: str
    size: int
    modified: datetime


class Area(ABC):
    """Objects below one folder or one prefix of a bucket. All names are relative to it.

    What is written has a `safe_name`; what is read may have any name that stays within the area.
    Every method raises `StorageError`.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL of the area itself, without a slash at its end."""

    @abstractmethod
    def below(self, name: str) -> Area:
        """The area of the objects whose names begin with `name/`; nothing is asked of the storage."""

    @abstractmethod
    async def prepare(self) -> None:
        """Sees to it that objects can be stored: makes a folder, or asks for a bucket."""

    @abstractmethod
    async def put(
        self,
        name: str,
        content: Content,
        *,
        attributes: Mapping[str, str] | None = None,
        settled: bool = True,
    ) -> int:
        """Stores an object, whole or not at all, in place of what had the name.

        However this ends, nobody ever sees a part of it: not after SIGKILL, not on a full disk, not when
        this is cancelled.

        Args:
            name: A `safe_name`.
            content: Bytes, chunks as they come, or an open file, read from where it stands.
            attributes: Such as `Content-Type`; folders do not keep them.
            settled: Whether to wait until a power failure cannot undo it; for many small objects it is
                cheaper to `settle` all of them once.

        Returns:
            Bytes stored.

        Raises:
            StorageError: If it is not stored. What `content` raises is raised unchanged.
        """

    @abstractmethod
    async def settle(self) -> None:
        """Returns once everything stored before outlives a power failure."""

    @abstractmethod
    async def get(self, name: str, limit_bytes: int) -> bytes:
        """All of an object.

        Raises:
            ObjectTooLargeError: If it is larger than the limit; it is not read then.
            StorageError: If it cannot be read.
        """

    @abstractmethod
    async def get_range(self, name: str, start: int, length: int) -> bytes:
        """Bytes from `start` (0 or more), as many as asked for or as there are."""

    @abstractmethod
    def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """An object in chunks of about `CHUNK_BYTES`, read as they are taken.

        Raises:
            StorageError: If it cannot be read, or is replaced meanwhile.
        """

    @abstractmethod
    async def head(self, name: str) -> StoredObject:
        """Size and time of an object."""

    async def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        try:
            await self.head(name)
        except StorageError as error:
            if error.kind == "missing":
                return False
            raise
        return True

    @abstractmethod
    async def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; those that are not there are deleted already."""

    @abstractmethod
    async def delete_all(self) -> int:
        """Deletes every object of the area, and what was left of unfinished ones.

        Returns:
            How many objects.
        """

    @abstractmethod
    def list_pages(
        self, after: str | None = None, page: int = 1000
    ) -> AsyncGenerator[list[StoredObject], None]:
        """All objects of the area in pages, in the one order that the storage has.

        That is the order of the names' UTF-8 bytes in folders and, but for servers that order by
        folder, on S3. Close the iterator (`contextlib.aclosing`) when leaving it early.

        Args:
            after: Begin after this name, one of an earlier page, though it may be gone by now.
            page: Most objects in a page.
        """

    @abstractmethod
    async def clean_up(self, older_than_seconds: float) -> int:
        """Removes what killed processes left of objects they were writing.

        Args:
            older_than_seconds: What was touched since is left alone, as it may be in the making.

        Returns:
            How many files were removed. On S3 a lifecycle rule of the bucket does it.
        """

    async def delete_prefix(self, name: str) -> int:
        """Deletes every object below `name/`; returns how many."""
        return await self.below(name).delete_all()

    def url_of(self, name: str) -> str:
        """The URL of an object of the area."""
        return f"{self.url}/{quote(name)}"


def name_to_write(name: str) -> str:
    """Checks a name that is written to; raises `StorageError`."""
    try:
        if safe_name(name) == name:
            return name
    except UnsafeNameError as error:
        raise StorageError(f"Nothing is stored as {name[:100]!r}: {error}", "refused") from None
    raise StorageError(f"Nothing is stored as {name[:100]!r}: it is not in Unicode form NFC", "refused")


def name_to_read(name: str) -> str:
    """Checks a name that is read from; raises `StorageError`."""
    if not is_beneath(name):
        raise StorageError(f"{name[:100]!r} is not the name of an object", "refused")
    return name


async def chunks_of(content: Content) -> AsyncIterator[bytes]:
    """Whatever may be stored, in chunks."""
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, AsyncIterable):
        async for chunk in content:
            yield chunk
    else:
        while chunk := await asyncio.to_thread(content.read, CHUNK_BYTES):
            yield chunk
