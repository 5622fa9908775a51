"""`POST /v1/super-resolution`: an image, enlarged."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api.answers.file_response import file_response
from service.api.answers.formats import FORMATS, check_quality, negotiated
from service.api.answers.signatures import signer_for
from service.api.calls.drawing import drawn_in_events
from service.api.calls.execution import execute
from service.api.calls.streaming import EVENT_STREAM, stream
from service.api.context import Services, services_of
from service.api.openapi.image_files import SUPER_RESOLUTION_DOCS
from service.api.requests.models import find_model
from service.api.requests.uploads import read_upload, room_for_upload
from service.api.schemas.uploads import SuperResolutionRequest
from service.cards import Upscaler
from service.operations.enlarging import enlarging
from service.operations.source_image import SourceImage
from service.operations.work import Task
from service.tile_inference import Drawn, Told

router = APIRouter(tags=["images"])


@router.post(
    "/v1/super-resolution", name="super-resolution", summary="Enlarge an image", **SUPER_RESOLUTION_DOCS
)
async def enlarge_image(request: Request) -> Response:
    """Enlarges an image by any factor up to the model's.

    The image is computed in tiles that overlap as far as the model reaches, so the result is that of the
    whole image in one piece, without seams; a smaller factor than the model's is then reached with Lanczos.
    Large images take long on a CPU, so the deadline grows with them; `Prefer: wait=SECONDS` asks for another.
    With `Accept: text/event-stream` the answer says how far it is while tiles are computed: events
    `progress`, then the file in `part`s, and `done`.
    """
    services = services_of(request)
    with room_for_upload(request, services):
        return await _enlarged(request, services)


async def _enlarged(request: Request, services: Services) -> Response:
    data, body = await read_upload(request, SuperResolutionRequest, services.settings)
    media_type = negotiated(request, body.format, EVENT_STREAM, image_first=True)
    image_format = FORMATS.get(media_type, body.format or "png")
    check_quality(body.quality, image_format)
    signer = signer_for(request, body.sign)
    source = SourceImage(services, data, body.frame)
    header = await source.header()

    def make_task(told: Told | None = None) -> Task[Drawn]:
        model = find_model(request, body.model, Upscaler)
        return enlarging(services, model, body, image_format, source, header, told)

    sent_pixels = header.width * header.height
    if media_type == EVENT_STREAM:
        return await stream(
            request,
            lambda: drawn_in_events(request, make_task, image_format, signer),
            sent_pixels=sent_pixels,
        )
    return await execute(
        request,
        make_task,
        lambda made: file_response(made, image_format, signer),
        in_thread=lambda made: signer is not None,
        label=image_format,
        sent_pixels=sent_pixels,
        encodes=signer is not None,
    )
