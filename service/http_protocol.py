"""HTTP/1.1 with the bounds that uvicorn leaves open: on a request's head, and on how long it may take."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import ClassVar

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.access.security_headers import security_headers
from service.api.errors.problems import ProblemError, problem_response
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.records import RequestRecord


class _HeadTooLargeError(Exception):
    """Ends parsing; uvicorn then asks for the answer."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is not HTTP, a head that is too large or too slow; the application sees none of these."""

    max_head_bytes: ClassVar[int]
    receive_timeout: ClassVar[float]
    extra_headers: ClassVar[dict[str, str]]
    metrics: ClassVar[Metrics]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for the first request."""
        super().connection_made(transport)
        self._head_begun = False
        self._head_bytes = 0
        self._head_too_large = False
        self._waiting_for_head: asyncio.TimerHandle | None = None
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
            self._head_too_large = True
            raise _HeadTooLargeError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when parsing failed."""
        self._refuse(self._too_large() if self._head_too_large else ProblemError("malformed-request", msg))

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
        self.metrics.requests.labels(record.operation, record.model, error.problem.slug).inc()
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
        settings: How large and how slow a request may be.
        counted_in: Counts what is refused, as the operation `other`.

    Returns:
        A subclass that knows these bounds.
    """

    class Protocol(BoundedProtocol):
        max_head_bytes = settings.max_head_bytes
        receive_timeout = settings.receive_timeout_seconds
        extra_headers = security_headers(settings.cors_origins, settings.hsts_seconds)
        metrics = counted_in

    return Protocol


def _serialised(response: Response) -> bytes:
    response.headers["date"] = formatdate(usegmt=True)
    response.headers["connection"] = "close"
    head = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)
