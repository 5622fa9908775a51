"""What the routers share, handed over by `create_app`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from fastapi import Request
from typing_extensions import Self

from service.images.signing import Signer
from service.jobs.backlog import standing_of
from service.jobs.desk import JobDesk
from service.jobs.watching import Watching
from service.jobs.webhook_targets import WebhookPolicy
from service.model_control import ModelControl
from service.operations.engine import Engine
from service.settings import Settings
from service.telemetry.jobs import BacklogCollector
from service.telemetry.metrics import Metrics


class Services(Engine):
    """The parts of one gateway; exists while its event loop runs.

    Attributes:
        control: Loads and unloads models.
        uploaded_bytes: Of image files that calls hold now.
        verifying: How many files are being verified.
        verifiers: The threads in which that is done.
        trust_anchors: PEM of authorities whose signatures are proof for `/v1/verify`.
        desk: The database and the files of jobs.
        watching: Jobs that somebody follows.
        webhook_policy: Where webhooks of jobs may go.
        draining: Set when shutdown begins, so that readiness goes before the port closes.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        signer: Signer | None = None,
        trust_anchors: str = "",
        *,
        webhook_policy: WebhookPolicy,
    ) -> None:
        """Wires the parts together.

        Args:
            settings: Where Triton is, and every limit.
            metrics: Of the process.
            signer: From `load_signer`.
            trust_anchors: From `load_trust_anchors`.
            webhook_policy: Of the settings.

        Raises:
            DatabaseSetupError: The URL of the jobs' database is that of something else.
            StorageUrlError: The URL of the jobs' artifacts is that of something else.
            StorageError: The environment has settings for S3 that cannot be.
        """
        super().__init__(settings, metrics, signer)
        self.trust_anchors = trust_anchors
        self.uploaded_bytes = 0
        self.verifying = 0
        self.verifiers = ThreadPoolExecutor(2, "verify")
        self.draining = False
        self.webhook_policy = webhook_policy
        self.desk = JobDesk(settings)
        self.watching = Watching(self.desk)
        desk, lease = self.desk, settings.worker_lease_seconds
        backlog = BacklogCollector(metrics.registry, lambda: standing_of(desk.items, desk.workers, lease))
        metrics.before_scrape.append(backlog.refresh)
        self.control = ModelControl(
            self.triton,
            self.catalog,
            self.drained,
            settings.load_timeout_seconds,
            settings.max_deadline_seconds,
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.desk.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.desk.__aexit__(kind, error, trace)
        await super().__aexit__(kind, error, trace)
        self.verifiers.shutdown(wait=False, cancel_futures=True)


def services_of(request: Request) -> Services:
    """The services of the gateway that received this request."""
    services: Services = request.app.state.services
    return services
