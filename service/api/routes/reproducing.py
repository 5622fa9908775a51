"""Making the image of a recipe again, by the very task of the call that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from service.admission import AdmissionQueue
from service.api.calls.verification import NotReproducibleError, request_for
from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.api.requests.models import find_model
from service.api.routes.generate import check_count, generation
from service.api.routes.interpolate import Interpolated, check_frames, interpolation
from service.api.routes.style_mix import check_cells, grid_of, mixing
from service.api.schemas.mixing import InterpolateRequest, StyleMixRequest
from service.api.schemas.uploads import SuperResolutionRequest, TranslateRequest
from service.cards import Translator, Upscaler
from service.images.animation import MEDIA_TYPES as ANIMATION_MEDIA_TYPES
from service.images.animation import AnimationFormat
from service.images.decode import DecodeLimits, decode
from service.images.sheet import grid
from service.operations.enlarging import enlarging
from service.operations.source_image import SourceImage
from service.operations.translating import translating
from service.operations.work import Task
from service.tile_inference import Drawn

Pixels = NDArray[np.uint8]
Recipe = Mapping[str, Any]

# What recipes of several latents hold besides the fields of a call.
_ABOUT: Final = frozenset(("digest", "pixels_sha256", "operation"))
_ABOUT_SOURCES: Final = _ABOUT | {"source_sha256", "source_size"}
_MIX_FIELDS: Final = frozenset(
    ("model", "rows", "columns", "layers", "noise", "headers", "captions", "rotation", "translation")
)
_PATH_FIELDS: Final = frozenset(("model", "keyframes", "frames", "space", "easing", "loop", "noise"))
# Of problems that the recipe is to blame for, rather than the moment.
_RECIPES_FAULT: Final = (404, 422)


@dataclass(frozen=True)
class Remake:
    """How an image is made again.

    Attributes:
        make_task: As for `service.api.calls.execution.execute`.
        pixels: Of what the task made, uint8 [height, width, 3 or 4]; takes long enough for a thread.
        sent_pixels: Of the image it is made of.
    """

    make_task: Callable[[], Task[Any]]
    pixels: Callable[[Any], Pixels]
    sent_pixels: int = 0


def remake(request: Request, recipe: Recipe) -> Remake:
    """Finds the call that makes the image of a recipe, as strictly validated as one from a client.

    Args:
        request: For the services.
        recipe: From a file.

    Returns:
        How to make it again.

    Raises:
        NotReproducibleError: If no call makes it.
        ProblemError: Triton is away, or the model takes no traffic now.
    """
    made = _OPERATIONS.get(str(recipe.get("operation")), _generated)
    with _recipes_fault():
        found = made(request, recipe)
        found.make_task()
    return found


@dataclass(frozen=True)
class RemadeAnimation:
    """How an animation is made again.

    Attributes:
        make_task: As for `Remake`; what it makes are the frames.
        quality: Of the file, where it is lossy.
    """

    make_task: Callable[[], Task[Interpolated]]
    quality: int | None
    sent_pixels: int = 0


def remake_animation(request: Request, recipe: Recipe, animation: AnimationFormat) -> RemadeAnimation:
    """The same for an animation.

    Args:
        request: For the services.
        recipe: From a file; it is of `interpolate`, and has `fps`.
        animation: Format of the file.

    Returns:
        How to make its frames again.

    Raises:
        NotReproducibleError: If no call makes it.
        ProblemError: Triton is away, or the model takes no traffic now.
    """
    with _recipes_fault():
        fields = _fields(recipe, _PATH_FIELDS | {"fps", "quality"}, ("keyframes",))
        body: InterpolateRequest = _validated(InterpolateRequest, {**fields, "format": animation})
        check_frames(body, services_of(request).settings)
        found = RemadeAnimation(
            lambda: interpolation(request, body, ANIMATION_MEDIA_TYPES[animation]), body.quality
        )
        found.make_task()
    return found


async def remake_of(request: Request, recipe: Recipe, data: bytes, *, lossless: bool) -> Remake:
    """The same for what was made of another image, which came along.

    Args:
        request: For the services.
        recipe: From a file; it has a `source_sha256`.
        data: The file with the other image.
        lossless: Whether the file with the recipe keeps pixels as they are.

    Returns:
        How to make it again; its task says so if the other image is not the recipe's.

    Raises:
        NotReproducibleError: If no call makes it.
        ProblemError: The other image cannot be read, Triton is away, or the model takes no traffic now.
    """
    services = services_of(request)
    source = SourceImage(services, data, None)
    header = await source.header()
    fields = {key: value for key, value in recipe.items() if key not in _ABOUT_SOURCES}
    enlarged = recipe.get("operation") == "super-resolution"
    body = _validated(SuperResolutionRequest if enlarged else TranslateRequest, fields)

    def make_task() -> Task[Drawn]:
        task: Task[Drawn]
        if enlarged:
            task = enlarging(services, find_model(request, body.model, Upscaler), body, "png", source, header)
        else:
            task = translating(
                services, find_model(request, body.model, Translator), body, "png", source, header
            )

        async def run(queue: AdmissionQueue, deadline: float) -> Drawn:
            _, about = await source.decoded()
            if about["source_sha256"] != recipe["source_sha256"]:
                raise NotReproducibleError("The `source` that came along is not the image of the recipe.")
            return await task.run(queue, deadline)

        return Task(task.model, task.units, run)

    def pixels(made: Drawn) -> Pixels:
        limits = DecodeLimits(services.settings.max_output_pixels, 1)
        with made.file.file as file:
            image = decode(file.read(), limits)
        if image.alpha is None:
            return image.pixels
        if not lossless:
            raise NotReproducibleError("Transparent images are compared where the file is lossless.")
        return np.dstack((image.pixels, image.alpha))

    with _recipes_fault():
        make_task()
    return Remake(make_task, pixels, header.width * header.height)


@contextmanager
def _recipes_fault() -> Iterator[None]:
    """What a call would refuse is a fault of the recipe, not of the request."""
    try:
        yield
    except ProblemError as error:
        if error.problem.status not in _RECIPES_FAULT:
            raise
        details = [f"{entry['field']}: {entry['detail']}" for entry in error.members.get("errors", ())]
        raise NotReproducibleError(f"No call takes the recipe: {(details or [error.detail])[0]}") from None


def _generated(request: Request, recipe: Recipe) -> Remake:
    body = request_for(dict(recipe))
    check_count(services_of(request).settings, body)
    return Remake(
        lambda: generation(request, body, sheet_format="png"),
        lambda made: made.sheet(captions=body.captions)[0],
    )


def _mixed(request: Request, recipe: Recipe) -> Remake:
    as_grid = "headers" in recipe
    fields = _fields(recipe, _MIX_FIELDS, ("rows", "columns"))
    body = _validated(StyleMixRequest, fields)
    check_cells(services_of(request).settings, body, as_grid=as_grid)
    if not as_grid and len(body.rows) * len(body.columns) != 1:
        raise NotReproducibleError("The recipe names several images and does not say how they lie.")
    return Remake(
        lambda: mixing(request, body, grid_format="png" if as_grid else None),
        lambda made: grid_of(made, body) if as_grid else made.made.images[0],
    )


def _interpolated(request: Request, recipe: Recipe) -> Remake:
    frame = recipe.get("frame")
    fields = _fields(recipe, _PATH_FIELDS | {"frame"}, ("keyframes",))
    fields.pop("frame", None)
    body = _validated(InterpolateRequest, fields if frame is not None else {**fields, "format": "sheet"})
    check_frames(body, services_of(request).settings)
    if frame is None:
        return Remake(
            lambda: interpolation(request, body, "image/png"),
            lambda made: grid(made.made.images, len(made.made.images)),
        )
    if type(frame) is not int or not 0 <= frame < body.frames:
        raise NotReproducibleError(f"The recipe is of a frame that its {body.frames} frames do not have.")
    return Remake(
        lambda: interpolation(request, body, "application/zip", frame=frame), lambda made: made.made.images[0]
    )


_OPERATIONS: Final[Mapping[str, Callable[[Request, Recipe], Remake]]] = {
    "style-mix": _mixed,
    "interpolate": _interpolated,
}


def _fields(recipe: Recipe, known: frozenset[str], lists: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the call, with latents as calls have them."""
    if any(f"{name}_sha256" in recipe for name in lists):
        raise NotReproducibleError(
            "The recipe holds the sha256 of its latents alone; they were too many for it."
        )
    if unknown := sorted(set(recipe) - known - _ABOUT):
        names = ", ".join(repr(key[:40]) for key in unknown[:5])
        raise NotReproducibleError(f"The recipe is not that of a {recipe['operation']} call: it has {names}.")
    fields = {key: value for key, value in recipe.items() if key in known}
    for name in lists:
        if isinstance(latents := fields.get(name), list):
            fields[name] = [_source(latent) for latent in latents]
    return fields


def _source(latent: Any) -> Any:
    if not isinstance(latent, dict) or "ws_sha256" not in latent:
        return latent
    if "ws" not in latent:
        raise NotReproducibleError(
            "The recipe holds the sha256 of some styles alone; they were too large for it."
        )
    return {name: value for name, value in latent.items() if name != "ws_sha256"}


def _validated(schema: type[Any], fields: dict[str, Any]) -> Any:
    assert issubclass(schema, BaseModel)
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise NotReproducibleError(f"No call takes the recipe: {where}: {first['msg']}.") from None
