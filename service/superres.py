"""Super-resolution: an image of any size, enlarged by any factor up to the model's.

The model enlarges by its own scale, in tiles that are stitched exactly; Lanczos then makes it smaller where
less was asked for. Transparency is enlarged alongside by Lanczos: a network trained on photographs would draw
texture into it, and would leave levels of 1 and 254 where all is clear or opaque.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.assembly import Assembly, Box
from service.cards import Upscaler
from service.images.row_file import RowFile
from service.images.transparency import spread_colours
from service.tile_inference import Drawn, TileInference, Told, grid_for, padded
from service.tiling import Grid

MakeFile = Callable[[tuple[int, int, int]], RowFile]


def enlarged_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """The size of an enlarged image.

    Args:
        height: In pixels.
        width: In pixels.
        scale: The factor, at least 1.

    Returns:
        Height and width, rounded to whole pixels, halves up.
    """
    return math.floor(height * scale + 0.5), math.floor(width * scale + 0.5)


class SuperResolver:
    """Runs upscalers."""

    def __init__(self, inference: TileInference, tile: int) -> None:
        """Keeps what it works with.

        Args:
            inference: Runs the tiles.
            tile: The setting `upscale_tile`.
        """
        self._inference = inference
        self._tile = tile

    def grid(self, model: Upscaler, height: int, width: int) -> Grid:
        """The tiles of an image.

        Args:
            model: The upscaler.
            height: Of the image.
            width: Of the image.

        Returns:
            The grid.

        Raises:
            TooLargeForModelError: If the model cannot compute it.
        """
        return grid_for(model, max(height, model.min_size), max(width, model.min_size), self._tile)

    async def enlarge(
        self,
        model: Upscaler,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8] | None,
        scale: float,
        make_file: MakeFile,
        queue: AdmissionQueue,
        deadline: float,
        told: Told | None = None,
    ) -> Drawn:
        """Enlarges an image.

        Args:
            model: The upscaler.
            pixels: [H, W, 3].
            alpha: [H, W], or None.
            scale: From 1 to the model's.
            make_file: Begins the file, given height, width and channels.
            queue: The model's queue, in which the units have been admitted.
            deadline: On the clock of `time.perf_counter`.
            told: As for `TileInference.draw`.

        Returns:
            The file.

        Raises:
            TooLargeForModelError: If the model cannot compute it.
            TritonError: One of its kinds, see `Triton.infer`.
        """
        height, width, _ = pixels.shape
        grid = self.grid(model, height, width)
        size = enlarged_size(height, width, scale)
        if alpha is not None:
            pixels = await asyncio.to_thread(spread_colours, pixels, alpha)
        file = make_file((*size, 3 if alpha is None else 4))
        box = Box(0, 0, height * model.scale, width * model.scale)
        assembly = Assembly(grid, model.scale, box, size, alpha, file)
        image = padded(pixels, model.min_size)
        return await self._inference.draw(model, image, grid, assembly, queue, deadline, told)
