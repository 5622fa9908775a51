"""Metrics of batch jobs, the signals to scale by when the database is away or slow, and the worker's port."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.settings import Settings
from service.telemetry.jobs import Backlog, BacklogCollector, JobMetrics, Standing, Workforce
from service.telemetry.metrics import Metrics
from service.telemetry.worker_http import WorkerHttp, WorkerPortError
from tests.triton_process import free_ports


class Database:
    """What a collector asks, told how to behave."""

    def __init__(self) -> None:
        self.backlogs: Iterable[Backlog] = ()
        self.error: Exception | None = None
        self.hold: threading.Event | None = None
        self.asked = 0

    def __call__(self) -> Standing:
        self.asked += 1
        if self.hold is not None:
            self.hold.wait(20)
        if self.error is not None:
            raise self.error
        return Standing(tuple(self.backlogs), Workforce(running=2, lost=1, concurrency=8))


def collected(metrics: Metrics, database: Database, **options: float) -> BacklogCollector:
    collector = BacklogCollector(metrics.registry, database, **options)
    metrics.before_scrape.append(collector.refresh)
    return collector


async def scraped(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    text = (await metrics.scrape())[0].decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("ganserve_job", "ganserve_worker", "ganserve_webhook"))
    }


def test_the_backlog_of_every_operation_is_there_even_if_it_is_nothing() -> None:
    async def check() -> None:
        metrics, database = Metrics(), Database()
        collected(metrics, database)
        database.backlogs = (Backlog("super-resolution", 12, 3, 45.5, 2, 1, 7.5),)
        found = await scraped(metrics)
        assert found["ganserve_jobs_database_up",] == 1
        assert found["ganserve_jobs_pending_items", "super-resolution"] == 12
        assert found["ganserve_jobs_running_items", "super-resolution"] == 3
        assert found["ganserve_jobs_oldest_pending_seconds", "super-resolution"] == 45.5
        assert found["ganserve_jobs_open", "super-resolution"] == 2
        assert found["ganserve_jobs_unlisted", "super-resolution"] == 1
        assert found["ganserve_jobs_stalled_seconds", "super-resolution"] == 7.5
        assert found["ganserve_workers", "running"] == 2
        assert found["ganserve_workers", "draining"] == 0
        assert found["ganserve_workers", "lost"] == 1
        assert found["ganserve_workers_concurrency",] == 8
        for operation in ("translate", "generate"):
            for name in ("pending_items", "running_items", "oldest_pending_seconds", "stalled_seconds"):
                assert found[f"ganserve_jobs_{name}", operation] == 0

    asyncio.run(check())


def test_answers_are_kept_for_a_while_and_asked_for_once() -> None:
    async def check() -> None:
        metrics, database = Metrics(), Database()
        collected(metrics, database, keep_seconds=0.3)
        await asyncio.gather(*(metrics.scrape() for _ in range(20)))
        assert database.asked == 1
        database.backlogs = (Backlog("translate", 1, 0, 1.0),)
        assert (await scraped(metrics))["ganserve_jobs_pending_items", "translate"] == 0
        await asyncio.sleep(0.35)
        assert (await scraped(metrics))["ganserve_jobs_pending_items", "translate"] == 1
        assert database.asked == 2

    asyncio.run(check())


def test_while_the_database_is_away_nothing_old_is_shown_and_scrapes_go_on() -> None:
    async def check() -> None:
        metrics, database = Metrics(), Database()
        collected(metrics, database, keep_seconds=0.0)
        await scraped(metrics)
        database.error = ConnectionError("no route to 10.1.2.3")
        for _ in range(2):
            found = await scraped(metrics)
            assert found == {("ganserve_jobs_database_up",): 0}
        database.error = None
        found = await scraped(metrics)
        assert found["ganserve_jobs_database_up",] == 1
        assert found["ganserve_jobs_pending_items", "generate"] == 0

    asyncio.run(check())


def test_a_database_that_hangs_holds_no_scrape_and_one_thread() -> None:
    async def check() -> None:
        metrics, database = Metrics(), Database()
        collected(metrics, database, keep_seconds=0.0, patience_seconds=0.1)
        await scraped(metrics)
        database.hold = threading.Event()
        try:
            began = time.perf_counter()
            for _ in range(3):
                assert await scraped(metrics) == {("ganserve_jobs_database_up",): 0}
            assert time.perf_counter() - began < 2
            assert database.asked == 2
        finally:
            database.hold.set()
            database.hold = None
        await asyncio.sleep(0.05)
        assert (await scraped(metrics))["ganserve_jobs_database_up",] == 1

    asyncio.run(check())


def test_what_a_worker_counts() -> None:
    async def check() -> None:
        metrics = Metrics()
        jobs = JobMetrics(metrics.registry)
        jobs.item_ended("translate", "ok", 0.3)
        jobs.item_ended("translate", "image-unreadable", 0.1)
        jobs.stage_ended("translate", "infer", 0.2)
        jobs.retries.labels("translate", "lost").inc()
        jobs.chunks_taken_over.inc(2)
        jobs.webhook_attempted("delivered", 0.4)
        jobs.watch_heartbeat(lambda: 1.5)
        found = await scraped(metrics)
        assert found["ganserve_job_items_total", "none", "translate", "ok"] == 1
        assert found["ganserve_job_items_total", "client", "translate", "image-unreadable"] == 1
        assert found["ganserve_job_items_total", "none", "translate", "cancelled"] == 0
        assert found["ganserve_job_item_seconds_count", "translate"] == 2
        assert found["ganserve_job_stage_seconds_sum", "translate", "infer"] == pytest.approx(0.2)
        assert found["ganserve_job_item_retries_total", "translate", "lost"] == 1
        assert found["ganserve_job_chunks_taken_over_total",] == 2
        assert found["ganserve_webhook_deliveries_total", "delivered"] == 1
        assert found["ganserve_worker_heartbeat_age_seconds",] == 1.5

    asyncio.run(check())


@asynccontextmanager
async def worker(**settings: object) -> AsyncIterator[tuple[httpx.AsyncClient, list[str | None], Metrics]]:
    port, reasons, metrics = free_ports(1)[0], [None], Metrics()
    JobMetrics(metrics.registry)

    async def why_not_ready() -> str | None:
        if reasons[0] == "fails":
            raise RuntimeError("secret detail")
        return reasons[0]

    given = Settings(worker_port=port, **settings)  # type: ignore[arg-type]
    async with (
        WorkerHttp(given, metrics, why_not_ready),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client, reasons, metrics


def test_a_worker_says_how_it_is() -> None:
    async def check() -> None:
        async with worker() as (client, reasons, _):
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).json() == {"status": "ready"}
            reasons[0] = "Its lease ran out."
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"] == "/problems/not-ready"
            assert answer.json()["detail"] == "Its lease ran out."
            assert (await client.get("/healthz")).status_code == 200
            text = await client.get("/metrics")
            assert text.headers["content-type"].startswith("text/plain")
            assert "ganserve_job_chunks_running 0.0" in text.text

    asyncio.run(check())


def test_other_calls_of_a_worker_are_problems() -> None:
    async def check() -> None:
        async with worker(max_head_bytes=2048) as (client, reasons, _):
            for answer, kind in (
                (await client.get("/v1/models"), "not-found"),
                (await client.post("/metrics"), "method-not-allowed"),
                (await client.get("/metrics", headers={"x": "y" * 4000}), "head-too-large"),
            ):
                assert answer.json()["type"] == f"/problems/{kind}"
            reasons[0] = "fails"
            answer = await client.get("/readyz")
            assert answer.status_code == 500
            assert "secret" not in answer.text

    asyncio.run(check())


def test_the_port_closes_with_the_worker_and_signals_stay_its_own() -> None:
    async def check() -> None:
        async with worker() as (client, _, _):
            await client.get("/healthz")
            url = str(client.base_url)
        async with httpx.AsyncClient(trust_env=False) as other:
            with pytest.raises(httpx.ConnectError):
                await other.get(url)

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(check())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_taken_port_names_the_setting_and_port_0_listens_nowhere() -> None:
    async def check() -> None:
        async def ready() -> None:
            return None

        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = Settings(worker_port=taken.getsockname()[1])
            with pytest.raises(WorkerPortError, match="GANSERVE_WORKER_PORT"):
                await WorkerHttp(settings, Metrics(), ready).__aenter__()
        async with WorkerHttp(Settings(worker_port=0), Metrics(), ready):
            pass

    asyncio.run(check())
