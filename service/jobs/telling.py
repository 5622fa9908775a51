"""Telling a job's webhook of the end: one attempt a workflow, the next one queued for later."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timezone
from urllib.parse import urlsplit

import structlog
from opentelemetry import trace

from service.jobs.job_store import JobNotFoundError, JobStore
from service.jobs.records import Job
from service.jobs.shown import job_json
from service.jobs.webhook_targets import WebhookPolicy
from service.jobs.webhooks import Delivered, State, deliver, job_event, message_id, next_wait
from service.jobs.workflows import WorkflowClient
from service.telemetry.jobs import JobMetrics
from service.telemetry.tracing import carried, mark_failed, span

log = structlog.get_logger(__name__)


class Teller:
    """Makes attempts."""

    def __init__(
        self, jobs: JobStore, client: WorkflowClient, policy: WebhookPolicy, metrics: JobMetrics
    ) -> None:
        """Tells nobody yet.

        Args:
            jobs: Jobs.
            client: Queues the next attempt.
            policy: Where messages may go.
            metrics: Of the worker.
        """
        self._jobs = jobs
        self._client = client
        self._policy = policy
        self._metrics = metrics

    async def tell(self, job_id: str, number: int, attempt: int) -> None:
        """Makes one attempt. After a crash it is made again, with the id by which receivers know it.

        Args:
            job_id: The job.
            number: The round that has ended.
            attempt: Which one, from 1.
        """
        try:
            job = await asyncio.to_thread(self._jobs.get, job_id)
        except JobNotFoundError:
            return
        url, secret = job.spec.webhook, await asyncio.to_thread(self._jobs.webhook_secret, job_id)
        secret = secret or self._policy.secret
        if url is None or job.ended_at is None or job.round != number:
            return
        if secret is None:
            log.error("webhook not sent: neither job nor GANSERVE_WEBHOOK_SECRET has a secret", job=job.id)
            self._metrics.webhook_attempted("refused", 0.0)
            return
        message = message_id(job.id, job.revision)
        ended = datetime.fromtimestamp(job.ended_at, timezone.utc)
        state: State = job.state.value  # type: ignore[assignment]  # one of the three ends
        payload = job_event(state, ended, job_json(job))
        with span(
            "job.webhook", parent=job.traceparent, kind=trace.SpanKind.CLIENT, job=job.id, attempt=attempt
        ) as current:
            delivered = await deliver(url, secret, message, payload, self._policy, carried() or ())
            _describe(current, url, delivered)
            wait = next_wait(delivered, attempt, message, self._policy)
            self._note(job, attempt, delivered, wait)
        if wait is not None:
            await self._client.put_webhook(job, attempt + 1, wait)

    def _note(self, job: Job, attempt: int, delivered: Delivered, wait: float | None) -> None:
        self._metrics.webhook_attempted(delivered.outcome, delivered.seconds)
        log.info(
            "webhook",
            job=job.id,
            attempt=attempt,
            outcome=delivered.outcome,
            status=delivered.status,
            detail=delivered.detail,
            next_seconds=None if wait is None else round(wait),
        )


def _describe(current: trace.Span, url: str, delivered: Delivered) -> None:
    """What the conventions for HTTP clients say, but for the path, which may be a secret."""
    current.set_attribute("http.request.method", "POST")
    with suppress(ValueError):  # it is no URL, and so nothing was called
        current.set_attribute("server.address", urlsplit(url).hostname or "")
    current.set_attribute("ganserve.outcome", delivered.outcome)
    if delivered.status is not None:
        current.set_attribute("http.response.status_code", delivered.status)
    if delivered.outcome != "delivered":
        mark_failed(current, str(delivered.status or delivered.outcome), delivered.detail)
