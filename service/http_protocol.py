"""HTTP/1.1 with the bounds that uvicorn leaves open: on heads, on patience either way, and on connections."""

from __future__ import annotations

import asyncio
import contextlib
from email.utils import formatdate
from time import monotonic
from typing import ClassVar, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.access.security_headers import security_headers
from service.api.errors.problems import ProblemError, problem_response
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.records import RequestRecord, record_of

# What orchestrators and monitoring ask; a gateway that is busy must not look dead to them.
_ALWAYS_ANSWERED: Final = (b"/healthz", b"/readyz", b"/metrics")
# Connections beyond the limit that get an answer; those beyond these are closed at once.
_ANSWERED_BEYOND: Final = 100
_RETRY_SECONDS: Final = "2"


class _RefusedError(Exception):
    """Ends parsing; uvicorn then asks for the answer."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is not HTTP, too much of it or too slow; the application sees none of these.

    `close_if_unread` has to be called about once a second.
    """

    max_head_bytes: ClassVar[int]
    receive_timeout: ClassVar[float]
    send_timeout: ClassVar[float]
    max_connections: ClassVar[int]
    extra_headers: ClassVar[dict[str, str]]
    metrics: ClassVar[Metrics]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for the first request."""
        super().connection_made(transport)
        self._head_begun = False
        self._head_bytes = 0
        self._refusal: ProblemError | None = None
        self._waiting_for_head: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes that wait for the client, when it was last looked
        self._read_at = monotonic()
        beyond = len(self.connections) - self.max_connections
        self._one_too_many = beyond > 0
        if beyond > _ANSWERED_BEYOND:
            transport.abort()
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts bytes for as long as they belong to a head, which the parser keeps until it is complete."""
        in_head = self._waiting_for_head is not None
        super().data_received(data)
        if in_head and self._waiting_for_head is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """The first byte of a request: its head has only so long from now on."""
        super().on_message_begin()
        self._wait_for_head()
        self._head_begun = True

    def on_headers_complete(self) -> None:
        """The head is there; its last piece was not counted, so it is measured as a whole."""
        self._head_is_there()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self.max_head_bytes:
            self._refusal = self._too_large()
            raise _RefusedError
        if self._one_too_many and self._has_no_place():
            self._refusal = ProblemError(
                "too-many-connections",
                f"There are {self.max_connections} connections already; try again in {_RETRY_SECONDS} s.",
                headers={"retry-after": _RETRY_SECONDS},
                limit=self.max_connections,
            )
            raise _RefusedError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when parsing failed."""
        self._refuse(self._refusal or ProblemError("malformed-request", msg))

    def resume_writing(self) -> None:
        """The client has read most of what waited for it."""
        self._read_at = monotonic()
        super().resume_writing()

    def close_if_unread(self, now: float) -> None:
        """Closes the connection if the client has taken nothing for too long of what waits for it.

        Args:
            now: On the clock of `time.monotonic`.
        """
        waiting = self.transport.get_write_buffer_size()
        if not waiting or waiting < self._unread:
            self._read_at = now
        self._unread = waiting
        if now - self._read_at <= self.send_timeout:
            return
        self.metrics.unread.inc()
        self.logger.warning("connection closed: %d bytes were not read", waiting)
        if self.cycle is not None and not self.cycle.response_complete:
            with contextlib.suppress(KeyError):  # refused before anybody kept a record
                record_of(self.cycle.scope).outcome = "disconnected"  # type: ignore[arg-type]  # typed as HTTP scope
        self.transport.abort()

    def _has_no_place(self) -> bool:
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # a pipelined request; the one before it is being answered
        if self.url.partition(b"?")[0] in _ALWAYS_ANSWERED:
            return False
        self._one_too_many = len(self.connections) > self.max_connections
        return self._one_too_many

    def _wait_for_head(self) -> None:
        self._head_is_there()
        self._waiting_for_head = self.loop.call_later(self.receive_timeout, self._head_is_late)

    def _head_is_there(self) -> None:
        self._head_begun = False
        self._head_bytes = 0
        if self._waiting_for_head is not None:
            self._waiting_for_head.cancel()
            self._waiting_for_head = None

    def _head_is_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # a pipelined request; the one before it is still being answered
            return
        if not self._head_begun:
            self.transport.close()  # a connection made ahead of need; there is no request to answer
            return
        detail = f"The request's head was not complete within {self.receive_timeout:g} s."
        self._refuse(ProblemError("request-timeout", detail))

    def _too_large(self) -> ProblemError:
        return ProblemError(
            "head-too-large",
            f"Path and headers are larger than {self.max_head_bytes} bytes.",
            limit_bytes=self.max_head_bytes,
        )

    def _refuse(self, error: ProblemError) -> None:
        self._head_is_there()
        if self.transport.is_closing():
            return
        record = RequestRecord(RequestRecord.new_id())
        self.metrics.count_request(record.operation, record.model, error.problem.slug)
        self.logger.warning("request refused: %s (request_id %s)", error.problem.slug, record.request_id)
        response = problem_response(error, "", record.request_id)
        response.headers["x-request-id"] = record.request_id
        response.headers["server-timing"] = record.server_timing()
        response.headers.update(self.extra_headers)
        self.transport.write(_serialised(response))
        self.transport.close()


def bounded_protocol(settings: Settings, counted_in: Metrics) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, which makes one instance a connection.

    Args:
        settings: How large and how slow requests may be, how slowly answers may be read, and by how many.
        counted_in: Counts what is refused, as the operation `other`.

    Returns:
        A subclass that knows these bounds.
    """

    class Protocol(BoundedProtocol):
        max_head_bytes = settings.max_head_bytes
        receive_timeout = settings.receive_timeout_seconds
        send_timeout = settings.send_timeout_seconds
        max_connections = settings.max_connections
        extra_headers = security_headers(settings.cors_origins, settings.hsts_seconds)
        metrics = counted_in

    return Protocol


def _serialised(response: Response) -> bytes:
    response.headers["date"] = formatdate(usegmt=True)
    response.headers["connection"] = "close"
    head = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)
