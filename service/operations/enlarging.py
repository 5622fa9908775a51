"""Super-resolution of one image file: what is checked before, and the file that comes of it."""

from __future__ import annotations

import asyncio

from service.admission import AdmissionQueue
from service.api.answers.formats import check_output, check_side, check_transparency, exceeds_model
from service.api.errors.problems import invalid_field
from service.api.schemas.uploads import SuperResolutionRequest, colour_of
from service.cards import Upscaler
from service.images.decode import ImageHeader
from service.images.encode import ImageFormat
from service.images.row_file import RowFile
from service.images.transparency import flatten
from service.operations.engine import Engine
from service.operations.source_image import SourceImage
from service.operations.work import Task
from service.superres import enlarged_size
from service.tile_inference import Drawn, TileInference, Told, TooLargeForModelError


def scale_of(model: Upscaler, body: SuperResolutionRequest) -> float:
    """The factor that is asked for.

    Args:
        model: The upscaler.
        body: The parameters.

    Returns:
        From 1 to the model's.

    Raises:
        ProblemError: If it is more than the model's.
    """
    scale = float(model.scale) if body.scale is None else body.scale
    if scale > model.scale:
        raise invalid_field(
            "scale", f"the model enlarges {model.scale} times at most", f"a number from 1 to {model.scale}"
        )
    return scale


def enlarging(
    engine: Engine,
    model: Upscaler,
    body: SuperResolutionRequest,
    image_format: ImageFormat,
    source: SourceImage,
    header: ImageHeader,
    told: Told | None = None,
) -> Task[Drawn]:
    """The task that enlarges an image; what can be refused before it is decoded is refused here.

    Args:
        engine: Runs the model.
        model: The upscaler.
        body: The parameters; the model's name in them has been looked up.
        image_format: Of the file to make.
        source: The image.
        header: Of the image.
        told: As for `TileInference.draw`.

    Returns:
        The task.

    Raises:
        ProblemError: If the image does not fit the parameters, the model, the format or the limits.
    """
    scale = scale_of(model, body)
    size = enlarged_size(header.height, header.width, scale)
    check_output(size, image_format, engine.settings)
    check_side(size, image_format, "the enlarged image", "png, or a smaller `scale`")
    try:
        grid = engine.super_resolver.grid(model, header.height, header.width)
    except TooLargeForModelError as error:
        raise exceeds_model(model.max_size, error) from None

    async def run(queue: AdmissionQueue, deadline: float) -> Drawn:
        image, about = await source.decoded()
        pixels, alpha = image.pixels, image.alpha
        recipe = {
            "model": model.name,
            "digest": model.digest,
            "operation": "super-resolution",
            "scale": scale,
            **about,
        }
        if alpha is not None and body.background is not None:
            pixels = await asyncio.to_thread(flatten, pixels, alpha, colour_of(body.background))
            recipe["background"] = body.background
            alpha = None
        check_transparency(alpha is not None, image_format)
        exif = image.exif if body.keep_exif else None

        def begin(shape: tuple[int, int, int]) -> RowFile:
            return RowFile(image_format, shape, recipe, body.quality, exif)

        return await engine.super_resolver.enlarge(model, pixels, alpha, scale, begin, queue, deadline, told)

    return Task(model, TileInference.units(model, grid), run)
