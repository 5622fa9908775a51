"""Multipart bodies: one image and a few text fields, bounded while they arrive, then validated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from service.api.context import Services
from service.api.errors.problems import ProblemError, invalid_field
from service.api.errors.validation import accepted_fields, validation_problem
from service.api.requests.body import refuse_encoded, too_large
from service.api.requests.form_parts import FormParts, boundary_of
from service.settings import Settings

IMAGE_FIELD: Final = "image"

_MAX_TEXT_BYTES: Final = 1024
_RETRY_FULL: Final = "2"
_AN_IMAGE: Final = "one image file, in any of the formats that are read"

Schema = TypeVar("Schema", bound=BaseModel)


@contextmanager
def room_for_upload(request: Request, services: Services) -> Iterator[None]:
    """Keeps the files of all calls together within memory, before the first byte of this one is read.

    Args:
        request: Its body not yet read. Without `Content-Length` it counts as the largest that is accepted.
        services: Of the gateway.

    Yields:
        Once; the room is given back afterwards.

    Raises:
        ProblemError: `queue-full`.
    """
    settings, declared = services.settings, request.headers.get("content-length", "")
    size = (
        min(int(declared), settings.max_upload_bytes) if declared.isdecimal() else settings.max_upload_bytes
    )
    if services.uploaded_bytes and services.uploaded_bytes + size > settings.max_uploads_bytes:
        services.metrics.rejected.labels("none", "queue-full").inc()
        raise ProblemError(
            "queue-full",
            f"The gateway holds {services.uploaded_bytes} bytes of image files and takes no more now; "
            f"try again in {_RETRY_FULL} s.",
            headers={"retry-after": _RETRY_FULL},
        )
    services.uploaded_bytes += size
    try:
        yield
    finally:
        services.uploaded_bytes -= size


async def read_upload(request: Request, schema: type[Schema], settings: Settings) -> tuple[bytes, Schema]:
    """Reads a multipart body: the part `image`, and text parts for the fields of a schema.

    Names of files are never looked at, and nothing is written to disk.

    Args:
        request: The request, its body not yet read.
        schema: What the text parts must be.
        settings: How many bytes are accepted, counted while they arrive, and how long they may take.

    Returns:
        The image file, and the validated fields.

    Raises:
        ProblemError: If the body is too large, too slow, of another type, or not valid.
        ClientDisconnect: If the client leaves before the body is complete.
    """
    files, fields = await read_files(request, schema, settings)
    return files[IMAGE_FIELD], fields


async def read_files(
    request: Request, schema: type[Schema], settings: Settings, **optional: str
) -> tuple[dict[str, bytes], Schema]:
    """The same, with further files beside the image.

    Args:
        request: As for `read_upload`.
        schema: As for `read_upload`.
        settings: As for `read_upload`; the files count together.
        optional: What may come with the image: names of parts, and what each is, for problems.

    Returns:
        The files by name, and the validated fields.

    Raises:
        ProblemError: As for `read_upload`.
        ClientDisconnect: As for `read_upload`.
    """
    form = _Form(boundary_of(request), schema, {IMAGE_FIELD: _AN_IMAGE, **optional})
    refuse_encoded(request)
    try:
        await asyncio.wait_for(
            _receive(request, form, settings.max_upload_bytes), settings.upload_timeout_seconds
        )
    except asyncio.TimeoutError:
        raise ProblemError(
            "request-timeout",
            f"The body was not complete within {settings.upload_timeout_seconds:g} s.",
            headers={"connection": "close"},  # what is still to come of it would be taken for a request
        ) from None
    files, texts = form.finish()
    try:
        return files, schema.model_validate_strings(texts)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation_problem(details, accepted_fields(schema)) from None


async def _receive(request: Request, form: _Form, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        form.feed(chunk)
        if not message.get("more_body", False):
            return


class _Form:
    """Parts as the parser finds them; whatever is not expected ends the request there and then."""

    def __init__(self, boundary: bytes, schema: type[BaseModel], files: Mapping[str, str]) -> None:
        self._files = frozenset(files)
        self._accepted = {**files, **accepted_fields(schema)}
        self._contents: dict[str, bytearray] = {}
        self._name = ""
        self._parts = FormParts(boundary, begins=self._part_begins, data=self._data)
        self.feed = self._parts.feed

    def finish(self) -> tuple[dict[str, bytes], dict[str, str]]:
        """The files, the image among them, and the text fields."""
        self._parts.finish()
        if IMAGE_FIELD not in self._contents:
            raise invalid_field(IMAGE_FIELD, "Field required", _AN_IMAGE)
        there = self._files & self._contents.keys()
        files = {name: bytes(self._contents.pop(name)) for name in there}
        texts: dict[str, str] = {}
        for name, data in self._contents.items():
            try:
                texts[name] = data.decode()
            except UnicodeDecodeError:
                raise invalid_field(name, "not UTF-8", self._accepted[name]) from None
        return files, texts

    def _part_begins(self, name: str, filename: str | None) -> None:
        del filename
        if name not in self._accepted:
            raise invalid_field(name[:64], "Unknown field", "only these fields: " + ", ".join(self._accepted))
        if name in self._contents:
            raise invalid_field(name, "given twice", self._accepted[name])
        self._name = name
        self._contents[name] = bytearray()

    def _data(self, data: memoryview) -> None:
        part = self._contents[self._name]
        if self._name not in self._files and len(part) + len(data) > _MAX_TEXT_BYTES:
            raise invalid_field(
                self._name, f"longer than {_MAX_TEXT_BYTES} bytes", self._accepted[self._name]
            )
        part += data
