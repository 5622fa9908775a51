"""Translation: an image of any size fitted to a model, translated, and brought back to its size if wanted.

| fit | what the model sees | what comes back | with `restore` |
|---|---|---|---|
| `native` | the image as it is | the same size | the same |
| `resize` | all of it, squeezed to the model's square resolution | that square | the image's size |
| `pad` | all of it, as large as fits into the square, background beside it | that square | the image's size |
| `crop` | the largest square in its middle, resized | that square | the size of that square in the image |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.admission import AdmissionQueue
from service.assembly import Assembly, Box
from service.cards import Translator
from service.images.row_file import RowFile
from service.tile_inference import Drawn, TileInference, grid_for, padded
from service.tiling import Grid

Fit: TypeAlias = Literal["native", "resize", "pad", "crop"]
MakeFile = Callable[[tuple[int, int, int]], RowFile]


class NoResolutionError(ValueError):
    """The model's card names no resolution to fit images to."""


@dataclass(frozen=True)
class Fitting:
    """How an image meets a model.

    Attributes:
        crop: What is taken of the image.
        resized: Height and width that is resized to.
        canvas: Height and width of what the model sees.
        place: Where on the canvas the resized image lies.
        box: What is taken of the canvas afterwards.
        size: Height and width that is resized to, which is that of the result.
    """

    crop: Box
    resized: tuple[int, int]
    canvas: tuple[int, int]
    place: tuple[int, int]
    box: Box
    size: tuple[int, int]


def plan_fitting(model: Translator, height: int, width: int, fit: Fit, restore: bool) -> Fitting:
    """Plans how an image meets a model.

    Args:
        model: The translator.
        height: Of the image.
        width: Of the image.
        fit: See the table above.
        restore: Whether the result is brought back to the size of what was taken of the image.

    Returns:
        The plan.

    Raises:
        NoResolutionError: If the fit needs a resolution and the model names none.
    """
    whole = Box(0, 0, height, width)
    if fit == "native":
        return Fitting(whole, (height, width), (height, width), (0, 0), whole, (height, width))
    side = model.resolution
    if side is None:
        raise NoResolutionError(f"{model.name} names no resolution")
    square = (side, side)
    everything = Box(0, 0, side, side)
    if fit == "resize":
        return Fitting(whole, square, square, (0, 0), everything, (height, width) if restore else square)
    if fit == "crop":
        least = min(height, width)
        middle = Box((height - least) // 2, (width - least) // 2, least, least)
        return Fitting(middle, square, square, (0, 0), everything, (least, least) if restore else square)
    longest = max(height, width)
    resized = max(1, round(height * side / longest)), max(1, round(width * side / longest))
    place = (side - resized[0]) // 2, (side - resized[1]) // 2
    if restore:
        return Fitting(whole, resized, square, place, Box(*place, *resized), (height, width))
    return Fitting(whole, resized, square, place, everything, square)


class ImageTranslator:
    """Runs translators."""

    def __init__(self, inference: TileInference) -> None:
        self._inference = inference

    @staticmethod
    def grid(model: Translator, fitting: Fitting) -> Grid:
        """The tiles of what the model sees: one, unless it is larger than the model computes in one piece.

        Args:
            model: The translator.
            fitting: What it sees.

        Returns:
            The grid.

        Raises:
            TooLargeForModelError: If the model cannot compute it.
        """
        height, width = (max(side, model.min_size) for side in fitting.canvas)
        return grid_for(model, height, width, model.max_size)

    async def translate(
        self,
        model: Translator,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8] | None,
        fitting: Fitting,
        background: tuple[int, int, int],
        make_file: MakeFile,
        queue: AdmissionQueue,
        deadline: float,
    ) -> Drawn:
        """Translates an image.

        Args:
            model: The translator.
            pixels: [H, W, 3], without transparency.
            alpha: [H, W], to be put onto the result, or None.
            fitting: From `plan_fitting`, for this size.
            background: Red, green, blue of what `pad` adds.
            make_file: Begins the file, given height, width and channels.
            queue: The model's queue, in which the units have been admitted.
            deadline: On the clock of `time.perf_counter`.

        Returns:
            The file.

        Raises:
            TooLargeForModelError: If the model cannot compute it.
            TritonError: One of its kinds, see `Triton.infer`.
        """
        grid = self.grid(model, fitting)
        seen, alpha = await asyncio.to_thread(_fitted, pixels, alpha, fitting, background, model.min_size)
        file = make_file((*fitting.size, 3 if alpha is None else 4))
        assembly = Assembly(grid, 1, fitting.box, fitting.size, alpha, file)
        return await self._inference.draw(model, seen, grid, assembly, queue, deadline)


def _fitted(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    fitting: Fitting,
    background: tuple[int, int, int],
    least: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What the model sees, and the transparency of what comes back, not yet of its size."""
    seen = padded(_on_canvas(pixels, fitting, background), least)
    if alpha is None:
        return seen, None
    if fitting.size == fitting.canvas and fitting.resized != fitting.canvas:
        return seen, _on_canvas(alpha, fitting, 0)  # what `pad` added is clear
    crop = fitting.crop
    return seen, alpha[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]


def _on_canvas(
    image: NDArray[np.uint8], fitting: Fitting, beside: int | tuple[int, int, int]
) -> NDArray[np.uint8]:
    crop = fitting.crop
    image = image[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    if image.shape[:2] != fitting.resized:
        size = fitting.resized[1], fitting.resized[0]
        resized = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS)
        image = np.asarray(resized)
    if fitting.resized == fitting.canvas:
        return image
    canvas = np.empty((*fitting.canvas, *image.shape[2:]), np.uint8)
    canvas[:] = beside
    top, left = fitting.place
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas
