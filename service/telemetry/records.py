"""What one request leaves behind for metrics, the access log and the `server-timing` header."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

ASKED_METHOD = "ganserve.method"
"""Key of a scope: the method that the client sent, where it is handled as another."""

ANSWERED_METHODS = "ganserve.methods"
"""Key of a scope whose method is not answered: those that are, at its path."""

_KEY = "ganserve.record"


@dataclass
class RequestRecord:
    """Filled in by whoever handles the request; every label value here is bounded.

    Attributes:
        request_id: The client's own id if it sent a usable one.
        operation: Name of the route, `other` until one matched.
        route: Template of its path, empty until one matched.
        model: A name the catalog knows, else empty.
        outcome: `ok`, `not-modified`, `disconnected` or a problem type.
        caller: Name of the key, or `anonymous`; empty where nobody was asked.
        queue: Seconds waited for admission to Triton.
        infer: Seconds in Triton.
        encode: Seconds spent on hashing and encoding.
        started: `time.perf_counter()` when the request's headers were there.
    """

    request_id: str
    operation: str = "other"
    route: str = ""
    model: str = ""
    outcome: str = "ok"
    caller: str = ""
    queue: float = 0.0
    infer: float = 0.0
    encode: float = 0.0
    started: float = field(default_factory=perf_counter)

    @staticmethod
    def new_id() -> str:
        """An id for a request that brought none."""
        return os.urandom(16).hex()

    def server_timing(self) -> str:
        """The value of the `server-timing` header, in milliseconds."""
        total = perf_counter() - self.started
        return (
            f"queue;dur={self.queue * 1e3:.2f}, infer;dur={self.infer * 1e3:.2f}, "
            f"encode;dur={self.encode * 1e3:.2f}, total;dur={total * 1e3:.2f}"
        )

    def milliseconds(self) -> dict[str, float]:
        """The same, for an event at the end of a stream, whose header went out at its beginning."""
        seconds = {"queue": self.queue, "infer": self.infer, "encode": self.encode}
        seconds["total"] = perf_counter() - self.started
        return {name: round(part * 1e3, 2) for name, part in seconds.items()}


def attach_record(scope: MutableMapping[str, Any], record: RequestRecord) -> None:
    """Makes the record reachable from everything that handles this ASGI scope."""
    scope[_KEY] = record


def record_of(scope: MutableMapping[str, Any]) -> RequestRecord:
    """The record of the request with this ASGI scope.

    Raises:
        KeyError: If the telemetry middleware is not installed.
    """
    record: RequestRecord = scope[_KEY]
    return record
