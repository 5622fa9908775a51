"""What the routers share, handed over by `create_app`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fastapi import Request

from service.admission import FairQueue
from service.cards import ServedModel
from service.catalog import Catalog
from service.images.signing import Signer
from service.model_control import ModelControl
from service.settings import Settings
from service.superres import SuperResolver
from service.synthesis import Synthesizer
from service.telemetry.metrics import Metrics
from service.translation import ImageTranslator
from service.triton import Triton


@dataclass
class Services:
    """The parts of one gateway; exists while its event loop runs.

    Attributes:
        signer: Signs files with the operator's certificate; None if there is none.
        decoding: Held by whoever decodes an image, which takes much memory for a moment.
        uploaded_bytes: Of image files that calls hold now.
        verifying: How many files are being verified.
        verifiers: The threads in which that is done.
        trust_anchors: PEM of authorities whose signatures are proof for `/v1/verify`.
        draining: Set when shutdown begins, so that readiness goes before the port closes.
    """

    settings: Settings
    metrics: Metrics
    triton: Triton
    catalog: Catalog
    synthesizer: Synthesizer
    super_resolver: SuperResolver
    image_translator: ImageTranslator
    decoding: asyncio.Semaphore
    signer: Signer | None = None
    trust_anchors: str = ""
    uploaded_bytes: int = 0
    verifying: int = 0
    verifiers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "verify"))
    draining: bool = False
    _queues: dict[str, FairQueue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.control = ModelControl(
            self.triton,
            self.catalog,
            self.drained,
            self.settings.load_timeout_seconds,
            self.settings.max_deadline_seconds,
        )

    def queue_for(self, model: ServedModel) -> FairQueue:
        """The admission queue of a model, which outlives reloads of the model.

        Args:
            model: From the catalog.

        Returns:
            Its queue, with the window that suits the model's batches now.
        """
        queue = self._queues.get(model.name)
        if queue is None:
            queue = self._queues[model.name] = FairQueue(
                self.settings.queue_limit,
                model.window,
                caller_share=self.settings.caller_queue_share,
                batch_share=self.settings.batch_share,
            )
            self.metrics.watch_queue(model.name, lambda queue=queue: queue.admitted)  # type: ignore[misc]
        queue.window = model.window
        return queue

    async def drained(self, name: str) -> None:
        """Returns when a model, by its public name, has no work in flight."""
        if (queue := self._queues.get(name)) is not None:
            await queue.drained()


def services_of(request: Request) -> Services:
    """The services of the gateway that received this request."""
    services: Services = request.app.state.services
    return services
