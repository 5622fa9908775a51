"""`POST /v1/translate`: an image of one kind, turned into another."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api.answers.file_response import file_response
from service.api.answers.formats import check_quality, negotiated_image
from service.api.answers.signatures import signer_for
from service.api.calls.execution import execute
from service.api.context import Services, services_of
from service.api.openapi.image_files import TRANSLATE_DOCS
from service.api.requests.models import find_model
from service.api.requests.uploads import read_upload, room_for_upload
from service.api.schemas.uploads import TranslateRequest
from service.cards import Translator
from service.operations.source_image import SourceImage
from service.operations.translating import check_alpha, translating
from service.operations.work import Task
from service.tile_inference import Drawn

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
    check_alpha(body, image_format)
    source = SourceImage(services, data, body.frame)
    header = await source.header()

    def make_task() -> Task[Drawn]:
        model = find_model(request, body.model, Translator)
        return translating(services, model, body, image_format, source, header)

    return await execute(
        request,
        make_task,
        lambda made: file_response(made, image_format, signer),
        in_thread=lambda made: signer is not None,
        label=image_format,
        sent_pixels=header.width * header.height,
        encodes=signer is not None,
    )
