"""`POST /v1/translate`: an image of one kind, turned into another."""

from __future__ import annotations

import asyncio

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

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
from service.api.openapi.image_files import TRANSLATE_DOCS
from service.api.requests.models import find_model
from service.api.requests.source_image import SourceImage
from service.api.requests.uploads import read_upload, room_for_upload
from service.api.schemas.uploads import TranslateRequest, colour_of
from service.cards import Translator
from service.images.decode import DecodedImage
from service.images.row_file import RowFile
from service.images.transparency import flatten
from service.tile_inference import Drawn, TileInference, TooLargeForModelError
from service.translation import Fitting, NoResolutionError, plan_fitting

router = APIRouter(tags=["images"])


@router.post("/v1/translate", name="translate", summary="Turn an image into another kind", **TRANSLATE_DOCS)
async def translate_image(request: Request) -> Response:
    """Translates an image, such as a drawing into a picture.

    `fit` says how the image meets the model, and `restore` whether the result is brought back to its size.
    Images that are larger than the model computes in one piece are computed in tiles where the model's card
    says `tileable`, with the same result, and refused where it does not.
    """
    services = services_of(request)
    with room_for_upload(request, services):
        return await _translated(request, services)


async def _translated(request: Request, services: Services) -> Response:
    data, body = await read_upload(request, TranslateRequest, services.settings)
    image_format = negotiated_image(request, body.format)
    check_quality(body.quality, image_format)
    signer = signer_for(request, body.sign)
    if body.alpha == "keep" and image_format == "jpeg":
        raise invalid_field("alpha", "jpeg has no transparency", "flatten or drop, or another format")
    background = colour_of(body.background)
    source = SourceImage(services, data, body.frame)
    header = await source.header()

    def fitting_of(model: Translator, height: int, width: int) -> Fitting:
        try:
            return plan_fitting(model, height, width, body.fit, body.restore)
        except NoResolutionError:
            detail = "the model's card names no resolution to fit images to"
            raise invalid_field("fit", detail, "native") from None

    def make_task() -> Task[Drawn]:
        model = find_model(request, body.model, Translator)
        planned = fitting_of(model, header.height, header.width)
        check_output(planned.size, image_format, services.settings)
        check_side(planned.size, image_format, "the translated image", "png, or a smaller image")
        try:
            grid = services.image_translator.grid(model, planned)
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

            fitting = fitting_of(model, *pixels.shape[:2])
            return await services.image_translator.translate(
                model, pixels, alpha, fitting, background, begin, queue, deadline
            )

        return Task(model, TileInference.units(model, grid), run)

    return await execute(
        request,
        make_task,
        lambda made: file_response(made, image_format, signer),
        in_thread=lambda made: signer is not None,
        label=image_format,
    )


def _without_transparency(
    image: DecodedImage, alpha: str, background: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What the model sees, and the transparency that the result gets."""
    if image.alpha is None or alpha == "drop":
        return image.pixels, None
    return flatten(image.pixels, image.alpha, background), image.alpha if alpha == "keep" else None
