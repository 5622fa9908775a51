"""Latents → styles → images: the generator pipeline over Triton."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.cards import TRANSFORMS, Generator
from service.concurrency import all_or_none, in_order
from service.joining import JoinedInference
from service.latents import z_for_seed
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import exemplar
from service.triton import Triton, TritonDeadlineError

Noise = Literal["const", "none"] | int

# Batches of one call that are under way at a time, where their results are used one after the other.
_AHEAD = 2


@dataclass(frozen=True)
class Transform:
    """How the picture of a generator that can do so is turned and moved (Karras et al. 2021, section 3.1).

    Attributes:
        rotation: In degrees, counter-clockwise.
        translation: To the right and down, as fractions of the image's side.
    """

    rotation: float = 0.0
    translation: tuple[float, float] = (0.0, 0.0)


UNMOVED: Final = Transform()


@dataclass(frozen=True, eq=False)
class Latent:
    """What decides one image: a seed or a z that the model maps, or the styles themselves, and a transform.

    Attributes:
        seed: Of z; None if `z` or `ws` is given.
        z: float32 [z_dim], instead of a seed.
        ws: float32 [num_ws, w_dim], used as they are: truncation, label and edits have no effect on them.
        truncation: ψ; 1 leaves the style as it is, 0 gives the average image.
        truncation_cutoff: Only so many first layers are truncated; None for all.
        label: Class index of a conditional model.
        edits: Amount along each of the model's directions; empty for none.
        transform: Of the picture, whatever its styles; a model without transforms takes `UNMOVED` only.
    """

    seed: int | None = None
    z: NDArray[np.float32] | None = None
    ws: NDArray[np.float32] | None = None
    truncation: float = 1.0
    truncation_cutoff: int | None = None
    label: int | None = None
    edits: tuple[float, ...] = ()
    transform: Transform = UNMOVED


@dataclass(frozen=True)
class Synthesized:
    """Images in the order of their latents, and where the time went.

    Attributes:
        images: One uint8 array [height, width, 3] a latent.
        ws: The styles they were made of, float32 [n, num_ws, w_dim].
        queue_seconds: Waited before Triton, in the part that was done last.
        infer_seconds: In Triton, in the part that was done last.
    """

    images: list[NDArray[np.uint8]]
    ws: NDArray[np.float32]
    queue_seconds: float
    infer_seconds: float


@dataclass(frozen=True, eq=False)
class Mapped:
    """Styles without images, and where the time went.

    Attributes:
        ws: float32 [n, num_ws, w_dim].
        queue_seconds: Waited before Triton, for all batches together.
        infer_seconds: In Triton, for all batches together.
    """

    ws: NDArray[np.float32]
    queue_seconds: float
    infer_seconds: float


class Synthesizer:
    """Runs generators, in batches no larger than their models take."""

    def __init__(self, triton: Triton, metrics: Metrics) -> None:
        self._joined = JoinedInference(triton)
        self._metrics = metrics

    async def synthesize(
        self,
        model: Generator,
        latents: Sequence[Latent],
        noise: Noise,
        queue: AdmissionQueue,
        deadline: float,
    ) -> Synthesized:
        """Makes one image a latent, all batches at once.

        Args:
            model: The generator.
            latents: One or more.
            noise: The model's constant noise, none, or noise of this seed; the same for all of them.
            queue: The model's queue, in which the images have been admitted.
            deadline: On the clock of `time.perf_counter`.

        Returns:
            The images; each as if it had been asked for alone.

        Raises:
            TritonError: One of its kinds, see `Triton.infer`.
        """
        parts = await all_or_none(
            [
                self._batch(model, batch, noise, queue, deadline)
                for batch in _batches(latents, model.batch_size)
            ]
        )
        return _joined(parts)

    async def render(
        self,
        model: Generator,
        latents: Sequence[Latent],
        noise: Noise,
        queue: AdmissionQueue,
        deadline: float,
        largest: int | None = None,
    ) -> AsyncGenerator[Synthesized, None]:
        """Makes one image a latent, batch by batch: others get their turn, and images can be used early.

        Args:
            model: The generator.
            latents: One or more.
            noise: As for `synthesize`.
            queue: The model's queue, in which `window_of(model, n)` images have been admitted.
            deadline: On the clock of `time.perf_counter`.
            largest: Of the batches; as large as the model takes if None.

        Yields:
            The images of one batch after the other, in order.

        Raises:
            TritonError: One of its kinds.
        """
        size = model.batch_size if largest is None else min(largest, model.batch_size)
        batches = _batches(latents, size)
        works = (self._batch(model, batch, noise, queue, deadline) for batch in batches)
        async with aclosing(in_order(works, _AHEAD)) as parts:
            async for part in parts:
                yield part

    async def render_all(
        self,
        model: Generator,
        latents: Sequence[Latent],
        noise: Noise,
        queue: AdmissionQueue,
        deadline: float,
    ) -> Synthesized:
        """What `render` yields, as one; arguments and errors as there.

        The seconds are those of all batches: in the queue before the first, then from its start to the end.
        """
        began = perf_counter()
        async with aclosing(self.render(model, latents, noise, queue, deadline)) as parts:
            made = [part async for part in parts]
        waited = made[0].queue_seconds
        return replace(_joined(made), queue_seconds=waited, infer_seconds=perf_counter() - began - waited)

    async def map(
        self, model: Generator, latents: Sequence[Latent], queue: AdmissionQueue, deadline: float
    ) -> Mapped:
        """The styles of latents, without their images.

        Args:
            model: The generator.
            latents: One or more.
            queue: The model's queue, in which at least one image has been admitted.
            deadline: On the clock of `time.perf_counter`.

        Returns:
            The styles.

        Raises:
            TritonError: One of its kinds.
        """
        parts, waited, inferred = [], 0.0, 0.0
        for batch in _batches(latents, model.mapping.max_batch_size):
            asked = perf_counter()
            await queue.start(1)
            started = perf_counter()
            try:
                parts.append(await self._map(model, batch, deadline))
            finally:
                queue.finish(1)
            waited += started - asked
            inferred += perf_counter() - started
        return Mapped(np.concatenate(parts), waited, inferred)

    async def _batch(
        self,
        model: Generator,
        latents: Sequence[Latent],
        noise: Noise,
        queue: AdmissionQueue,
        deadline: float,
    ) -> Synthesized:
        n = len(latents)
        waited_from = perf_counter()
        await queue.start(n)
        try:
            began = perf_counter()
            ws = await self._map(model, latents, deadline)
            mapped = perf_counter()
            images = await self._joined.infer(
                model.synthesis,
                {
                    "ws": ws,
                    "noise_gain": np.full((n, 1), 0.0 if noise == "none" else 1.0, np.float32),
                    "noise_seed": np.full((n, 1), noise if isinstance(noise, int) else -1, np.int64),
                    **_transforms(model, latents),
                },
                "images",
                _remaining(deadline),
                at_a_time=_AHEAD * model.synthesis.instances,
            )
            ended = perf_counter()
            waited = began - waited_from + images.sent - mapped
            inferred = ended - waited_from - waited
        finally:
            queue.finish(n)
        self._metrics.queue_seconds.labels(model.name).observe(waited, exemplar())
        self._metrics.infer_seconds.labels(model.name).observe(inferred, exemplar())
        self._metrics.images.labels(model.name).inc(n)
        return Synthesized(list(images.rows), ws, waited, inferred)

    async def _map(self, model: Generator, latents: Sequence[Latent], deadline: float) -> NDArray[np.float32]:
        mapped = [latent for latent in latents if latent.ws is None]
        if not mapped:
            return np.stack([latent.ws for latent in latents if latent.ws is not None])
        # One at a time: it takes a moment, and what came meanwhile goes on to the synthesis together.
        made = await self._joined.infer(
            model.mapping, _inputs(model, mapped), "ws", _remaining(deadline), at_a_time=1
        )
        if len(mapped) == len(latents):
            return made.rows
        rows = iter(made.rows)
        return np.stack([next(rows) if latent.ws is None else latent.ws for latent in latents])


def window_of(model: Generator, n: int) -> int:
    """Of n images that are rendered batch by batch, how many are with Triton or waiting for it at a time."""
    return min(n, _AHEAD * model.batch_size)


def _inputs(model: Generator, latents: Sequence[Latent]) -> dict[str, NDArray[Any]]:
    n = len(latents)
    z = np.empty((n, model.z_dim), np.float32)
    for row, latent in enumerate(latents):
        z[row] = z_for_seed(latent.seed or 0, model.z_dim) if latent.z is None else latent.z
    cutoffs = [-1 if latent.truncation_cutoff is None else latent.truncation_cutoff for latent in latents]
    inputs: dict[str, NDArray[Any]] = {
        "z": z,
        "truncation_psi": np.array([[latent.truncation] for latent in latents], np.float32),
        "truncation_cutoff": np.array(cutoffs, np.int32)[:, None],
    }
    if model.c_dim:
        labels = inputs["label"] = np.zeros((n, model.c_dim), np.float32)
        for row, latent in enumerate(latents):
            if latent.label is not None:
                labels[row, latent.label] = 1.0
    if model.directions:
        edits = inputs["edits"] = np.zeros((n, len(model.directions)), np.float32)
        for row, latent in enumerate(latents):
            edits[row, : len(latent.edits)] = latent.edits
    return inputs


def _transforms(model: Generator, latents: Sequence[Latent]) -> dict[str, NDArray[Any]]:
    return {
        name: np.array([getattr(latent.transform, name) for latent in latents], np.float32).reshape(
            len(latents), TRANSFORMS[name]
        )
        for name in model.transforms
    }


def _batches(latents: Sequence[Latent], size: int) -> list[Sequence[Latent]]:
    return [latents[start : start + size] for start in range(0, len(latents), size)]


def _joined(parts: Sequence[Synthesized]) -> Synthesized:
    if len(parts) == 1:
        return parts[0]
    last = max(parts, key=lambda part: part.queue_seconds + part.infer_seconds)
    return Synthesized(
        [image for part in parts for image in part.images],
        np.concatenate([part.ws for part in parts]),
        last.queue_seconds,
        last.infer_seconds,
    )


def _remaining(deadline: float) -> float:
    seconds = deadline - perf_counter()
    if seconds <= 0:
        raise TritonDeadlineError("no time was left")
    return seconds
