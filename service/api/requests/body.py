"""Request bodies: read with a limit, checked for their type, validated."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from service.api.errors.problems import ProblemError, invalid_field
from service.api.errors.validation import accepted_fields, validation_problem
from service.settings import Settings

_MAX_ERRORS = 1000
# Lists and objects in a body. As many empty ones as fit into a megabyte take a second of parsing, which would
# hold up everybody else; no call needs so many.
_MAX_PARTS = 20_000

Schema = TypeVar("Schema", bound=BaseModel)


async def read_json(request: Request, schema: type[Schema], settings: Settings) -> Schema:
    """Reads and validates a JSON body.

    Args:
        request: The request, its body not yet read.
        schema: What the body must be.
        settings: How many bytes are accepted, counted while they arrive whatever `Content-Length` says, and
            how long they may take.

    Returns:
        The validated body.

    Raises:
        ProblemError: If the body is too large, too slow, of another type, or not valid.
        ClientDisconnect: If the client leaves before the body is complete.
    """
    content_type = request.headers.get("content-type", "")
    if not _is_json(content_type):
        raise ProblemError(
            "unsupported-media-type",
            f"The body is {content_type!r}; this call reads application/json."
            if content_type
            else "The request has no Content-Type; this call reads application/json.",
            headers={"accept": "application/json"},
            accepted=["application/json"],
        )
    refuse_encoded(request)
    body = await _read_in_time(request, settings.max_body_bytes, settings.receive_timeout_seconds)
    return parsed_json(body, schema)


def parsed_json(body: bytes | bytearray, schema: type[Schema]) -> Schema:
    """Validates a JSON text that has been read.

    Args:
        body: The text, bounded.
        schema: What it must be.

    Returns:
        The validated body.

    Raises:
        ProblemError: If it is not valid.
    """
    if (parts := body.count(b"[") + body.count(b"{")) > _MAX_PARTS:
        raise invalid_field("body", f"{parts} lists and objects", f"at most {_MAX_PARTS} of them")
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > _MAX_ERRORS:  # describing a megabyte of them would hold up everybody else
            raise invalid_field(
                "body",
                f"{error.error_count()} errors",
                "a JSON object with these fields: " + ", ".join(schema.model_fields),
            ) from None
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation_problem(details, accepted_fields(schema)) from None


def refuse_encoded(request: Request) -> None:
    """Refuses a body that is compressed: nobody can say how large it is before it is unpacked.

    Args:
        request: The request.

    Raises:
        ProblemError: If `Content-Encoding` names any encoding.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise ProblemError(
            "unsupported-media-type",
            f"The body is encoded with {encoding!r}; this call reads bodies that are not compressed.",
            headers={"accept-encoding": "identity"},
            accepted=["identity"],
        )


def too_large(limit: int) -> ProblemError:
    """The problem of a body beyond a limit.

    Args:
        limit: In bytes.

    Returns:
        The exception to raise.
    """
    return ProblemError("body-too-large", f"The body is larger than {limit} bytes.", limit_bytes=limit)


async def _read_in_time(request: Request, limit: int, seconds: float) -> bytes | bytearray:
    try:
        return await asyncio.wait_for(_read(request, limit), seconds)
    except asyncio.TimeoutError:
        raise ProblemError(
            "request-timeout",
            f"The body was not complete within {seconds:g} s.",
            headers={"connection": "close"},  # what is still to come of it would be taken for a request
        ) from None


async def _read(request: Request, limit: int) -> bytes | bytearray:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return body


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    charset = parameters.lower().replace(" ", "").replace('"', "")
    return media_type == "application/json" and charset in ("", "charset=utf-8", "charset=utf8")


async def read_image(request: Request, media_types: Collection[str], limit: int, seconds: float) -> bytes:
    """Reads a body that is an image file, by its `Content-Type`.

    Args:
        request: The request, its body not yet read.
        media_types: What the call reads; forms are read elsewhere.
        limit: Most bytes accepted, counted while they arrive.
        seconds: How long they may take.

    Returns:
        The file, which may be anything.

    Raises:
        ProblemError: If the body is too large, too slow, empty, or of another type.
        ClientDisconnect: If the client leaves before the body is complete.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() not in media_types:
        accepted = sorted(media_types)
        raise ProblemError(
            "unsupported-media-type",
            f"The body is {content_type!r}; this call reads images."
            if content_type
            else "The request has no Content-Type; this call reads images.",
            headers={"accept": ", ".join(accepted)},
            accepted=accepted,
        )
    refuse_encoded(request)
    body = await _read_in_time(request, limit, seconds)
    if not body:
        raise invalid_field("body", "The file is empty", "one image file")
    return bytes(body)
