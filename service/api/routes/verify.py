"""`POST /v1/verify`: what made a file, and whether its pixels still are what that made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.api.calls.execution import execute
from service.api.calls.supervision import allowed_seconds, supervise
from service.api.calls.verification import Examined, NotReproducibleError, examine, report
from service.api.context import Services, services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.errors.validation import accepted_fields, validation_problem
from service.api.openapi.verify import VERIFY_DOCS
from service.api.requests.body import read_image
from service.api.requests.form_parts import MEDIA_TYPE as MULTIPART
from service.api.requests.uploads import IMAGE_FIELD, read_files
from service.api.routes.reproducing import RemadeAnimation, Remake, remake, remake_animation, remake_of
from service.api.schemas.verify import Reproduction, VerifiedModel, VerifyRequest
from service.catalog import TritonAwayError, UnknownModelError
from service.images.animation import MEDIA_TYPES as ANIMATION_MEDIA_TYPES
from service.images.animation_comparison import compare_animation
from service.images.c2pa_reading import Trust
from service.images.comparison import compare
from service.images.containers.base import ImageError
from service.images.decode import MEDIA_TYPES, DecodeLimits
from service.operations.work import Task
from service.settings import Settings

router = APIRouter(tags=["verify"])

_LONGEST_TEXT: Final = 64  # names and digests are no longer; what is gets no place in an answer of its own
_ANIMATED_PNG: Final = ANIMATION_MEDIA_TYPES["apng"]
_NOT_ASKED: Final = Reproduction(performed=False)
_RETRY_FULL: Final = "2"

Result = TypeVar("Result")


@router.post("/v1/verify", name="verify", summary="Tell what made a file", **VERIFY_DOCS)
async def verify(request: Request) -> Response:
    """Tells which model, seed and parameters made a file, as it says itself, and what of that holds.

    Three things can show it. The pixels of a lossless file are compared with the hash recorded in it, which
    shows accidents but no forgery. A C2PA signature is checked, and counts if this service's certificate or
    an authority that its operator trusts made it. With `reproduce`, the image is made again from its
    recipe and compared, which needs no trust in the file at all.

    The body is a form with the part `image`, or the file itself, with its own `Content-Type`. What
    translation or super-resolution made can be made again if the form has the image it was made of, as
    `source`.
    """
    services = services_of(request)
    settings = services.settings
    with _place(services):
        data, source, fields = await _received(request, settings)
        trust = Trust(
            own=None if services.signer is None else services.signer.own,
            anchors=services.trust_anchors,
            timeout_seconds=settings.verify_timeout_seconds,
        )
        limits = DecodeLimits(settings.max_image_pixels, settings.max_image_frames)
        deadline = perf_counter() + allowed_seconds(request, settings)[0]
        try:
            work = _in_thread(services, lambda: examine(data, limits, trust, settings.max_animation_pixels))
            examined = await supervise(request, work, deadline)
        except ImageError as error:
            raise ProblemError(error.slug, error.detail, **error.members) from None
        model = _served(services, examined)
        if not fields.reproduce or examined.recipe is None:
            return _answer(examined, model, _NOT_ASKED)
        try:
            return await _reproduce(request, examined, model, source)
        except NotReproducibleError as reason:
            reproduced = Reproduction(performed=False, reason=str(reason))
            return _answer(examined, model, reproduced)


async def _received(request: Request, settings: Settings) -> tuple[bytes, bytes | None, VerifyRequest]:
    """The file, what it was made of, and the fields, from a form, or from body and query."""
    in_query = _fields(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART:
        files, fields = await read_files(
            request, VerifyRequest, settings, source="the image file that the image was made of"
        )
        wanted = VerifyRequest(reproduce=fields.reproduce or in_query.reproduce)
        return files[IMAGE_FIELD], files.get("source"), wanted
    accepted = (MULTIPART, *MEDIA_TYPES.values(), _ANIMATED_PNG)
    limit, patience = settings.max_upload_bytes, settings.upload_timeout_seconds
    return await read_image(request, accepted, limit, patience), None, in_query


def _fields(request: Request) -> VerifyRequest:
    query = request.query_params
    if repeated := [name for name in query if len(query.getlist(name)) > 1]:
        raise invalid_field(repeated[0], "given more than once", "each parameter once")
    try:
        return VerifyRequest.model_validate_strings(dict(query))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation_problem(details, accepted_fields(VerifyRequest)) from None


@contextmanager
def _place(services: Services) -> Iterator[None]:
    """One of the places for files that are held in memory at a time."""
    if services.verifying >= services.settings.verify_limit:
        services.metrics.rejected.labels("none", "queue-full").inc()
        raise ProblemError(
            "queue-full",
            f"{services.verifying} files are being verified; try again in {_RETRY_FULL} s.",
            headers={"retry-after": _RETRY_FULL},
        )
    services.verifying += 1
    try:
        yield
    finally:
        services.verifying -= 1


async def _in_thread(services: Services, work: Callable[[], Result]) -> Result:
    """Runs in one of two threads: when the caller leaves, what has begun still counts until it ends."""
    return await asyncio.get_running_loop().run_in_executor(services.verifiers, work)


def _served(services: Services, examined: Examined) -> VerifiedModel | None:
    recipe = examined.recipe or {}
    name, digest = recipe.get("model"), recipe.get("digest")
    if not isinstance(name, str) or len(name) > _LONGEST_TEXT:
        return None
    if not isinstance(digest, str) or len(digest) > _LONGEST_TEXT:
        digest = None
    try:
        model = services.catalog.get(name)
    except TritonAwayError:
        return VerifiedModel(name=name, digest=digest, served=None, same_digest=None)
    except UnknownModelError:
        return VerifiedModel(name=name, digest=digest, served=False, same_digest=None)
    return VerifiedModel(name=name, digest=digest, served=True, same_digest=model.digest == digest)


async def _reproduce(
    request: Request, examined: Examined, model: VerifiedModel | None, source: bytes | None
) -> Response:
    """Makes the image again by the way of the call that made it, and compares.

    Raises:
        NotReproducibleError: If the recipe is not one that can be carried out here.
        ProblemError: Overload, deadline, or Triton away.
    """
    pixels, metadata, animation = examined.pixels, examined.metadata, examined.animation
    if metadata is None or (pixels is None and animation is None):
        raise NotReproducibleError(
            "The recipe is not that of an animation, or the file is larger than those made here."
        )
    if model is None:
        raise NotReproducibleError("The recipe names no model.")
    if model.served is False:
        raise NotReproducibleError("No model of that name is served here.")
    if model.same_digest is False:
        raise NotReproducibleError("The model that is served under that name has another digest.")
    recipe = examined.recipe or {}
    again: Remake | RemadeAnimation
    if animation is not None:
        again = remake_animation(request, recipe, animation.format)
    elif source is not None and "source_sha256" in recipe:
        again = await remake_of(request, recipe, source, lossless=metadata.lossless)
    else:
        again = remake(request, recipe)

    def make_task() -> Task[Any]:
        task = again.make_task()
        if task.model.digest != model.digest:
            raise NotReproducibleError("The model that is served under that name has another digest.")
        return task

    def render(made: Any) -> Response:
        if isinstance(again, RemadeAnimation):
            assert animation is not None
            images, quality = made.made.images, again.quality
            found = compare_animation(animation, images, lossless=metadata.lossless, quality=quality)
        else:
            assert pixels is not None
            found = compare(pixels, again.pixels(made), examined.data, metadata)
        frames = found.different_frames
        reproduced = Reproduction(
            performed=True,
            match=found.match,
            max_difference=found.max_difference,
            psnr=found.psnr,
            different_frames=None if frames is None else list(frames),
        )
        return _answer(examined, model, reproduced)

    return await execute(
        request,
        make_task,
        render,
        in_thread=lambda made: True,
        label="verify",
        sent_pixels=again.sent_pixels,
        encodes=False,
    )


def _answer(examined: Examined, model: VerifiedModel | None, reproduced: Reproduction) -> Response:
    content = report(examined, model, reproduced).model_dump()
    # Escaped: a recipe may hold lone surrogates, which are valid JSON and no UTF-8.
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Response(text, media_type="application/json", headers={"cache-control": "no-store"})
