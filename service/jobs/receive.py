"""A job's files as they arrive in a multipart body: each goes to storage at once, and all or none stay."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import structlog
from starlette.requests import ClientDisconnect, Request

from service.api.errors.problems import ProblemError, invalid_field
from service.api.requests.body import refuse_encoded, too_large
from service.api.requests.form_parts import FormParts, boundary_of
from service.jobs.area import CHUNK_BYTES, Area, StorageError
from service.jobs.safe_names import MAX_NAME_BYTES, unsafe_character
from service.settings import Settings

log = structlog.get_logger(__name__)

_SMALL_BYTES: Final = CHUNK_BYTES  # what is smaller is stored in one call, many at a time
_SMALL_AT_A_TIME: Final = 16
_LARGE_AT_A_TIME: Final = 2
_FEW_EVENTS: Final = 16
_FED_AT_A_TIME: Final = 4096  # bytes of a body of tiny parts that are parsed at a time
_FIELDS: Final = "one text part `job`, files as `files` and archives as `zip`"

Field = Literal["files", "zip"]


@dataclass(frozen=True)
class ReceivedFile:
    """A file that is stored.

    Attributes:
        field: The part it came as.
        name: As the client calls it, with folders; not unique, and nothing is stored under it.
        object: Its name in the area.
        size: In bytes.
        sha256: Of its content, hexadecimal.
    """

    field: Field
    name: str
    object: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ReceivedJob:
    """A request whose files are all stored.

    Attributes:
        job: The part `job`, not yet looked at.
        files: In the order of the request.
    """

    job: bytes
    files: tuple[ReceivedFile, ...]

    @cached_property
    def files_sha256(self) -> str:
        """Tells requests with other files apart, whatever boundaries they use; hexadecimal."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.field}\0{file.name}\0{file.sha256}\0".encode())
        return digest.hexdigest()


async def receive_job(
    request: Request,
    area: Area,
    settings: Settings,
    *,
    on_job: Callable[[bytes], Awaitable[None]] | None = None,
) -> ReceivedJob:
    """Stores the files of a request as they come, and waits for storage before more is read.

    File number `n` of the request becomes the object `inputs/<n>`. If this ends in any other way than by
    returning, whatever was stored is deleted again.

    Args:
        request: A multipart body, not yet read: a part `job`, and parts `files` and `zip` in any order.
        area: For this request alone; nothing is in it.
        settings: Limits.
        on_job: Called with the part `job` as soon as it is there, to refuse it before its files come.

    Returns:
        What came.

    Raises:
        ProblemError: If the body is too large, too slow, or not as it should be.
        StorageError: If the files cannot be stored.
        ClientDisconnect: If the client leaves before the body is complete.
    """
    receiver = _Receiver(boundary_of(request), area, settings, on_job)
    refuse_encoded(request)
    try:
        return await asyncio.wait_for(receiver.receive(request), settings.job_upload_timeout_seconds)
    except asyncio.TimeoutError:
        await _undone(receiver)
        raise _too_slow(f"complete within {settings.job_upload_timeout_seconds:g} s") from None
    except BaseException:
        await _undone(receiver)
        raise


async def _undone(receiver: _Receiver) -> None:
    """Waits until nothing is left, however often it is told to stop."""
    work = asyncio.ensure_future(receiver.undo())
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            continue
    work.result()


class _Receiver:
    def __init__(
        self,
        boundary: bytes,
        area: Area,
        settings: Settings,
        on_job: Callable[[bytes], Awaitable[None]] | None,
    ) -> None:
        self._area = area
        self._settings = settings
        self._on_job = on_job
        self._parts = FormParts(boundary, begins=self._begins, data=self._data, ends=self._ends)
        self._begun: _Part | None = None
        self._events: deque[tuple[_Part, bytes | None]] = deque()  # None: the part is complete
        self._step = _FED_AT_A_TIME
        self._files = 0
        self._has_job = False
        self._job: bytes | None = None
        self._stored: list[ReceivedFile] = []
        self._small: set[asyncio.Task[None]] = set()
        self._large: set[asyncio.Task[None]] = set()

    async def receive(self, request: Request) -> ReceivedJob:
        limit, size = self._settings.max_job_upload_bytes, 0
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_large(limit)
        while True:
            message = await self._next(request)
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            _raise_of(self._small | self._large)
            await self._take(chunk)
            if not message.get("more_body", False):
                break
        self._parts.finish()
        if self._job is None:
            raise invalid_field("job", "Field required", _FIELDS)
        await _all_of(self._small | self._large)
        await self._area.settle()
        return ReceivedJob(self._job, tuple(sorted(self._stored, key=lambda file: int(file.object[7:]))))

    async def undo(self) -> None:
        """Stops what is under way and deletes what was stored."""
        for task in self._large:
            task.cancel()
        # Small ones are one request each: a server may carry out one that is cancelled, after the deletion.
        await asyncio.gather(*self._small, *self._large, return_exceptions=True)
        if not self._files:
            return
        try:
            await self._area.delete_all()
        except StorageError as error:  # whoever cleans up finds it later
            log.warning("files of a refused job are left", area=self._area.url, reason=error.reason)

    async def _next(self, request: Request) -> MutableMapping[str, Any]:
        seconds = self._settings.receive_timeout_seconds
        try:
            message = await asyncio.wait_for(request.receive(), seconds)
        except asyncio.TimeoutError:
            raise _too_slow(f"gone on with for {seconds:g} s") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message

    async def _take(self, chunk: bytes) -> None:
        start = 0
        while start < len(chunk):
            self._parts.feed(chunk[start : start + self._step])
            start += self._step
            # Of tiny parts it is the parsing that takes time, and others have their turn in between.
            self._step = (
                _FED_AT_A_TIME if len(self._events) > _FEW_EVENTS else min(2 * self._step, CHUNK_BYTES)
            )
            while self._events:
                await self._handle(*self._events.popleft())
            await asyncio.sleep(0)

    # What the parser finds

    def _begins(self, name: str, filename: str | None) -> None:
        if name == "job":
            if self._has_job:
                raise invalid_field("job", "given twice", _FIELDS)
            self._has_job = True
            self._begun = _Part("job", "", -1)
        elif name == "files":
            self._begun = self._file("files", filename)
        elif name == "zip":
            self._begun = self._file("zip", filename)
        else:
            raise invalid_field(name[:64], "Unknown field", _FIELDS)

    def _file(self, field: Field, filename: str | None) -> _Part:
        if filename is None:
            raise invalid_field(field, "a part without `filename`", _FIELDS)
        part = _Part(field, _item_name(filename, field), self._files)
        part.left_out = not filename  # a form in which no file was chosen sends an empty one
        self._files += not part.left_out
        if self._files > self._settings.max_job_files:
            raise ProblemError(
                "too-many-files",
                f"The request has more than {self._settings.max_job_files} files.",
                limit_files=self._settings.max_job_files,
            )
        return part

    def _data(self, data: memoryview) -> None:
        assert self._begun is not None
        self._events.append((self._begun, bytes(data)))

    def _ends(self) -> None:
        assert self._begun is not None
        self._events.append((self._begun, None))

    # What becomes of it

    async def _handle(self, part: _Part, data: bytes | None) -> None:
        if data is not None:
            self._count(part, data)
        if part.field == "job":
            if data is not None:
                part.content += data
            else:
                self._job = bytes(part.content)
                if self._on_job is not None:
                    await self._on_job(self._job)
        elif data is None:
            await self._complete(part)
        elif part.chunks is not None:
            await self._hand_over(part, data)
        else:
            part.content += data
            if len(part.content) > _SMALL_BYTES:
                part.chunks = asyncio.Queue(2)
                part.task = await self._start(self._large, _LARGE_AT_A_TIME, self._put_large(part))
                await self._flush(part)

    def _count(self, part: _Part, data: bytes) -> None:
        part.size += len(data)
        if part.field == "job":
            if part.size > self._settings.max_body_bytes:
                raise invalid_field("job", f"longer than {self._settings.max_body_bytes} bytes", _FIELDS)
            return
        part.digest.update(data)
        if part.left_out:
            raise invalid_field(part.field, "a file without a name", _FIELDS)
        if part.field == "files" and part.size > self._settings.max_upload_bytes:
            raise ProblemError(
                "body-too-large",
                f"The file {part.name[:100]!r} is larger than {self._settings.max_upload_bytes} bytes.",
                limit_bytes=self._settings.max_upload_bytes,
            )

    async def _complete(self, part: _Part) -> None:
        if part.left_out:
            return
        if part.chunks is None:
            await self._start(self._small, _SMALL_AT_A_TIME, self._put_small(part))
            return
        await self._flush(part)
        await self._wait_for_room(part, None)

    async def _hand_over(self, part: _Part, data: bytes) -> None:
        part.content += data
        if len(part.content) >= CHUNK_BYTES:
            await self._flush(part)

    async def _flush(self, part: _Part) -> None:
        content, part.content = bytes(part.content), bytearray()
        if content:
            await self._wait_for_room(part, content)

    async def _wait_for_room(self, part: _Part, content: bytes | None) -> None:
        """Gives a chunk to the task that stores the file, or learns that it failed."""
        assert part.chunks is not None
        assert part.task is not None
        waiting = asyncio.ensure_future(part.chunks.put(content))
        try:
            await asyncio.wait({waiting, part.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if part.task.done():
            part.task.result()

    async def _start(
        self, tasks: set[asyncio.Task[None]], at_a_time: int, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        while len(tasks) >= at_a_time:
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    tasks.discard(task)
                    task.result()
            except BaseException:
                work.close()
                raise
        task = asyncio.ensure_future(work)
        tasks.add(task)
        return task

    async def _put_small(self, part: _Part) -> None:
        self._note(part, await self._area.put(part.object, bytes(part.content), settled=False))

    async def _put_large(self, part: _Part) -> None:
        self._note(part, await self._area.put(part.object, _arriving(part), settled=False))

    def _note(self, part: _Part, size: int) -> None:
        assert part.field != "job"
        self._stored.append(ReceivedFile(part.field, part.name, part.object, size, part.digest.hexdigest()))


class _Part:
    def __init__(self, field: Literal["job", "files", "zip"], name: str, number: int) -> None:
        self.field = field
        self.name = name
        self.object = f"inputs/{number}"
        self.left_out = False
        self.size = 0
        self.digest = hashlib.sha256()
        self.content = bytearray()
        self.chunks: asyncio.Queue[bytes | None] | None = None
        self.task: asyncio.Task[None] | None = None


async def _arriving(part: _Part) -> AsyncGenerator[bytes, None]:
    assert part.chunks is not None
    while (chunk := await part.chunks.get()) is not None:
        yield chunk


async def _all_of(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        _raise_of(tasks)


def _raise_of(tasks: set[asyncio.Task[None]]) -> None:
    """Raises what one of some tasks raised, if one did."""
    for task in tasks:
        if task.done():
            task.result()


def _item_name(filename: str, field: str) -> str:
    """What the client calls a file, with folders, and without what would mislead a reader."""
    parts = [
        "".join("_" if unsafe_character(character) else character for character in part)
        for part in unicodedata.normalize("NFC", filename).replace("\\", "/").split("/")
        if part not in ("", ".", "..")
    ]
    name = "/".join(parts)
    if len(name.encode()) > MAX_NAME_BYTES:
        raise invalid_field(field, f"a file's name is longer than {MAX_NAME_BYTES} bytes", _FIELDS)
    return name or "file"


def _too_slow(expected: str) -> ProblemError:
    return ProblemError(
        "request-timeout",
        f"The body was not {expected}.",
        headers={"connection": "close"},  # what is still to come of it would be taken for a request
    )
