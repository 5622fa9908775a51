"""`POST /v1/interpolate`: a path through latents, as an animation, single frames, or a stream of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.api.answers.formats import check_output, check_side
from service.api.answers.negotiation import negotiate
from service.api.answers.recipes import bounded, latent_part
from service.api.answers.rendering import Picture, describe, file_of, render_image, render_zip, sha256_of
from service.api.answers.signatures import signed, signer_for
from service.api.calls.execution import execute
from service.api.calls.streaming import EVENT_STREAM, StreamedTask, event, stream
from service.api.context import services_of
from service.api.errors.problems import ProblemError, invalid_field
from service.api.openapi.generators import INTERPOLATE_DOCS
from service.api.requests.body import read_json
from service.api.requests.latents import check_z, keyframes_for
from service.api.requests.models import find_model
from service.api.schemas.mixing import InterpolateRequest
from service.cards import Generator
from service.images.animation import MAX_SIDE, MEDIA_TYPES, SUFFIXES, available_formats, encode_animation
from service.images.encode import MEDIA_TYPES as IMAGE_MEDIA_TYPES
from service.images.encode import blocks_event_loop
from service.images.sheet import grid, grid_size
from service.images.signing import Signer
from service.operations.work import Task, TimedImages
from service.paths import path_in_w, path_in_z
from service.settings import Settings
from service.synthesis import Latent, window_of
from service.telemetry.records import record_of
from service.telemetry.tracing import exemplar, stage

router = APIRouter(tags=["generate"])

_ANIMATIONS: Final = {media_type: animation for animation, media_type in MEDIA_TYPES.items()}
_ZIP: Final = "application/zip"
# What the signing library calls the file around an animation.
_CONTAINERS: Final = {"image/apng": "image/png"}


@router.post(
    "/v1/interpolate", name="interpolate", summary="Animate a path through latents", **INTERPOLATE_DOCS
)
async def interpolate(request: Request) -> Response:
    """Leads from keyframe to keyframe, and renders every frame on the way.

    A frame that falls on a keyframe is exactly the image that `/v1/generate` makes of it. With
    `Accept: text/event-stream` each frame is sent as an event `frame` as soon as it is made, and an event
    `done` ends the stream; otherwise the answer is the finished animation. A client that leaves
    stops the work.
    """
    settings = services_of(request).settings
    body = await read_json(request, InterpolateRequest, settings)
    media_type = _negotiate(request, body)
    check_frames(body, settings)
    if body.quality is not None:
        single_frames = media_type in (_ZIP, EVENT_STREAM) or _is_sheet(body, media_type)
        lossy = body.frame_format != "png" if single_frames else media_type in ("image/webp", "video/mp4")
        if not lossy:
            raise invalid_field(
                "quality", "this format has no quality", "quality with webp, mp4 or jpeg frames"
            )

    signer = signer_for(request, body.sign)

    if media_type == EVENT_STREAM:
        return await stream(request, lambda: _streamed(request, _planned(request, body, media_type), signer))

    def make_task() -> Task[Interpolated]:
        return interpolation(request, body, media_type)

    response = await execute(
        request,
        make_task,
        lambda made: _render(made, media_type, signer),
        in_thread=lambda made: True,
        label=body.format or _ANIMATIONS.get(media_type, "webp"),
    )
    response.headers["vary"] = "accept"
    response.headers["cache-control"] = "no-store"
    return response


def interpolation(
    request: Request, body: InterpolateRequest, media_type: str, *, frame: int | None = None
) -> Task[Interpolated]:
    """The task that makes the frames of an animation.

    Args:
        request: For the services, and its record.
        body: The path; the number of its frames has been checked.
        media_type: Of the answer, for its limits.
        frame: The only one that is made; None for all.

    Returns:
        The task.

    Raises:
        ProblemError: If there is no such model, or the request does not fit it.
    """
    plan = _planned(request, body, media_type)

    async def run(queue: AdmissionQueue, deadline: float) -> Interpolated:
        path = await _path_of(request, plan, queue, deadline)
        latents = path.latents if frame is None else [path.latents[frame]]
        synthesizer = services_of(request).synthesizer
        images = await synthesizer.render_all(plan.model, latents, body.noise, queue, deadline)
        waited = path.queue_seconds + images.queue_seconds
        inferred = path.infer_seconds + images.infer_seconds
        return Interpolated(replace(images, queue_seconds=waited, infer_seconds=inferred), plan)

    return Task(plan.model, window_of(plan.model, body.frames if frame is None else 1), run)


def _planned(request: Request, body: InterpolateRequest, media_type: str) -> _Plan:
    model = find_model(request, body.model, Generator)
    plan = _Plan(model, keyframes_for(model, body), body)
    plan.check(media_type, services_of(request).settings)
    return plan


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is to be animated."""

    model: Generator
    keyframes: Sequence[Latent]
    body: InterpolateRequest

    def check(self, media_type: str, settings: Settings) -> None:
        model, body = self.model, self.body
        pixels = body.frames * model.height * model.width
        if media_type != EVENT_STREAM and pixels > settings.max_animation_pixels:
            raise ProblemError(
                "animation-too-large",
                f"{body.frames} frames of {model.width}×{model.height} are {pixels} pixels; an animation "
                f"has at most {settings.max_animation_pixels}.",
                field="frames",
                limit_pixels=settings.max_animation_pixels,
            )
        if _is_sheet(body, media_type):
            size = grid_size(1, body.frames, model.height, model.width)
            check_side(size, body.frame_format, f"a filmstrip of {body.frames} frames")
            check_output(size, body.frame_format, settings)
        elif media_type in _ANIMATIONS and max(model.height, model.width) > MAX_SIDE:
            raise invalid_field("format", f"animations have sides up to {MAX_SIDE}", "zip")
        if body.space == "z":
            check_z(self.keyframes, "keyframes")

    def recipe(self) -> dict[str, Any]:
        body = self.body
        return bounded(
            {
                "model": self.model.name,
                "digest": self.model.digest,
                "noise": body.noise,
                "operation": "interpolate",
                "keyframes": [latent_part(self.model, keyframe) for keyframe in self.keyframes],
                "frames": body.frames,
                "space": body.space,
                "easing": body.easing,
                "loop": body.loop,
            }
        )


@dataclass(frozen=True, eq=False)
class Interpolated(TimedImages):
    """A plan and its frames."""

    plan: _Plan


@dataclass(frozen=True, eq=False)
class _Path:
    """A latent a frame, and the time it took to map the keyframes."""

    latents: list[Latent]
    queue_seconds: float = 0.0
    infer_seconds: float = 0.0


async def _path_of(request: Request, plan: _Plan, queue: AdmissionQueue, deadline: float) -> _Path:
    body = plan.body
    if body.space == "z":
        latents = await asyncio.to_thread(
            path_in_z, plan.keyframes, plan.model.z_dim, body.frames, loop=body.loop, easing=body.easing
        )
        return _Path(latents)
    mapped = await services_of(request).synthesizer.map(plan.model, plan.keyframes, queue, deadline)
    latents = await asyncio.to_thread(
        path_in_w,
        mapped.ws,
        body.frames,
        loop=body.loop,
        easing=body.easing,
        transforms=[keyframe.transform for keyframe in plan.keyframes],
    )
    return _Path(latents, mapped.queue_seconds, mapped.infer_seconds)


def _render(made: Interpolated, media_type: str, signer: Signer | None) -> Response:
    plan, body, frames = made.plan, made.plan.body, made.made.images
    if media_type == _ZIP:
        recipe = plan.recipe()
        pictures = [
            Picture(pixels, f"{index:05d}", {**recipe, "frame": index}, {"frame": index})
            for index, pixels in enumerate(frames)
        ]
        return render_zip(plan.model, pictures, body.frame_format, body.quality, signer)
    if _is_sheet(body, media_type):
        return render_image(grid(frames, len(frames)), plan.recipe(), body.frame_format, body.quality, signer)
    animation = _ANIMATIONS[media_type]
    sha256 = sha256_of(*frames)
    recipe = {**plan.recipe(), "fps": body.fps, "pixels_sha256": sha256}
    if body.quality is not None:
        recipe["quality"] = body.quality
    file = encode_animation(frames, animation, body.fps, loop=body.loop, recipe=recipe, quality=body.quality)
    if signer is not None:
        file = signed(file, _CONTAINERS.get(media_type, media_type), recipe, signer)
    name = f"{plan.model.name}.{SUFFIXES[animation]}"
    return Response(
        file,
        media_type=media_type,
        headers={
            "x-pixels-sha256": sha256,
            "content-disposition": f'inline; filename="{name}"',
        },
    )


def _streamed(request: Request, plan: _Plan, signer: Signer | None) -> StreamedTask:
    model, body = plan.model, plan.body

    async def events(queue: AdmissionQueue, deadline: float) -> AsyncGenerator[bytes, None]:
        services, record = services_of(request), record_of(request.scope)
        path = await _path_of(request, plan, queue, deadline)
        record.queue, record.infer, record.encode = path.queue_seconds, path.infer_seconds, 0.0
        recipe, index = plan.recipe(), 0
        rendering = services.synthesizer.render(model, path.latents, body.noise, queue, deadline)
        async with aclosing(rendering) as parts:
            asked = perf_counter()
            async for part in parts:
                waited = part.queue_seconds if index == 0 else 0.0  # later ones wait beside the encoder
                record.queue += waited
                record.infer += perf_counter() - asked - waited
                for pixels in part.images:
                    started = perf_counter()
                    data = {"index": index, "frames": body.frames}
                    with stage("encode", format=body.frame_format):
                        if signer is not None or blocks_event_loop(
                            pixels.shape[0] * pixels.shape[1], body.frame_format
                        ):
                            data |= await asyncio.to_thread(_frame, body, recipe, index, pixels, signer)
                        else:
                            data |= _frame(body, recipe, index, pixels, None)
                    record.encode += perf_counter() - started
                    yield event("frame", data, index)
                    index += 1
                asked = perf_counter()
        services.metrics.encode_seconds.labels(body.frame_format).observe(record.encode, exemplar())
        said = {"frames": index, "model": model.name, "model_digest": model.digest}
        yield event("done", {**said, "milliseconds": record.milliseconds()})

    return StreamedTask(model, window_of(model, body.frames), events)


def _frame(
    body: InterpolateRequest,
    recipe: Mapping[str, Any],
    index: int,
    pixels: NDArray[np.uint8],
    signer: Signer | None,
) -> dict[str, Any]:
    picture = Picture(pixels, "", {**recipe, "frame": index})
    said = describe(picture, body.frame_format)
    file = file_of(pixels, picture.recipe, said["pixels_sha256"], body.frame_format, body.quality, signer)
    return {**said, "b64_json": base64.b64encode(file).decode("ascii")}


def _negotiate(request: Request, body: InterpolateRequest) -> str:
    available = available_formats()
    if body.format == "mp4" and "mp4" not in available:
        raise invalid_field(
            "format",
            "this server has no video encoder (PyAV, the extra `video`)",
            [*available, "zip", "sheet"],
        )
    if body.format == "sheet":
        offers: tuple[str, ...] = (IMAGE_MEDIA_TYPES[body.frame_format], EVENT_STREAM)
    elif body.format == "zip":
        offers = (_ZIP, EVENT_STREAM)
    elif body.format is not None:
        offers = (MEDIA_TYPES[body.format], EVENT_STREAM)
    else:
        sheet = IMAGE_MEDIA_TYPES[body.frame_format]
        offers = (*(MEDIA_TYPES[name] for name in available), _ZIP, EVENT_STREAM, sheet)
    media_type = negotiate(",".join(request.headers.getlist("accept")), offers)
    if media_type is None:
        raise ProblemError(
            "not-acceptable",
            "`Accept` excludes everything this call can answer"
            + (f" with format {body.format!r}." if body.format else "."),
            accepted=list(offers),
        )
    return media_type


def _is_sheet(body: InterpolateRequest, media_type: str) -> bool:
    """Whether the answer is a filmstrip: said so, or a still image is what `Accept` leaves."""
    return body.format == "sheet" or media_type in ("image/png", "image/jpeg")


def check_frames(body: InterpolateRequest, settings: Settings) -> None:
    """Refuses to make more frames than one call may ask for.

    Args:
        body: The request.
        settings: The limits.

    Raises:
        ProblemError: If they are too many.
    """
    limit = settings.max_animation_frames
    for field, count in (("frames", body.frames), ("keyframes", len(body.keyframes))):
        if count > limit:
            raise ProblemError(
                "too-many-frames",
                f"{count} {field} were asked for; one call makes at most {limit}.",
                field=field,
                limit=limit,
            )
