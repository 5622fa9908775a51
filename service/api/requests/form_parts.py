"""Multipart bodies as they arrive: where parts begin, what is in them, and that the last one ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.api.errors.problems import ProblemError, invalid_field

MEDIA_TYPE: Final = "multipart/form-data"

_MAX_HEADER_BYTES: Final = 4096  # of a part's headers together


class FormParts:
    """Tells of each part as soon as it is there; nothing of a part's content is kept."""

    def __init__(
        self,
        boundary: bytes,
        *,
        begins: Callable[[str, str | None], None],
        data: Callable[[memoryview], None],
        ends: Callable[[], None] = lambda: None,
    ) -> None:
        """Begins a body.

        Args:
            boundary: See `boundary_of`.
            begins: Called with the name of a part, and that of its file if it has one.
            data: Called with some of the part's content, valid during the call only.
            ends: Called when the part is complete.
        """
        self._begins = begins
        self._header = bytearray()
        self._value = bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._part_is_named,
                "on_part_data": lambda content, start, end: data(memoryview(content)[start:end]),
                "on_part_end": ends,
                "on_end": self._ends,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Takes what has arrived.

        Args:
            chunk: The next bytes of the body.

        Raises:
            ProblemError: If that is no such body.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise malformed(str(error)) from None

    def finish(self) -> None:
        """Ends the body.

        Raises:
            ProblemError: If it is incomplete.
        """
        if not self._ended:
            raise malformed("the last boundary is missing")

    def _part_begins(self) -> None:
        self._disposition = b""
        self._header_bytes = 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += self._counted(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, piece: bytes) -> bytes:
        self._header_bytes += len(piece)
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise malformed(f"the headers of a part are longer than {_MAX_HEADER_BYTES} bytes")
        return piece

    def _header_ends(self) -> None:
        name = bytes(self._header).lower()
        if name == b"content-disposition":
            self._disposition = bytes(self._value)
        elif name == b"content-transfer-encoding" and bytes(self._value).strip().lower() != b"binary":
            raise malformed("Content-Transfer-Encoding is not used in HTTP (RFC 7578, section 4.7)")
        self._header.clear()
        self._value.clear()

    def _part_is_named(self) -> None:
        disposition, parameters = parse_options_header(self._disposition)
        if disposition != b"form-data" or b"name" not in parameters:
            raise malformed("a part has no Content-Disposition with a name")
        filename = parameters.get(b"filename")
        self._begins(
            parameters[b"name"].decode("utf-8", "replace"),
            None if filename is None else filename.decode("utf-8", "replace"),
        )

    def _ends(self) -> None:
        self._ended = True


def boundary_of(request: Request) -> bytes:
    """What separates the parts of a request's body.

    Args:
        request: The request.

    Returns:
        1 to 70 characters.

    Raises:
        ProblemError: If the body is of another type.
    """
    content_type = request.headers.get("content-type", "")
    media_type, parameters = parse_options_header(content_type)
    if media_type != MEDIA_TYPE.encode():
        raise ProblemError(
            "unsupported-media-type",
            f"The body is {content_type!r}; this call reads {MEDIA_TYPE}."
            if content_type
            else f"The request has no Content-Type; this call reads {MEDIA_TYPE}.",
            headers={"accept": MEDIA_TYPE},
            accepted=[MEDIA_TYPE],
        )
    boundary = parameters.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise malformed("Content-Type has no boundary of 1 to 70 characters")
    return boundary


def malformed(reason: str) -> ProblemError:
    """The problem of a body that is no form.

    Args:
        reason: What is wrong with it.

    Returns:
        The exception to raise.
    """
    return invalid_field("body", f"not multipart/form-data: {reason}", "parts between boundaries (RFC 7578)")
