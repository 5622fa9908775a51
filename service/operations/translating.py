"""Translation of one image file: what is checked before, and the file that comes of it."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.api.answers.formats import check_output, check_side, check_transparency, exceeds_model
from service.api.errors.problems import invalid_field
from service.api.schemas.uploads import TranslateRequest, colour_of
from service.cards import Translator
from service.images.decode import DecodedImage, ImageHeader
from service.images.encode import ImageFormat
from service.images.row_file import RowFile
from service.images.transparency import flatten
from service.operations.engine import Engine
from service.operations.source_image import SourceImage
from service.operations.work import Task
from service.tile_inference import Drawn, TileInference, TooLargeForModelError
from service.translation import Fitting, NoResolutionError, plan_fitting


def check_alpha(body: TranslateRequest, image_format: ImageFormat) -> None:
    """Refuses to keep transparency where the format has none.

    Args:
        body: The parameters.
        image_format: Of the file to make.

    Raises:
        ProblemError: For JPEG.
    """
    if body.alpha == "keep" and image_format == "jpeg":
        raise invalid_field("alpha", "jpeg has no transparency", "flatten or drop, or another format")


def fitting_of(model: Translator, body: TranslateRequest, height: int, width: int) -> Fitting:
    """How an image meets the model.

    Args:
        model: The translator.
        body: The parameters.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        The plan.

    Raises:
        ProblemError: If the fit needs a resolution and the model names none.
    """
    try:
        return plan_fitting(model, height, width, body.fit, body.restore)
    except NoResolutionError:
        raise invalid_field(
            "fit", "the model's card names no resolution to fit images to", "native"
        ) from None


def translating(
    engine: Engine,
    model: Translator,
    body: TranslateRequest,
    image_format: ImageFormat,
    source: SourceImage,
    header: ImageHeader,
) -> Task[Drawn]:
    """The task that translates an image; what can be refused before it is decoded is refused here.

    Args:
        engine: Runs the model.
        model: The translator.
        body: The parameters; the model's name in them has been looked up.
        image_format: Of the file to make; `check_alpha` has been called.
        source: The image.
        header: Of the image.

    Returns:
        The task.

    Raises:
        ProblemError: If the image does not fit the parameters, the model, the format or the limits.
    """
    background = colour_of(body.background)
    planned = fitting_of(model, body, header.height, header.width)
    check_output(planned.size, image_format, engine.settings)
    check_side(planned.size, image_format, "the translated image", "png, or a smaller image")
    try:
        grid = engine.image_translator.grid(model, planned)
    except TooLargeForModelError as error:
        raise exceeds_model(model.max_size, error) from None

    async def run(queue: AdmissionQueue, deadline: float) -> Drawn:
        image, about = await source.decoded()
        pixels, alpha = await asyncio.to_thread(_without_transparency, image, body.alpha, background)
        recipe = {
            "model": model.name,
            "digest": model.digest,
            "operation": "translate",
            "fit": body.fit,
            "restore": body.restore,
            "alpha": body.alpha,
            "background": body.background,
            **about,
        }
        check_transparency(alpha is not None, image_format)
        exif = image.exif if body.keep_exif else None

        def begin(shape: tuple[int, int, int]) -> RowFile:
            return RowFile(image_format, shape, recipe, body.quality, exif)

        fitting = fitting_of(model, body, *pixels.shape[:2])
        return await engine.image_translator.translate(
            model, pixels, alpha, fitting, background, begin, queue, deadline
        )

    return Task(model, TileInference.units(model, grid), run)


def _without_transparency(
    image: DecodedImage, alpha: str, background: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What the model sees, and the transparency that the result gets."""
    if image.alpha is None or alpha == "drop":
        return image.pixels, None
    return flatten(image.pixels, image.alpha, background), image.alpha if alpha == "keep" else None
