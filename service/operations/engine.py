"""What inference takes: a connection to Triton, what it serves, and a queue for each model."""

from __future__ import annotations

import asyncio
from types import TracebackType

from typing_extensions import Self

from service.admission import FairQueue
from service.cards import ServedModel
from service.catalog import Catalog
from service.images.signing import Signer
from service.settings import Settings
from service.superres import SuperResolver
from service.synthesis import Synthesizer
from service.telemetry.metrics import Metrics
from service.tile_inference import TileInference
from service.translation import ImageTranslator
from service.triton import Triton


class Engine:
    """The parts that a gateway and a worker have in common; must be made inside the running event loop.

    As a context manager it asks Triton what it serves, goes on asking, and closes everything in the end.

    Attributes:
        settings: Every limit.
        metrics: Told what is done.
        triton: The connection.
        catalog: The models that take traffic.
        synthesizer: Runs generators.
        super_resolver: Runs upscalers.
        image_translator: Runs translators.
        decoding: Held by whoever decodes an image, which takes much memory for a moment.
        signer: Signs files with the operator's certificate; None if there is none.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        signer: Signer | None = None,
        *,
        triton: Triton | None = None,
    ) -> None:
        """Wires the parts together; nothing is asked yet.

        Args:
            settings: Where Triton is, and every limit.
            metrics: Of the process.
            signer: From `load_signer`.
            triton: Instead of a connection as the settings say.
        """
        self.settings = settings
        self.metrics = metrics
        self.signer = signer
        if signer is not None:
            metrics.watch_certificate(signer.own.expires)
        self.triton = triton or Triton(settings.triton_url, settings.max_message_bytes)
        self.catalog = Catalog(
            self.triton,
            settings.catalog_refresh_seconds,
            metrics,
            golden_check=settings.golden_check,
            check_timeout=settings.golden_timeout_seconds,
            failures=settings.breaker_failures,
        )
        tiles = TileInference(self.triton, metrics)
        self.synthesizer = Synthesizer(self.triton, metrics)
        self.super_resolver = SuperResolver(tiles, settings.upscale_tile)
        self.image_translator = ImageTranslator(tiles)
        self.decoding = asyncio.Semaphore(settings.max_decodes)
        self._queues: dict[str, FairQueue] = {}
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.catalog.try_refresh()
        self._refreshing = asyncio.create_task(self.catalog.keep_fresh())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await self.catalog.close()
        await self.triton.close()

    def queue_for(self, model: ServedModel) -> FairQueue:
        """The admission queue of a model, which outlives reloads of the model.

        Args:
            model: From the catalog.

        Returns:
            Its queue, with the window that suits the model's batches now.
        """
        queue = self._queues.get(model.name)
        if queue is None:
            queue = self._queues[model.name] = self._make_queue(model)
            limit = self.settings.queue_limit
            self.metrics.watch_queue(model.name, lambda queue=queue: queue.admitted, limit)  # type: ignore[misc]
        self._fit(queue, model)
        return queue

    async def drained(self, name: str) -> None:
        """Returns when a model, by its public name, has no work in flight."""
        if (queue := self._queues.get(name)) is not None:
            await queue.drained()

    def _make_queue(self, model: ServedModel) -> FairQueue:
        return FairQueue(
            self.settings.queue_limit,
            model.window,
            caller_share=self.settings.caller_queue_share,
            batch_share=self.settings.batch_share,
        )

    def _fit(self, queue: FairQueue, model: ServedModel) -> None:
        """Has the queue's window suit the model, which may have been reloaded."""
        queue.window = model.window
