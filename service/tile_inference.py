"""Images through a model in tiles: a few tiles under way, a row of them in memory, a file in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace

from service.admission import AdmissionQueue
from service.assembly import Assembly
from service.cards import ImageModel
from service.concurrency import in_order
from service.images.row_file import FinishedFile
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import begin_stage, exemplar
from service.tiling import Grid, cut, plan_grid
from service.triton import InferenceError, Triton, TritonDeadlineError

Pixels = NDArray[np.uint8]

Told = Callable[[int, int], None]
"""Is told how many tiles are done, and how many there are: first of none, in the end of all."""


class TooLargeForModelError(ValueError):
    """The model computes images in one piece, and this one is larger than it takes."""


@dataclass(frozen=True)
class Drawn:
    """An image file, and where the time went.

    Attributes:
        file: The file.
        height: Of the image in it, in pixels.
        width: Of the image in it, in pixels.
        queue_seconds: Until the first tile was sent to Triton.
        infer_seconds: From then until the last tile was there.
    """

    file: FinishedFile
    height: int
    width: int
    queue_seconds: float
    infer_seconds: float


def grid_for(model: ImageModel, height: int, width: int, tile: int) -> Grid:
    """The tiles of an image for a model.

    Args:
        model: From the catalog.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        tile: Longest side of a tile that is wanted; more is used of a model that reaches far, and never more
            than the model computes in one piece.

    Returns:
        The grid; one tile if the model cannot be computed in several.

    Raises:
        TooLargeForModelError: If one tile is not enough and several are not possible.
    """
    radius = model.receptive_radius
    if radius is not None:
        tile = min(model.max_size, max(tile, 4 * radius + model.size_multiple))
        try:
            return plan_grid(height, width, tile, radius, model.size_multiple)
        except ValueError:
            pass  # it reaches so far that tiles of its largest size keep nothing
    if max(height, width) > model.max_size:
        raise TooLargeForModelError(f"{model.name} takes up to {model.max_size} pixels a side")
    return plan_grid(height, width, model.max_size, 0)


def padded(image: Pixels, least: int) -> Pixels:
    """Repeats the lower and right edges of an image that is smaller than a model takes.

    Args:
        image: [H, W, C].
        least: Shortest side.

    Returns:
        The image itself if it is large enough.
    """
    height, width, _ = image.shape
    if min(height, width) >= least:
        return image
    return np.pad(image, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)), mode="edge")


class TileInference:
    """Sends tiles to Triton, each a request of its own, which Triton's batcher puts together."""

    def __init__(self, triton: Triton, metrics: Metrics) -> None:
        self._triton = triton
        self._metrics = metrics

    async def draw(
        self,
        model: ImageModel,
        image: Pixels,
        grid: Grid,
        assembly: Assembly,
        queue: AdmissionQueue,
        deadline: float,
        told: Told | None = None,
    ) -> Drawn:
        """Computes all tiles of an image, from top to bottom.

        Args:
            model: The model.
            image: [H, W, 3], at least `min_size` either way.
            grid: Its tiles.
            assembly: Gets each finished row of tiles in a thread, while the next is computed.
            queue: The model's queue, in which the units have been admitted.
            deadline: On the clock of `time.perf_counter`.
            told: Of every tile that is done, on the event loop.

        Returns:
            What the assembly made.

        Raises:
            TritonError: One of its kinds, see `Triton.infer`.
        """
        asked = perf_counter()
        starts: list[float] = []
        works = (
            self._tile(model, cut(image, row, column), queue, deadline, starts)
            for row in grid.rows
            for column in grid.columns
        )
        taking: asyncio.Future[None] | None = None
        encoding: trace.Span | None = None
        try:
            async with aclosing(in_order(works, self.units(model, grid))) as tiles:
                done = 0
                if told is not None:
                    told(0, grid.tiles)
                for row in grid.rows:
                    made = []
                    for _ in grid.columns:
                        made.append(await anext(tiles))
                        done += 1
                        if told is not None:
                            told(done, grid.tiles)
                    if taking is not None:
                        await asyncio.shield(taking)
                    encoding = encoding or begin_stage("encode")
                    taking = asyncio.ensure_future(asyncio.to_thread(assembly.take_row, row, made))
                    del made
            inferred = perf_counter()
            if taking is not None:
                await asyncio.shield(taking)
            file = await asyncio.to_thread(assembly.finish)
        except BaseException:
            if taking is not None:
                await asyncio.wait((taking,))  # its thread uses the file until it is done with its row
                _ = taking.cancelled() or taking.exception()  # what is raised already came first
            assembly.close()
            raise
        finally:
            if encoding is not None:
                encoding.end()
        return Drawn(file, *assembly.size, starts[0] - asked, inferred - starts[0])

    @staticmethod
    def units(model: ImageModel, grid: Grid) -> int:
        """How many tiles are with Triton, or waiting for it, at a time.

        Args:
            model: The model.
            grid: The tiles of an image.

        Returns:
            At least 1.
        """
        return min(grid.tiles, model.window)

    async def _tile(
        self, model: ImageModel, tile: Pixels, queue: AdmissionQueue, deadline: float, starts: list[float]
    ) -> Pixels:
        waited_from = perf_counter()
        await queue.start(1)
        try:
            started = perf_counter()
            starts.append(started)
            remaining = deadline - started
            if remaining <= 0:
                raise TritonDeadlineError("no time was left")
            source = np.ascontiguousarray(tile)[None]
            made: Pixels = await self._triton.infer(model.model, {"source": source}, "images", remaining)
            ended = perf_counter()
        finally:
            queue.finish(1)
        height, width, _ = tile.shape
        if made.shape != (1, height * model.scale, width * model.scale, 3):
            raise InferenceError(f"{model.name} made {list(made.shape)} of {height}×{width} pixels")
        self._metrics.queue_seconds.labels(model.name).observe(started - waited_from, exemplar())
        self._metrics.infer_seconds.labels(model.name).observe(ended - started, exemplar())
        self._metrics.images.labels(model.name).inc()
        pixels: Pixels = made[0]
        return pixels
