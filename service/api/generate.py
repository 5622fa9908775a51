"""`POST /v1/generate`: images from seeds."""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response

from service.api.body import read_json
from service.api.context import services_of
from service.api.documentation import GENERATE_DOCS
from service.api.generation import Plan, generate
from service.api.lookup import find_generator, style_for
from service.api.negotiation import negotiate
from service.api.problems import ProblemError, invalid_field
from service.api.rendering import NPY, render_image, render_json, render_npy, render_zip
from service.api.schemas import GenerateRequest
from service.cards import Generator
from service.images.encode import MAX_SIDE, MEDIA_TYPES, ImageFormat
from service.images.sheet import sheet_size

router = APIRouter(tags=["generate"])

_RENDERERS: Final = {"application/json": render_json, "application/zip": render_zip, NPY: render_npy}
_FORMATS: Final = {media_type: image_format for image_format, media_type in MEDIA_TYPES.items()}


@router.post("/v1/generate", name="generate", summary="Make images from seeds", **GENERATE_DOCS)
async def generate_images(request: Request) -> Response:
    """Makes one image a seed. Equal seeds, parameters and model digest give equal pixels.

    `Accept` decides the answer: `application/json` (the default) holds each file in base64, `image/*`
    is the image itself, or a contact sheet of several, `application/zip` the files and a manifest, and
    `application/x-npy` the raw pixels as a numpy array [N, height, width, 3] of uint8.
    """
    settings = services_of(request).settings
    body = await read_json(request, GenerateRequest, settings)
    media_type = _negotiate(request, body.format)
    image_format = body.format or _FORMATS.get(media_type, "png")
    limit = min(settings.max_images_per_request, settings.queue_limit)
    if body.count() > limit:
        raise ProblemError(
            "too-many-images",
            f"{body.count()} images were asked for; one call makes at most {limit}.",
            field="seeds" if body.seeds is not None else "n",
            limit=limit,
        )
    if body.quality is not None and image_format == "png":
        raise invalid_field("quality", "png has no quality", "quality with format jpeg or webp")

    def plan() -> Plan:
        model = find_generator(request, body.model)
        style = style_for(model, body.truncation, body.truncation_cutoff, body.noise, body.label)
        if media_type in _FORMATS:
            _check_sheet(model, body.count(), image_format)
        return Plan(model, body.all_seeds(), style)

    render = _RENDERERS.get(media_type, render_image)
    finish = partial(render, image_format=image_format, quality=body.quality)
    response = await generate(request, plan, finish, image_format)
    response.headers["vary"] = "accept"
    response.headers["cache-control"] = "no-store"
    return response


def _negotiate(request: Request, image_format: ImageFormat | None) -> str:
    images = tuple(MEDIA_TYPES.values()) if image_format is None else (MEDIA_TYPES[image_format],)
    offers = ("application/json", *images, "application/zip", NPY)
    media_type = negotiate(",".join(request.headers.getlist("accept")), offers)
    if media_type is None:
        chosen = f" with format {image_format!r}" if image_format else ""
        raise ProblemError(
            "not-acceptable",
            f"`Accept` excludes everything this call can answer{chosen}.",
            accepted=list(offers),
        )
    return media_type


def _check_sheet(model: Generator, n: int, image_format: ImageFormat) -> None:
    longest = max(sheet_size(n, model.height, model.width))
    if longest > MAX_SIDE[image_format]:
        raise invalid_field(
            "format",
            f"a sheet of {n} images is {longest} pixels long; {image_format} holds {MAX_SIDE[image_format]}",
            "png, fewer images, or `Accept: application/zip`",
        )
