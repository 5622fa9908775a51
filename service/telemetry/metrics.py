"""Every Prometheus metric of the gateway, in one table.

Labels are bounded: `operation` names a route, `outcome` a problem type or `ok`, and `model` is only
ever a name the catalog knows, and `caller` only ever the name of a key or `anonymous`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version

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

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
"""Of what `Metrics.scrape` gives."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_ENCODE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


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
            "Requests answered; outcome is ok, not-modified, disconnected or a problem type.",
            ("operation", "model", "outcome"),
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
        self.queue_depth = Gauge(
            "ganserve_queue_depth",
            "Images admitted, waiting and running.",
            ("model",),
            registry=self.registry,
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
        build = Gauge(
            "ganserve_build_info",
            "What is running; always 1.",
            ("version", "python"),
            registry=self.registry,
        )
        build.labels(package_version(), platform.python_version()).set(1)

    async def scrape(self) -> bytes:
        """All metrics as they are now, in the Prometheus text format."""
        for refresh in self.before_scrape:
            await refresh()
        return generate_latest(self.registry)

    def watch_queue(self, model: str, depth: Callable[[], float]) -> None:
        """Reads a model's queue depth when scraped, so that counting costs requests nothing.

        Args:
            model: A name from the catalog.
            depth: Returns the number of images admitted.
        """
        self.queue_depth.labels(model).set_function(depth)
