"""`GET /v1/models/{model}/images/{seed}.{format}`: one image that caches can keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter

from service.admission import AdmissionQueue
from service.api.answers.caching import IMMUTABLE, REVALIDATE, etag_of, is_current
from service.api.answers.formats import check_quality
from service.api.answers.model_headers import headers_of
from service.api.answers.recipes import recipe_of
from service.api.answers.rendering import render_image
from service.api.calls.execution import execute
from service.api.context import services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.openapi.generators import IMAGE_DOCS
from service.api.requests.latents import latents_for
from service.api.requests.models import find_model
from service.api.schemas.generate import ImageQuery
from service.api.schemas.latents import Amount, InDigits, PictureFields, Seed, Translation
from service.cards import Generator
from service.images.encode import ImageFormat, blocks_event_loop
from service.operations.work import Task, TimedImages
from service.synthesis import Latent
from service.telemetry.records import record_of

router = APIRouter(tags=["images"])

Suffix = Literal["png", "jpg", "webp"]
_FORMATS: Final[dict[Suffix, ImageFormat]] = {"png": "png", "jpg": "jpeg", "webp": "webp"}


@router.get(
    "/v1/models/{model}/images/{seed}.{format}", name="image", summary="One image, cacheable", **IMAGE_DOCS
)
async def cached_image(
    request: Request,
    model: Annotated[str, Path(description="name of a generator", examples=["terrain"])],
    seed: Annotated[Seed, InDigits, Path(description="the seed", examples=[42])],
    format: Annotated[Suffix, Path(description="png, jpg or webp", examples=["png"])],
    query: Annotated[ImageQuery, Query()],
) -> Response:
    """One image, with a strong ETag made of its recipe.

    A matching `If-None-Match` is answered 304 before any inference. With `digest=` the URL names one
    image for ever and may be cached as long; without, caches have to ask again, since the model may change.
    """
    if repeated := [name for name in request.query_params if len(request.query_params.getlist(name)) > 1]:
        raise invalid_field(repeated[0], "given more than once", "each parameter once")
    image_format = _FORMATS[format]
    check_quality(query.quality, image_format)
    fields = _picture_fields(query)

    def plan() -> tuple[Generator, Latent]:
        generator = find_model(request, model, Generator)
        if query.digest is not None and query.digest != generator.digest:
            raise ProblemError(
                "digest-mismatch",
                f"{model!r} now has the digest {generator.digest}.",
                field="digest",
                accepted=[generator.digest],
            )
        (latent,) = latents_for(generator, fields, [seed], None)
        return generator, latent

    def cache_headers(recipe: Mapping[str, Any]) -> dict[str, str]:
        etag = etag_of(recipe, image_format, query.quality)
        return {"etag": etag, "cache-control": REVALIDATE if query.digest is None else IMMUTABLE}

    generator, latent = plan()
    headers = cache_headers(recipe_of(generator, latent, query.noise))
    if is_current(request.headers.getlist("if-none-match"), headers["etag"]):
        record_of(request.scope).outcome = "not-modified"
        return Response(status_code=304, headers={**headers, **headers_of(generator)})

    def make_task() -> Task[_Made]:
        generator, latent = plan()

        async def run(queue: AdmissionQueue, deadline: float) -> _Made:
            synthesizer = services_of(request).synthesizer
            made = await synthesizer.synthesize(generator, [latent], query.noise, queue, deadline)
            return _Made(made, recipe_of(generator, latent, query.noise))

        return Task(generator, 1, run)

    def render(made: _Made) -> Response:
        response = render_image(made.made.images[0], made.recipe, image_format, query.quality)
        # Of what was carried out: the model may have changed since the first look.
        response.headers.update(cache_headers(made.recipe))
        return response

    pixel_count = generator.height * generator.width
    return await execute(
        request,
        make_task,
        render,
        in_thread=lambda made: blocks_event_loop(pixel_count, image_format),
        label=image_format,
    )


@dataclass(frozen=True, eq=False)
class _Made(TimedImages):
    """The image together with what made it."""

    recipe: Mapping[str, Any]


def _picture_fields(query: ImageQuery) -> PictureFields:
    edits: dict[str, float] = {}
    for entry in query.edits.split(",") if query.edits is not None else ():
        name, colon, amount = entry.strip().rpartition(":")
        try:
            if not colon or name in edits:
                raise ValueError
            edits[name] = TypeAdapter(Amount).validate_python(float(amount))
        except ValueError:
            raise invalid_field(
                "edits",
                f"{entry!r} is no edit",
                "each direction once, such as direction-01:2.5",
            ) from None
    translation = None
    if query.translation is not None:
        try:
            numbers = [float(number) for number in query.translation.split(",")]
            translation = TypeAdapter(Translation).validate_python(numbers)
        except ValueError:
            raise invalid_field(
                "translation",
                f"{query.translation!r} is no translation",
                "two numbers from -10 to 10, such as 0.25,-0.1",
            ) from None
    return PictureFields(
        truncation=query.truncation,
        truncation_cutoff=query.truncation_cutoff,
        label=query.label,
        edits=edits or None,
        rotation=query.rotation,
        translation=translation,
    )
