"""Inference as a worker does it: an image or a few seeds, behind everybody who waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from io import BytesIO
from time import perf_counter
from types import TracebackType
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from service.admission import ANYBODY, BATCH, FairQueue
from service.api.answers.recipes import recipe_of
from service.api.answers.rendering import file_of, sha256_of
from service.api.answers.signatures import chosen_signer, signed
from service.api.errors.problems import ProblemError
from service.api.requests.latents import latents_for
from service.api.schemas.generate import GenerateRequest
from service.api.schemas.uploads import SuperResolutionRequest, TranslateRequest
from service.cards import Generator, ServedModel, Translator, Upscaler
from service.images.decode import ImageHeader
from service.images.signing import Signer
from service.jobs.confirming import Confirming
from service.jobs.operations import JobOperation, check_digest, check_source_size
from service.jobs.pacing import PacedQueue
from service.jobs.produced import NotNowError, Produced
from service.operations.engine import Engine
from service.operations.enlarging import enlarging
from service.operations.models import Model, of_kind, served, triton_away
from service.operations.source_image import SourceImage
from service.operations.translating import translating
from service.operations.work import Task, admitted, changed, deadline_problem, twice
from service.settings import Settings
from service.synthesis import Latent, Synthesized, window_of
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import exemplar, stage
from service.tile_inference import Drawn
from service.triton import ModelDownError, Triton, TritonChangedError

TRITON_PRIORITY: Final = 2
"""Of batch work in models whose config has `priority_levels`; 1 is what comes without a priority."""

# Problems that pass by themselves; all others are the item's own.
_PASSING: Final = frozenset({"triton-unavailable", "model-unavailable", "queue-full", "deadline-exceeded"})
# A call over a connection that is gone without a word would otherwise last as long as the item may.
_AWAY_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0
_ASK_TIMEOUT: Final = 2.0
_UNBOUNDED: Final = 1 << 30

Result = TypeVar("Result")


class WorkerEngine(Engine):
    """An engine that keeps little with Triton, and lets what a worker has taken on wait."""

    def _make_queue(self, model: ServedModel) -> FairQueue:
        # What waits is bounded by how many items the worker takes on at a time.
        return PacedQueue(
            _UNBOUNDED,
            model.window,
            seconds=self.settings.job_triton_seconds,
            caller_share=self.settings.caller_queue_share,
            batch_share=self.settings.batch_share,
        )

    def _fit(self, queue: FairQueue, model: ServedModel) -> None:
        assert isinstance(queue, PacedQueue)
        queue.most = model.window


class Runtime:
    """What a worker process does inference with; an async context manager, for one event loop.

    Cancelling a task inside one of its methods stops the item: what is with Triton is cancelled over gRPC,
    nothing further is sent, and no file is left.
    """

    def __init__(self, settings: Settings, metrics: Metrics, signer: Signer | None = None) -> None:
        """Connects lazily; must be made inside the running event loop.

        Args:
            settings: Where Triton is, and every limit.
            metrics: Of the process.
            signer: From `load_signer`.
        """
        triton = Triton(settings.triton_url, settings.max_message_bytes, TRITON_PRIORITY)
        self.engine: Engine = WorkerEngine(settings, metrics, signer, triton=triton)
        self._seconds = settings.job_item_timeout_seconds
        self._confirming = Confirming(self.engine.catalog)

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.engine.__aexit__(kind, error, trace)

    async def run_image(self, operation: JobOperation, data: bytes, *, caller: str = ANYBODY) -> Produced:
        """Enlarges or translates one image file, to the bytes that the interactive endpoint answers with.

        Memory is bounded as there: beside the source and its pixels, a row of tiles.

        Args:
            operation: `super-resolution` or `translate`.
            data: The file.
            caller: Whose job it is; turns between callers are fair.

        Returns:
            The file.

        Raises:
            ProblemError: The item cannot be made; trying again does not help.
            NotNowError: It can perhaps be made later.
        """
        assert not isinstance(operation.parameters, GenerateRequest)
        began, reached = perf_counter(), _Reached()
        deadline = began + self._seconds
        with self._sorted(reached):
            check_source_size(self.engine, len(data))
            signer = chosen_signer(self.engine.signer, operation.parameters.sign)
            source = SourceImage(self.engine, data, operation.parameters.frame)
            header = await source.header()

            async def attempt() -> tuple[Drawn, ServedModel]:
                await self._known(operation.model)
                task = self._image_task(operation, source, header)
                with admitted(self.engine, task.model, task.units, caller, BATCH) as queue:
                    with reached.model():
                        made = await task.run(queue, deadline)
                    try:
                        await self._confirming.confirm(task.model)
                    except BaseException:
                        made.file.file.close()
                        raise
                return made, task.model

            made, model = await self._watched(twice(self.engine, attempt), deadline)
            return await self._image_file(operation, model, made, signer, began)

    async def run_seeds(
        self, operation: JobOperation, seeds: Sequence[int], *, caller: str = ANYBODY
    ) -> AsyncGenerator[Produced, None]:
        """Makes one image a seed, in batches as large as the model takes, to the bytes of single calls.

        Args:
            operation: `generate`.
            seeds: One or more, each from 0 to 4294967295.
            caller: Whose job it is.

        Yields:
            A file a seed, in order, as soon as it is made. Close the generator when leaving it early.

        Raises:
            ProblemError: An image cannot be made, and so none after it; trying again does not help.
            NotNowError: The rest can perhaps be made later.
        """
        body = operation.parameters
        assert isinstance(body, GenerateRequest)
        reached, deadline = _Reached(), perf_counter() + self._seconds
        with self._sorted(reached):
            signer = chosen_signer(self.engine.signer, body.sign)
            await self._known(operation.model)
            model = self._model(operation, Generator)
            latents = latents_for(model, body, list(seeds), None)
            try:
                with (
                    admitted(self.engine, model, window_of(model, len(latents)), caller, BATCH) as queue,
                    reached.model(),
                ):
                    done = 0
                    # Two batches at a time, which should fit into the window.
                    batch = max(1, self.engine.queue_for(model).window // 2)
                    rendered = self.engine.synthesizer.render(
                        model, latents, body.noise, queue, deadline, batch
                    )
                    async with aclosing(rendered) as parts:
                        while (part := await self._watched(_following(parts), deadline)) is not None:
                            await self._confirming.confirm(model)
                            for pixels in part.images:
                                latent = latents[done]
                                yield await self._seed_file(operation, model, latent, pixels, part, signer)
                                done += 1
            except TritonChangedError:
                await self.engine.catalog.settle()
                raise

    async def _seed_file(
        self,
        operation: JobOperation,
        model: Generator,
        latent: Latent,
        pixels: NDArray[np.uint8],
        part: Synthesized,
        signer: Signer | None,
    ) -> Produced:
        started, body, image_format = perf_counter(), operation.parameters, operation.image_format
        assert isinstance(body, GenerateRequest)
        recipe = recipe_of(model, latent, body.noise)

        def write() -> tuple[str, bytes]:
            sha256 = sha256_of(pixels)
            return sha256, file_of(pixels, recipe, sha256, image_format, body.quality, signer)

        with stage("encode", format=image_format):
            sha256, data = await asyncio.to_thread(write)
        seconds = perf_counter() - started
        self.engine.metrics.encode_seconds.labels(image_format).observe(seconds, exemplar())
        return Produced(
            BytesIO(data),
            len(data),
            operation.media_type,
            operation.extension,
            sha256,
            pixels.shape[1],
            pixels.shape[0],
            {**recipe, "pixels_sha256": sha256},
            model.name,
            model.digest,
            {"queue": part.queue_seconds, "infer": part.infer_seconds, "encode": seconds},
        )

    def _image_task(self, operation: JobOperation, source: SourceImage, header: ImageHeader) -> Task[Drawn]:
        body, image_format = operation.parameters, operation.image_format
        if isinstance(body, SuperResolutionRequest):
            upscaler = self._model(operation, Upscaler)
            return enlarging(self.engine, upscaler, body, image_format, source, header)
        assert isinstance(body, TranslateRequest)
        translator = self._model(operation, Translator)
        return translating(self.engine, translator, body, image_format, source, header)

    async def _image_file(
        self, operation: JobOperation, model: ServedModel, made: Drawn, signer: Signer | None, began: float
    ) -> Produced:
        drawn, opened, size = made.file, made.file.file, made.file.size

        def sign(signer: Signer) -> bytes:
            with opened:
                return signed(opened.read(), operation.media_type, drawn.recipe, signer)

        if signer is not None:
            with stage("encode", format=operation.image_format, signed=True):
                data = await asyncio.to_thread(sign, signer)
            opened, size = BytesIO(data), len(data)
        rest = perf_counter() - began - made.queue_seconds - made.infer_seconds
        return Produced(
            opened,
            size,
            operation.media_type,
            operation.extension,
            drawn.pixels_sha256,
            made.width,
            made.height,
            drawn.recipe,
            model.name,
            model.digest,
            {"queue": made.queue_seconds, "infer": made.infer_seconds, "encode": max(0.0, rest)},
        )

    def _model(self, operation: JobOperation, wanted: type[Model]) -> Model:
        model = of_kind(self.engine.catalog, served(self.engine.catalog, operation.model), wanted)
        check_digest(operation, model)
        return model

    async def _known(self, name: str) -> None:
        """Tells a model that does not exist, which is final, from one that is not there now."""
        try:
            served(self.engine.catalog, name)
        except ProblemError as error:
            if error.problem.slug != "model-not-found":
                raise
            in_repository = await self.engine.triton.repository(_ASK_TIMEOUT)
            if in_repository.isdisjoint((name, f"{name}-mapping", f"{name}-synthesis")):
                raise
            raise NotNowError("model-unavailable", f"Triton has {name!r}, and has not loaded it.") from None

    async def _watched(self, work: Coroutine[Any, Any, Result], deadline: float) -> Result:
        """Awaits work until the deadline, and no longer than a little while without Triton."""
        working = asyncio.ensure_future(work)
        seen = perf_counter()
        try:
            while True:
                await asyncio.wait((working,), timeout=_LOOK_SECONDS)
                if working.done():
                    return working.result()
                now = perf_counter()
                if self.engine.catalog.up:
                    seen = now
                elif now - seen > _AWAY_SECONDS:
                    raise triton_away()
                if now > deadline:
                    raise deadline_problem()
        finally:
            if not working.done():
                working.cancel()
                await asyncio.wait((working,))

    @contextmanager
    def _sorted(self, reached: _Reached) -> Iterator[None]:
        """What passes by itself becomes a `NotNowError`."""
        try:
            yield
        except TritonChangedError as error:
            problem = changed(self.engine)
            raise _not_now(problem, suspect=reached.broken and not self.engine.catalog.up) from error
        except ProblemError as error:
            slug = error.problem.slug
            if isinstance(error.__cause__, ModelDownError):
                raise _not_now(error, suspect=True) from error
            if slug not in _PASSING:
                raise
            suspect = slug == "deadline-exceeded" or (reached.broken and slug == "triton-unavailable")
            raise _not_now(error, suspect=suspect) from error


class _Reached:
    """Whether Triton went away while the item was with it.

    Attributes:
        broken: If it did, or seemed to.
    """

    def __init__(self) -> None:
        self.broken = False

    @contextmanager
    def model(self) -> Iterator[None]:
        """While inside, the item is with the model."""
        try:
            yield
        except TritonChangedError:
            self.broken = True
            raise


def _not_now(problem: ProblemError, *, suspect: bool) -> NotNowError:
    seconds = float(problem.headers.get("retry-after", "2"))
    detail = "It was not done in time." if problem.problem.slug == "deadline-exceeded" else problem.detail
    return NotNowError(problem.problem.slug, detail, retry_after=seconds, suspect=suspect)


async def _following(parts: AsyncGenerator[Result, None]) -> Result | None:
    async for part in parts:
        return part
    return None
