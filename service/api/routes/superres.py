"""`POST /v1/super-resolution`: an image, enlarged."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from service.admission import AdmissionQueue
from service.api.answers.file_response import file_response
from service.api.answers.formats import (
    check_output,
    check_quality,
    check_side,
    check_transparency,
    exceeds_model,
    negotiated_image,
)
from service.api.answers.signatures import signer_for
from service.api.calls.execution import Task, execute
from service.api.context import Services, services_of
from service.api.errors.problems import invalid_field
from service.api.openapi.image_files import SUPER_RESOLUTION_DOCS
from service.api.requests.models import find_model
from service.api.requests.source_image import SourceImage
from service.api.requests.uploads import read_upload, room_for_upload
from service.api.schemas.uploads import SuperResolutionRequest, colour_of
from service.cards import Upscaler
from service.images.row_file import RowFile
from service.images.transparency import flatten
from service.superres import enlarged_size
from service.tile_inference import Drawn, TileInference, TooLargeForModelError

router = APIRouter(tags=["images"])


@router.post(
    "/v1/super-resolution", name="super-resolution", summary="Enlarge an image", **SUPER_RESOLUTION_DOCS
)
async def enlarge_image(request: Request) -> Response:
    """Enlarges an image by any factor up to the model's.

    The image is computed in tiles that overlap as far as the model reaches, so the result is that of the
    whole image in one piece, without seams; a smaller factor than the model's is then reached with Lanczos.
    Large images take long on a CPU: `Prefer: wait=SECONDS` asks for a later deadline.
    """
    services = services_of(request)
    with room_for_upload(request, services):
        return await _enlarged(request, services)


async def _enlarged(request: Request, services: Services) -> Response:
    data, body = await read_upload(request, SuperResolutionRequest, services.settings)
    image_format = negotiated_image(request, body.format)
    check_quality(body.quality, image_format)
    signer = signer_for(request, body.sign)
    source = SourceImage(services, data, body.frame)
    header = await source.header()

    def make_task() -> Task[Drawn]:
        model = find_model(request, body.model, Upscaler)
        scale = float(model.scale) if body.scale is None else body.scale
        if scale > model.scale:
            raise invalid_field(
                "scale",
                f"the model enlarges {model.scale} times at most",
                f"a number from 1 to {model.scale}",
            )
        size = enlarged_size(header.height, header.width, scale)
        check_output(size, image_format, services.settings)
        check_side(size, image_format, "the enlarged image", "png, or a smaller `scale`")
        try:
            grid = services.super_resolver.grid(model, header.height, header.width)
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

            return await services.super_resolver.enlarge(model, pixels, alpha, scale, begin, queue, deadline)

        return Task(model, TileInference.units(model, grid), run)

    return await execute(
        request,
        make_task,
        lambda made: file_response(made, image_format, signer),
        in_thread=lambda made: signer is not None,
        label=image_format,
    )
