"""Seeds → latents → styles → images: the generator pipeline over Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.cards import Generator
from service.latents import one_hot, z_for_seeds
from service.telemetry.metrics import Metrics
from service.triton import Triton, TritonDeadlineError

Noise = Literal["const", "none"] | int


@dataclass(frozen=True)
class Style:
    """Everything besides the seed that decides an image.

    Attributes:
        truncation: ψ; 1 leaves the style as it is, 0 gives the average image.
        truncation_cutoff: Only so many first layers are truncated; None for all.
        noise: The model's constant noise, none, or noise of this seed.
        label: Class index of a conditional model.
    """

    truncation: float = 1.0
    truncation_cutoff: int | None = None
    noise: Noise = "const"
    label: int | None = None


@dataclass(frozen=True)
class Synthesized:
    """Images in the order of their seeds, and where the time went.

    Attributes:
        images: One uint8 array [height, width, 3] a seed.
        queue_seconds: Waited before Triton, in the part that was done last.
        infer_seconds: In Triton, in the part that was done last.
    """

    images: list[NDArray[np.uint8]]
    queue_seconds: float
    infer_seconds: float


class Synthesizer:
    """Runs generators, in batches no larger than their models take."""

    def __init__(self, triton: Triton, metrics: Metrics) -> None:
        self._triton = triton
        self._metrics = metrics

    async def synthesize(
        self, model: Generator, seeds: Sequence[int], style: Style, queue: AdmissionQueue, deadline: float
    ) -> Synthesized:
        """Makes one image a seed.

        Args:
            model: The generator.
            seeds: One or more.
            style: The same for all of them.
            queue: The model's queue, in which the images have been admitted.
            deadline: On the clock of `time.perf_counter`.

        Returns:
            The images; each as if it had been asked for alone.

        Raises:
            TritonError: One of its kinds, see `Triton.infer`.
        """
        size = min(model.mapping.max_batch_size, model.synthesis.max_batch_size)
        if len(seeds) <= size:
            return await self._batch(model, seeds, style, queue, deadline)
        parts = await _all_or_none(
            [
                self._batch(model, seeds[start : start + size], style, queue, deadline)
                for start in range(0, len(seeds), size)
            ]
        )
        last = max(parts, key=lambda part: part.queue_seconds + part.infer_seconds)
        images = [image for part in parts for image in part.images]
        return Synthesized(images, last.queue_seconds, last.infer_seconds)

    async def _batch(
        self, model: Generator, seeds: Sequence[int], style: Style, queue: AdmissionQueue, deadline: float
    ) -> Synthesized:
        waited_from = perf_counter()
        await queue.start(len(seeds))
        try:
            started = perf_counter()
            images = await self._infer(model, seeds, style, deadline)
            ended = perf_counter()
        finally:
            queue.finish(len(seeds))
        self._metrics.queue_seconds.labels(model.name).observe(started - waited_from)
        self._metrics.infer_seconds.labels(model.name).observe(ended - started)
        self._metrics.images.labels(model.name).inc(len(seeds))
        return Synthesized(list(images), started - waited_from, ended - started)

    async def _infer(
        self, model: Generator, seeds: Sequence[int], style: Style, deadline: float
    ) -> NDArray[np.uint8]:
        n = len(seeds)
        cutoff = -1 if style.truncation_cutoff is None else style.truncation_cutoff
        styles = {
            "z": z_for_seeds(seeds, model.z_dim),
            "truncation_psi": np.full((n, 1), style.truncation, np.float32),
            "truncation_cutoff": np.full((n, 1), cutoff, np.int32),
        }
        if model.c_dim:
            styles["label"] = one_hot(style.label, model.c_dim, n)
        if model.n_directions:
            styles["edits"] = np.zeros((n, model.n_directions), np.float32)
        ws = await self._triton.infer(model.mapping, styles, "ws", _remaining(deadline))
        gain = 0.0 if style.noise == "none" else 1.0
        noise_seed = style.noise if isinstance(style.noise, int) else -1
        return await self._triton.infer(
            model.synthesis,
            {
                "ws": ws,
                "noise_gain": np.full((n, 1), gain, np.float32),
                "noise_seed": np.full((n, 1), noise_seed, np.int64),
            },
            "images",
            _remaining(deadline),
        )


def _remaining(deadline: float) -> float:
    seconds = deadline - perf_counter()
    if seconds <= 0:
        raise TritonDeadlineError("no time was left")
    return seconds


async def _all_or_none(parts: Sequence[Coroutine[Any, Any, Synthesized]]) -> list[Synthesized]:
    """Awaits all; when one fails or the caller is cancelled, the others are cancelled as well."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()  # raises what the first to fail raised
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
