"""A run's figures for Prometheus: scraped over HTTP while it trains, or left in a file for node_exporter.

Nothing here asks the GPU for anything but the size of its memory pool, which PyTorch keeps on the host: the
figures are those that the run log reads anyway. So a run computes the same with metrics and without.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector
from rich.console import Console

from training.checkpoint import LATEST
from training.config import RunConfig
from training.errors import GantrainError
from training.files import atomic_write
from training.metrics.results import METRICS

_STEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TEXTFILE_SECONDS = 5.0
"""Between two versions of the text file at least; the last one is written when the run ends."""


class TelemetryError(GantrainError):
    """Metrics cannot be served or written where they were asked for."""


@dataclass(frozen=True)
class Exposition:
    """Where a run's metrics can be had, if anywhere.

    Attributes:
        port: Port of `/metrics`; None serves none.
        host: Address that is listened on.
        textfile: File for node_exporter's textfile collector; None writes none.
        preset: What the run was started from, for `gantrain_info`.
    """

    port: int | None = None
    host: str = "127.0.0.1"
    textfile: Path | None = None
    preset: str = ""


class Telemetry:
    """The metrics of one run, in a registry of their own. README.md lists them.

    Each carries the run, since text files of several runs meet in one node_exporter. What is not known yet,
    such as the time of a first checkpoint, has no series.

    Args:
        config: The run's configuration.
        run: The run's folder.
        where: Where the metrics can be had.
        console: Told, once, if the text file can no longer be written; training goes on.
    """

    def __init__(self, config: RunConfig, run: Path, where: Exposition, console: Console) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for every counter, and nobody looks at them
        self.registry = registry = CollectorRegistry()
        self.folder, self.where, self.console = run, where, console
        self.run = run.resolve().name
        self.batch = config.optimization.batch
        self._written = float("-inf")
        self._write_failed = False
        self.images = Counter("gantrain_images_total", "Images shown to D.", ("run",), registry=registry)
        self.images_per_second = Gauge(
            "gantrain_images_per_second",
            "Images a second between the last two lines of the run log.",
            ("run",),
            registry=registry,
        )
        self.step_seconds = Histogram(
            "gantrain_step_seconds",
            "Time of a step, waiting for its data included, checkpoints excluded.",
            ("run",),
            buckets=_STEP_SECONDS,
            registry=registry,
        ).labels(self.run)
        self.data_wait = Counter(
            "gantrain_data_wait_seconds_total",
            "Time that steps waited for data.",
            ("run",),
            registry=registry,
        ).labels(self.run)
        self.nonfinite_steps = Counter(
            "gantrain_nonfinite_steps_total",
            "Optimiser steps whose gradients held an infinity or NaN.",
            ("run",),
            registry=registry,
        ).labels(self.run)
        self.loss = Gauge(
            "gantrain_loss",
            "Mean of a loss between the last two lines of the run log.",
            ("run", "name"),
            registry=registry,
        )
        self.learning_rate = Gauge(
            "gantrain_learning_rate", "Learning rate of a network.", ("run", "network"), registry=registry
        )
        self.ada_probability = Gauge(
            "gantrain_ada_probability", "Strength of the adaptive augmentation.", ("run",), registry=registry
        )
        self.checkpoint_timestamp = Gauge(
            "gantrain_checkpoint_timestamp_seconds",
            "When the last checkpoint was written.",
            ("run",),
            registry=registry,
        )
        self.gpu_memory = Gauge(
            "gantrain_gpu_memory_bytes",
            "GPU memory that PyTorch holds in this process.",
            ("run",),
            registry=registry,
        )
        Gauge("gantrain_target_images", "Images of the whole run.", ("run",), registry=registry).labels(
            self.run
        ).set(config.total_steps * self.batch)
        Info("gantrain", "What trains here.", ("run",), registry=registry).labels(self.run).info(
            {"family": config.family, "preset": where.preset, "version": _package_version()}
        )
        registry.register(_Evaluation(run / METRICS, self.run))

    def begin(self, first_step: int, device: torch.device) -> None:
        """Counts what a resumed run did before, and reads the device's memory from now on."""
        self.images.labels(self.run).inc(first_step * self.batch)
        latest = self.folder / LATEST
        if latest.exists():
            self.checkpoint_timestamp.labels(self.run).set(latest.stat().st_mtime)
        if device.type == "cuda":
            self.gpu_memory.labels(self.run).set_function(lambda: float(torch.cuda.memory_reserved(device)))

    def step(self, seconds: float) -> None:
        """Counts a step that took so long, waiting for its data included."""
        self.images.labels(self.run).inc(self.batch)
        self.step_seconds.observe(seconds)

    def line(self, stats: Mapping[str, float]) -> None:
        """Takes over a line of the run log."""
        self.images_per_second.labels(self.run).set(stats["images_per_second"])
        for name, value in stats.items():
            kind, _, rest = name.partition("/")
            if kind == "loss":
                self.loss.labels(self.run, rest).set(value)
            elif kind == "lr":
                self.learning_rate.labels(self.run, rest).set(value)
            elif name == "ada/p":
                self.ada_probability.labels(self.run).set(value)
        if time.monotonic() - self._written >= TEXTFILE_SECONDS:
            self.write()

    def saved(self) -> None:
        """Notes that a checkpoint was written now."""
        self.checkpoint_timestamp.labels(self.run).set_to_current_time()
        self.write()

    def write(self) -> None:
        """Writes the text file, if there is to be one. A full disk does not end a run for it."""
        if self.where.textfile is None:
            return
        self._written = time.monotonic()
        try:
            with atomic_write(self.where.textfile) as file:
                file.write(generate_latest(self.registry))
        except OSError as error:
            if not self._write_failed:
                self.console.print(
                    f"note: {self.where.textfile} cannot be written and is out of date: {error.strerror}",
                    highlight=False,
                )
            self._write_failed = True


@contextmanager
def telemetry(config: RunConfig, run: Path, where: Exposition, console: Console) -> Iterator[Telemetry]:
    """The metrics of a run, which can be had until the block ends; the text file stays.

    Raises:
        TelemetryError: If the port cannot be listened on, or the text file cannot be written.
    """
    metrics = Telemetry(config, run, where, console)
    if where.textfile is not None:
        _check_textfile(where.textfile)
    with ExitStack() as stack:
        if where.port is not None:
            stack.enter_context(_served(metrics.registry, where.host, where.port))
            console.print(f"metrics: http://{socket.gethostname()}:{where.port}/metrics", highlight=False)
        try:
            yield metrics
        finally:
            metrics.write()


def _check_textfile(path: Path) -> None:
    if path.suffix != ".prom":
        raise TelemetryError(f"{path}: node_exporter reads no files but those named *.prom")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path):
            pass  # an older run's figures are none of this one's
    except OSError as error:
        raise TelemetryError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def _served(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answers scrapes in threads that the interpreter's end does not wait for."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = _Server(family, address, type("Handler", (_Handler,), {"registry": registry}))
    except OSError as error:
        raise TelemetryError(
            f"metrics cannot be served on {host}, port {port}: {error.strerror}; "
            "--metrics-port and --metrics-host name another"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(MetricsHandler):
    timeout = 10  # seconds that a client may say nothing, so that none keeps a thread


class _Server(ThreadingHTTPServer):
    def __init__(self, family: socket.AddressFamily, address: Any, handler: type[_Handler]) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the DNS for a name that nobody needs

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is none of ours
            super().handle_error(request, client_address)


class _Evaluation(Collector):
    """What `gantrain evaluate` found of the run last, read when it is asked for.

    Args:
        path: Of `metrics.json`, which `evaluate` replaces whole.
        run: Value of the label.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.run = run

    def collect(self) -> Iterator[Metric]:
        figures = GaugeMetricFamily(
            "gantrain_metric", "Figure of the last evaluation.", labels=("run", "model", "name")
        )
        evaluated = GaugeMetricFamily(
            "gantrain_evaluation_timestamp_seconds", "When the run was last evaluated.", labels=("run",)
        )
        try:
            written = self.path.stat().st_mtime
            models = json.loads(self.path.read_bytes())["models"]
        except (OSError, ValueError, KeyError):
            models = {}  # never evaluated, or by a version that wrote other things
        else:
            evaluated.add_metric((self.run,), written)
        for model, metrics in models.items():
            for name, value in _figures(metrics):
                figures.add_metric((self.run, model, name), value)
        yield figures
        yield evaluated


def _figures(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Each number of an evaluation by its path, such as `kid` (its mean), `kid.std` and `scores.psnr`."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield (prefix.removesuffix(".") if name == "mean" else prefix + name), value


def _package_version() -> str:
    try:
        return version("ganserve")
    except PackageNotFoundError:  # a tree that was never installed
        return "unknown"
