"""Every Prometheus metric of the gateway, in one table.

Labels are bounded: `operation` names a route, `outcome` a problem type or `ok`, `fault` is one of three
words, `model` is only ever a name the catalog knows, and `caller` the name of a key or `anonymous`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics import exposition

from service.api.answers.negotiation import negotiate
from service.api.errors.problems import PROBLEMS

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_ENCODE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

Fault = Literal["none", "client", "server"]
"""Whose fault it is that something did not go well; what clients do wrong spends no error budget."""

MODEL_STATES: Final = ("READY", "CHECKING", "REFUSED", "FAILING")
GOLDEN_MATCHES: Final = ("exact", "close", "unchecked")


def fault_of(outcome: str) -> Fault:
    """Whose fault an outcome is.

    Args:
        outcome: `ok`, `not-modified`, `disconnected`, `cancelled` or the slug of a problem type.
    """
    if outcome == "disconnected":
        return "client"
    problem = PROBLEMS.get(outcome)
    if problem is None:
        return "none"
    return "server" if problem.status >= 500 else "client"


@dataclass(frozen=True)
class ModelStanding:
    """How one model stands with the gateway.

    Attributes:
        version: That takes its traffic; None if none does.
        state: Of the newest version: one of `MODEL_STATES`. It is not `READY` while an older one serves.
        golden: How well what serves agrees with its card: one of `GOLDEN_MATCHES`; None if nothing does.
    """

    version: str | None
    state: str
    golden: str | None


@functools.cache
def package_version() -> str:
    """The installed version of ganserve, or `unknown` in a tree that was never installed."""
    try:
        return version("ganserve")
    except PackageNotFoundError:
        return "unknown"


class Metrics:
    """The gateway's metrics, in a registry of their own so that two gateways can share a process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for every counter, and nobody looks at them
        self.registry = CollectorRegistry()
        self.before_scrape: list[Callable[[], Awaitable[None]]] = []
        """Awaited one after the other before what is collected is written; may not raise."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "ganserve_requests_total",
            "Requests answered; outcome is ok, not-modified, disconnected or a problem type; fault: whose.",
            ("operation", "model", "outcome", "fault"),
            registry=self.registry,
        )
        self.internal_errors = Counter(
            "ganserve_internal_errors_total",
            "Requests that met a fault of the gateway itself; 0 from the start, so that the first is seen.",
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "ganserve_request_seconds",
            "From the request's headers to the last byte handed to the socket.",
            ("operation", "model"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.calls = Counter(
            "ganserve_calls_total",
            "Requests to what may need a key, by whose it was.",
            ("caller", "outcome"),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "ganserve_requests_in_flight", "Requests being worked on.", registry=self.registry
        )
        self.connections = Gauge(
            "ganserve_connections", "Connections of clients, idle ones included.", registry=self.registry
        )
        self.connections_limit = Gauge(
            "ganserve_connections_limit", "Connections that there may be.", registry=self.registry
        )
        self.unread = Counter(
            "ganserve_unread_connections_total",
            "Connections closed since the client did not read its answer.",
            registry=self.registry,
        )
        self.images = Counter(
            "ganserve_images_total", "Images computed by Triton.", ("model",), registry=self.registry
        )
        self.queue_seconds = Histogram(
            "ganserve_queue_seconds",
            "From admission until the images are sent to Triton.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.infer_seconds = Histogram(
            "ganserve_infer_seconds",
            "One batch through Triton, its queue included.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.encode_seconds = Histogram(
            "ganserve_encode_seconds",
            "Pixels of one response to files, hashing included.",
            ("format",),
            buckets=_ENCODE_SECONDS,
            registry=self.registry,
        )
        self.rejected = Counter(
            "ganserve_rejected_total",
            "Calls refused for overload, by the gateway's queue or by Triton's.",
            ("model", "reason"),
            registry=self.registry,
        )
        self.rejected.labels("none", "queue-full")
        self.queue_depth = Gauge(
            "ganserve_queue_depth",
            "Images admitted, waiting and running.",
            ("model",),
            registry=self.registry,
        )
        self.queue_limit = Gauge(
            "ganserve_queue_limit", "Images that may be admitted.", ("model",), registry=self.registry
        )
        self.triton_up = Gauge(
            "ganserve_triton_up", "1 if Triton answered last time it was asked.", registry=self.registry
        )
        self.models = Gauge("ganserve_models", "Models served.", registry=self.registry)
        self.model_info = Gauge(
            "ganserve_model_info", "Models served, by version.", ("model", "version"), registry=self.registry
        )
        self.breaker_state = Gauge(
            "ganserve_breaker_state",
            "1 while a model takes no traffic since its calls failed as if its process had died, else 0.",
            ("model",),
            registry=self.registry,
        )
        self.model_state = Gauge(
            "ganserve_model_state",
            "1 for the state that the newest version of a model is in, else 0. REFUSED: it does not make the "
            "pixels its card says.",
            ("model", "state"),
            registry=self.registry,
        )
        self.model_golden = Gauge(
            "ganserve_model_golden",
            "1 for how well the pixels of what serves agree with the card, else 0.",
            ("model", "match"),
            registry=self.registry,
        )
        self.models_misfit = Gauge(
            "ganserve_models_misfit",
            "Models that Triton has ready and nobody can use, since they have no card that fits.",
            registry=self.registry,
        )
        self._certificate: Gauge | None = None
        build = Gauge(
            "ganserve_build_info",
            "What is running; always 1.",
            ("version", "python"),
            registry=self.registry,
        )
        build.labels(package_version(), platform.python_version()).set(1)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as they are now.

        Args:
            accept: The header of that name. Who likes `application/openmetrics-text` best gets that, with
                exemplars, which the other format has no place for.

        Returns:
            The metrics, in the Prometheus text format otherwise, and their media type.
        """
        for refresh in self.before_scrape:
            await refresh()
        if negotiate(accept, (_TEXT, _OPENMETRICS)) == _OPENMETRICS:
            text: bytes = exposition.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # theirs
            return text, exposition.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def count_request(self, operation: str, model: str, outcome: str) -> None:
        """Counts a request that was answered.

        Args:
            operation: Name of the route, or `other`.
            model: A name from the catalog, or nothing.
            outcome: As `fault_of` takes it.
        """
        self.requests.labels(operation, model, outcome, fault_of(outcome)).inc()
        if outcome == "internal-error":
            self.internal_errors.inc()

    def watch_queue(self, model: str, depth: Callable[[], float], limit: int) -> None:
        """Reads a model's queue depth when scraped, so that counting costs requests nothing.

        Args:
            model: A name from the catalog.
            depth: Returns the number of images admitted.
            limit: How many may be.
        """
        self.queue_depth.labels(model).set_function(depth)
        self.queue_limit.labels(model).set(limit)

    def watch_certificate(self, expires: datetime) -> None:
        """Shows when the certificate that files are signed with expires.

        Args:
            expires: With a time zone.
        """
        if self._certificate is None:
            self._certificate = Gauge(
                "ganserve_signing_certificate_expires_timestamp_seconds",
                "When the certificate that files are signed with expires; absent if none is configured.",
                registry=self.registry,
            )
        self._certificate.set(expires.timestamp())

    def show_models(self, models: Mapping[str, ModelStanding]) -> None:
        """Shows the models that the catalog knows now, and none that it knew before.

        Args:
            models: By public name.
        """
        per_model = (self.breaker_state, self.model_state, self.model_golden, self.model_info)
        for gauge in per_model:
            gauge.clear()
        for name, model in models.items():
            self.breaker_state.labels(name).set(model.state == "FAILING")
            for state in MODEL_STATES:
                self.model_state.labels(name, state).set(model.state == state)
            for match in GOLDEN_MATCHES:
                self.model_golden.labels(name, match).set(model.golden == match)
            if model.version is not None:
                self.model_info.labels(name, model.version).set(1)
            # A counter that begins with its first event is one whose first event nobody sees.
            for reason in ("queue-full", "triton-queue-full"):
                self.rejected.labels(name, reason)
            self.images.labels(name)
        self.models.set(sum(model.version is not None for model in models.values()))
