"""`GET /v1/models/{model}/images/{seed}.{format}`: one image that caches can keep."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.caching import IMMUTABLE, REVALIDATE, etag_of, is_current
from service.api.documentation import IMAGE_DOCS
from service.api.generation import Images, Plan, generate
from service.api.lookup import find_generator, style_for
from service.api.problems import ProblemError, invalid_field
from service.api.rendering import recipe_of, render_image
from service.api.schemas import ImageQuery, InDigits, Seed
from service.images.encode import ImageFormat
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
    if query.quality is not None and image_format == "png":
        raise invalid_field("quality", "png has no quality", "quality with jpg or webp")

    def plan() -> Plan:
        generator = find_generator(request, model)
        if query.digest is not None and query.digest != generator.digest:
            raise ProblemError(
                "digest-mismatch",
                f"{model!r} now has the digest {generator.digest}.",
                field="digest",
                accepted=[generator.digest],
            )
        style = style_for(generator, query.truncation, query.truncation_cutoff, query.noise, query.label)
        return Plan(generator, (seed,), style)

    first = plan()
    etag = etag_of(recipe_of(first, seed), image_format, query.quality)
    cache_control = REVALIDATE if query.digest is None else IMMUTABLE
    if is_current(request.headers.getlist("if-none-match"), etag):
        record_of(request.scope).outcome = "not-modified"
        headers = {
            "etag": etag,
            "cache-control": cache_control,
            "x-model": first.model.name,
            "x-model-digest": first.model.digest,
        }
        return Response(status_code=304, headers=headers)

    def render(made: Plan, images: Images) -> Response:
        response = render_image(made, images, image_format, query.quality)
        # Of the plan that was carried out: the model may have changed since the first look.
        response.headers["etag"] = etag_of(recipe_of(made, seed), image_format, query.quality)
        response.headers["cache-control"] = cache_control
        return response

    return await generate(request, plan, render, image_format)
