"""`POST /v1/generate`: images from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.api.answers.formats import (
    FORMATS,
    check_output,
    check_quality,
    check_side,
    check_total,
    negotiated,
    too_many,
)
from service.api.answers.recipes import bounded, recipe_of
from service.api.answers.rendering import NPY, Picture, render_image, render_json, render_npy, render_zip
from service.api.answers.signatures import signer_for
from service.api.calls.execution import execute
from service.api.context import services_of
from service.api.errors.problems import invalid_field
from service.api.openapi.generators import GENERATE_DOCS
from service.api.requests.body import read_json
from service.api.requests.latents import latents_for
from service.api.requests.models import find_model
from service.api.schemas.generate import GenerateRequest
from service.cards import Generator
from service.images.encode import ImageFormat, blocks_event_loop
from service.images.sheet import contact_sheet, sheet_size
from service.operations.work import Task, TimedImages
from service.settings import Settings
from service.synthesis import Latent, Noise

router = APIRouter(tags=["generate"])


@router.post("/v1/generate", name="generate", summary="Make images from seeds", **GENERATE_DOCS)
async def generate_images(request: Request) -> Response:
    """Makes one image a seed. Equal seeds, parameters and model digest give equal pixels.

    `Accept` decides the answer: `application/json` (the default) holds each file in base64, `image/*`
    is the image itself, or a contact sheet of several, `application/zip` the files and a manifest, and
    `application/x-npy` the raw pixels as a numpy array [N, height, width, 3] of uint8.
    """
    settings = services_of(request).settings
    body = await read_json(request, GenerateRequest, settings)
    media_type = negotiated(request, body.format, "application/json", "application/zip", NPY)
    image_format = body.format or FORMATS.get(media_type, "png")
    check_count(settings, body)
    check_quality(body.quality, image_format)
    if body.return_ws and media_type not in ("application/json", "application/zip"):
        raise invalid_field("return_ws", f"{media_type} has no place for styles", "JSON or zip answers")
    if body.captions and media_type not in FORMATS:
        raise invalid_field("captions", f"{media_type} is no contact sheet", "captions with image/*")
    signer = signer_for(request, body.sign)
    if body.sign and media_type == NPY:
        raise invalid_field("sign", f"{media_type} has no place for a signature", "sign with files")

    def make_task() -> Task[Generated]:
        return generation(request, body, sheet_format=image_format if media_type in FORMATS else None)

    def render(made: Generated) -> Response:
        if media_type == NPY:
            return render_npy(made.images)
        if media_type in FORMATS:
            pixels, recipe = made.sheet(captions=body.captions)
            return render_image(pixels, recipe, image_format, body.quality, signer)
        pictures = made.pictures(with_ws=body.return_ws)
        answer = render_json if media_type == "application/json" else render_zip
        return answer(made.model, pictures, image_format, body.quality, signer)

    response = await execute(
        request,
        make_task,
        render,
        in_thread=lambda made: signer is not None or blocks_event_loop(made.pixel_count, image_format),
        label=image_format,
    )
    response.headers["vary"] = "accept"
    response.headers["cache-control"] = "no-store"
    return response


def check_count(settings: Settings, body: GenerateRequest) -> None:
    """Refuses to make more images than one call may ask for.

    Args:
        settings: The limits.
        body: The request.

    Raises:
        ProblemError: If they are too many.
    """
    limit = min(settings.max_images_per_request, settings.queue_limit)
    if body.count() > limit:
        field = "n" if body.seed is not None else "seeds" if body.seeds is not None else "ws"
        raise too_many(body.count(), limit, field)


def generation(
    request: Request, body: GenerateRequest, *, sheet_format: ImageFormat | None
) -> Task[Generated]:
    """The task that makes a request's images.

    Args:
        request: For the services, and its record.
        body: The images; their count has been checked.
        sheet_format: Of the contact sheet they will become; None if they stay apart.

    Returns:
        The task.

    Raises:
        ProblemError: If there is no such model, or the request does not fit it.
    """
    model = find_model(request, body.model, Generator)
    settings = services_of(request).settings
    check_total(body.count(), model.height, model.width, settings)
    latents = latents_for(model, body, body.all_seeds(), body.all_ws())
    if sheet_format is not None:
        size = sheet_size(len(latents), model.height, model.width, captions=body.captions)
        check_side(size, sheet_format, f"a sheet of {len(latents)} images")
        check_output(size, sheet_format, settings)

    async def run(queue: AdmissionQueue, deadline: float) -> Generated:
        synthesizer = services_of(request).synthesizer
        made = await synthesizer.synthesize(model, latents, body.noise, queue, deadline)
        return Generated(made, model, latents, body.noise)

    return Task(model, len(latents), run)


@dataclass(frozen=True, eq=False)
class Generated(TimedImages):
    """Images together with what they were made of."""

    model: Generator
    latents: Sequence[Latent]
    noise: Noise

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """uint8 [height, width, 3] each."""
        return self.made.images

    @property
    def pixel_count(self) -> int:
        """Pixels of all of them."""
        return len(self.images) * self.model.height * self.model.width

    def pictures(self, *, with_ws: bool) -> list[Picture]:
        """Each with its recipe, and its styles if wanted."""
        return [
            Picture(
                pixels,
                f"{index:04d}-ws" if latent.seed is None else f"{index:04d}-seed-{latent.seed}",
                recipe_of(self.model, latent, self.noise),
                {} if latent.seed is None else {"seed": latent.seed},
                self.made.ws[index] if with_ws else None,
            )
            for index, (latent, pixels) in enumerate(zip(self.latents, self.images, strict=True))
        ]

    def sheet(self, *, captions: bool) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """All of them as one picture, and its recipe; a single image is its own sheet."""
        recipe = recipe_of(self.model, self.latents[0], self.noise)
        if len(self.latents) > 1:
            if "seed" in recipe:
                del recipe["seed"]
                recipe["seeds"] = [latent.seed for latent in self.latents]
            else:
                kept = ("model", "digest", "noise", "rotation", "translation")
                recipe = {key: value for key, value in recipe.items() if key in kept}
        texts = None
        if captions:
            recipe["captions"] = True
            texts = [_caption(self.model, index, latent) for index, latent in enumerate(self.latents)]
        return contact_sheet(self.images, texts), bounded(recipe)


def _caption(model: Generator, index: int, latent: Latent) -> str:
    name = f"ws {index}" if latent.seed is None else str(latent.seed)
    if latent.label is None:
        return name
    return f"{name} {model.classes[latent.label] if model.classes else latent.label}"
