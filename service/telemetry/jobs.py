"""Prometheus metrics of batch jobs: what this worker does, and how much work waits for all of them.

Labels are bounded: `operation` is one of the three that jobs have, `outcome` `ok`, `cancelled` or a problem
type, `fault` whose that is, and the others are listed here. No label names a job, an item or a client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.telemetry.metrics import fault_of
from service.telemetry.tracing import exemplar

Operation = Literal["super-resolution", "translate", "generate"]
OPERATIONS: Final[tuple[Operation, ...]] = ("super-resolution", "translate", "generate")

Stage = Literal["queue", "read", "infer", "encode", "write"]
"""Of an item: waiting for its turn, reading its source, Triton, pixels to a file, the file to storage."""

RetryReason = Literal["failed", "lost", "triton-away", "storage-away"]
"""Why an item is done again: it failed, its worker died, or what it needs was away (which is no attempt)."""

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

log = structlog.get_logger("ganserve.jobs")


class JobMetrics:
    """What one worker counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics.

        Args:
            registry: `Metrics.registry` of the same process.
        """
        self.jobs = Counter(
            "ganserve_jobs_total",
            "Jobs that ended; outcome is succeeded, failed or cancelled.",
            ("operation", "outcome"),
            registry=registry,
        )
        self.items = Counter(
            "ganserve_job_items_total",
            "Items that ended; outcome is ok, cancelled or a problem type, fault whose it is.",
            ("operation", "outcome", "fault"),
            registry=registry,
        )
        self.item_seconds = Histogram(
            "ganserve_job_item_seconds",
            "From the start of an item's last attempt until its end was recorded.",
            ("operation",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "ganserve_job_stage_seconds",
            "Parts of that: queue, read, infer, encode, write.",
            ("operation", "stage"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "ganserve_job_item_retries_total",
            "Items done again: failed, lost with their worker, or since Triton or storage was away.",
            ("operation", "reason"),
            registry=registry,
        )
        self.chunks_taken_over = Counter(
            "ganserve_job_chunks_taken_over_total",
            "Chunks of workers whose lease ran out, queued again by this worker.",
            registry=registry,
        )
        self.chunks_running = Gauge(
            "ganserve_job_chunks_running", "Chunks that this worker works on.", registry=registry
        )
        self.heartbeat_age = Gauge(
            "ganserve_worker_heartbeat_age_seconds",
            "Since this worker last renewed its lease.",
            registry=registry,
        )
        self.webhooks = Counter(
            "ganserve_webhook_deliveries_total",
            "Attempts to deliver a webhook: delivered, gone (410), refused (not a public address), failed.",
            ("outcome",),
            registry=registry,
        )
        self.webhook_seconds = Histogram(
            "ganserve_webhook_seconds",
            "One attempt to deliver a webhook.",
            buckets=_SECONDS,
            registry=registry,
        )
        # A counter that begins with its first event is one whose first event nobody sees.
        for operation in OPERATIONS:
            self.items_cancelled(operation, 0)
            self.items.labels(operation, "ok", "none")
            for state in ("succeeded", "failed", "cancelled"):
                self.jobs.labels(operation, state)
            for reason in get_args(RetryReason):
                self.retries.labels(operation, reason)
        for outcome in ("delivered", "gone", "refused", "failed"):
            self.webhooks.labels(outcome)

    def items_cancelled(self, operation: Operation, count: int) -> None:
        """Counts items that will not be done, since their job was cancelled."""
        self.items.labels(operation, "cancelled", fault_of("cancelled")).inc(count)

    def item_ended(self, operation: Operation, outcome: str, seconds: float) -> None:
        """Counts an item that has its end.

        Args:
            operation: Of the job.
            outcome: `ok`, `cancelled` or the slug of a problem type.
            seconds: Of its last attempt.
        """
        self.items.labels(operation, outcome, fault_of(outcome)).inc()
        self.item_seconds.labels(operation).observe(seconds, exemplar())

    def stage_ended(self, operation: Operation, stage: Stage, seconds: float) -> None:
        """Counts what one stage of an item took."""
        self.stage_seconds.labels(operation, stage).observe(seconds, exemplar())

    def watch_heartbeat(self, age: Callable[[], float]) -> None:
        """Reads the age of the last heartbeat when scraped, so that one that stopped is seen.

        Args:
            age: Returns seconds.
        """
        self.heartbeat_age.set_function(age)

    def webhook_attempted(self, outcome: str, seconds: float) -> None:
        """Counts an attempt to deliver a webhook.

        Args:
            outcome: As in `service.jobs.webhooks.Delivered`.
            seconds: How long it took.
        """
        self.webhooks.labels(outcome).inc()
        self.webhook_seconds.observe(seconds, exemplar())


@dataclass(frozen=True)
class Backlog:
    """Work of one operation, of all jobs and workers together.

    Attributes:
        operation: One that jobs have.
        pending: Items that wait.
        running: Items that are worked on.
        oldest_pending_seconds: Age of the oldest item that waits; 0 if none does.
        jobs: That have not ended.
        unlisted: Of these, whose items are not all known yet.
        stalled_seconds: Of these and begun, since the one that stands still for longest moved: since an item
            of it began or ended.
    """

    operation: Operation
    pending: int
    running: int
    oldest_pending_seconds: float
    jobs: int = 0
    unlisted: int = 0
    stalled_seconds: float = 0.0


@dataclass(frozen=True)
class Workforce:
    """The workers over one database.

    Attributes:
        running: That take work.
        draining: That finish what they have, and stop.
        lost: That fell silent within the last day, and did not say that they stop.
        concurrency: Items that the running ones do at a time.
    """

    running: int = 0
    draining: int = 0
    lost: int = 0
    concurrency: int = 0


@dataclass(frozen=True)
class Standing:
    """What the database says of jobs and workers.

    Attributes:
        backlogs: At most one an operation; those that have none are missing.
        workforce: The workers.
    """

    backlogs: Iterable[Backlog] = ()
    workforce: Workforce = Workforce()


class BacklogCollector(Collector):
    """The signals by which workers are scaled, the same from every gateway and worker: take the maximum.

    The database is asked when somebody scrapes, in a thread, and what it said is kept for some seconds. While
    it is away, `ganserve_jobs_database_up` is 0 and the others are absent rather than old, so that nobody
    scales by them; the scrape itself waits only so long and never fails.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        ask: Callable[[], Standing],
        *,
        keep_seconds: float = 5.0,
        patience_seconds: float = 2.0,
    ) -> None:
        """Registers itself.

        Args:
            registry: `Metrics.registry` of the same process; put `refresh` into `Metrics.before_scrape`.
            ask: Asks the database; called in a thread, one call at a time. May raise whatever it likes.
                Its `backlogs` are a sequence by then.
            keep_seconds: How long its answer is good.
            patience_seconds: How long a scrape waits for it.
        """
        self._ask = ask
        self._keep_seconds = keep_seconds
        self._patience_seconds = patience_seconds
        self._known: dict[Operation, Backlog] | None = None
        self._workforce = Workforce()
        self._known_at = -float("inf")
        self._asking: asyncio.Task[None] | None = None
        registry.register(self)

    async def refresh(self) -> None:
        """Makes sure that what is collected next is not older than it may be. Does not fail."""
        if time.monotonic() - self._known_at < self._keep_seconds:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._fetch())
        done, _ = await asyncio.wait({self._asking}, timeout=self._patience_seconds)
        if not done and self._known is not None:
            log.warning("jobs database does not answer", waited_seconds=self._patience_seconds)
            self._known = None

    def collect(self) -> Iterator[Metric]:
        """The metrics, as they were found last."""
        yield GaugeMetricFamily(
            "ganserve_jobs_database_up",
            "1 if the database of jobs answered last time it was asked.",
            value=float(self._known is not None),
        )
        if self._known is None:
            return
        pending = GaugeMetricFamily(
            "ganserve_jobs_pending_items", "Items that wait, of all jobs.", labels=("operation",)
        )
        running = GaugeMetricFamily(
            "ganserve_jobs_running_items", "Items that workers work on, of all jobs.", labels=("operation",)
        )
        oldest = GaugeMetricFamily(
            "ganserve_jobs_oldest_pending_seconds",
            "How long the oldest of the items that wait has waited; 0 if none does.",
            labels=("operation",),
        )
        jobs = GaugeMetricFamily("ganserve_jobs_open", "Jobs that have not ended.", labels=("operation",))
        unlisted = GaugeMetricFamily(
            "ganserve_jobs_unlisted", "Jobs whose items are not all known yet.", labels=("operation",)
        )
        stalled = GaugeMetricFamily(
            "ganserve_jobs_stalled_seconds",
            "Of the begun job that stands still for longest: since one of its items began or ended.",
            labels=("operation",),
        )
        for operation in OPERATIONS:
            found = self._known.get(operation) or Backlog(operation, 0, 0, 0.0)
            pending.add_metric((operation,), found.pending)
            running.add_metric((operation,), found.running)
            oldest.add_metric((operation,), max(found.oldest_pending_seconds, 0.0))
            jobs.add_metric((operation,), found.jobs)
            unlisted.add_metric((operation,), found.unlisted)
            stalled.add_metric((operation,), max(found.stalled_seconds, 0.0))
        yield from (pending, running, oldest, jobs, unlisted, stalled)
        workers = GaugeMetricFamily(
            "ganserve_workers",
            "Workers over the database, by state; those that fell silent are lost for a day.",
            labels=("state",),
        )
        force = self._workforce
        for state, count in (("running", force.running), ("draining", force.draining), ("lost", force.lost)):
            workers.add_metric((state,), count)
        yield workers
        yield GaugeMetricFamily(
            "ganserve_workers_concurrency",
            "Items that all running workers together do at a time.",
            value=force.concurrency,
        )

    async def _fetch(self) -> None:
        try:
            standing = await asyncio.to_thread(self._ask)
        except Exception as error:  # whatever it is, the rest of the scrape is still wanted
            if self._known is not None:
                log.warning("jobs database does not answer", error=f"{type(error).__name__}: {error}")
            self._known = None
        else:
            self._known = {each.operation: each for each in standing.backlogs}
            self._workforce = standing.workforce
            self._known_at = time.monotonic()
