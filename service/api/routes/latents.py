"""`POST /v1/latents`: styles without images, so that clients can keep, average and mix them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from service.admission import AdmissionQueue
from service.api.answers.formats import too_many
from service.api.answers.recipes import encode_ws
from service.api.calls.execution import execute
from service.api.context import services_of
from service.api.errors.problems import invalid_field
from service.api.openapi.generators import LATENTS_DOCS
from service.api.requests.body import read_json
from service.api.requests.latents import check_z, layers_for, sources_for
from service.api.requests.models import find_model
from service.api.schemas.mixing import LatentsRequest
from service.cards import Generator
from service.latents import mix
from service.operations.work import Task
from service.paths import path_in_w, path_in_z
from service.synthesis import Latent, Mapped

router = APIRouter(tags=["generate"])

# Of styles that are written as text in the event loop; more than these take a millisecond.
_INLINE_NUMBERS = 100_000


@router.post("/v1/latents", name="latents", summary="Styles of seeds, and arithmetic on them", **LATENTS_DOCS)
async def latents(request: Request) -> Response:
    """Returns styles that every call takes as `ws`: mapped, averaged, mixed, or along a path.

    Truncation, label and edits are in them already. The same styles give the same pixels for as long as the
    model's digest is the same.
    """
    settings = services_of(request).settings
    body = await read_json(request, LatentsRequest, settings)
    limit = settings.max_animation_frames
    for field, count in (("latents", len(body.latents)), ("steps", body.steps or 0)):
        if count > limit:
            raise too_many(count, limit, field)

    def make_task() -> Task[_Styles]:
        model = find_model(request, body.model, Generator)
        sources = sources_for(model, body, body.latents, "latents")
        layers = [] if body.layers is None else layers_for(model, body.layers)
        if body.operation == "walk" and body.space == "z":
            check_z(sources, "latents")

        async def run(queue: AdmissionQueue, deadline: float) -> _Styles:
            synthesizer = services_of(request).synthesizer
            steps = body.steps or 0
            if body.operation == "walk" and body.space == "z":
                sought: Sequence[Latent] = await asyncio.to_thread(
                    path_in_z, sources, model.z_dim, steps, loop=body.loop, easing=body.easing
                )
                mapped = await synthesizer.map(model, sought, queue, deadline)
                return _Styles(model, mapped, None)
            mapped = await synthesizer.map(model, sources, queue, deadline)
            if body.operation == "map":
                return _Styles(model, mapped, sources)
            ws = await asyncio.to_thread(_computed, mapped.ws, body, layers)
            return _Styles(model, replace(mapped, ws=ws), None)

        return Task(model, 1, run)

    response = await execute(
        request, make_task, _render, in_thread=lambda made: made.mapped.ws.size > _INLINE_NUMBERS, label="ws"
    )
    response.headers["cache-control"] = "no-store"
    return response


def _computed(ws: NDArray[np.float32], body: LatentsRequest, layers: Sequence[int]) -> NDArray[np.float32]:
    """Arithmetic on the styles of the sources: their average, their mix, or a path through them."""
    if body.operation == "mix":
        return mix(ws[0], ws[1], layers)[None]
    if body.operation == "walk":
        walk = path_in_w(ws, body.steps or 0, loop=body.loop, easing=body.easing)
        return np.stack([latent.ws for latent in walk if latent.ws is not None])
    average = np.average(ws.astype(np.float64), axis=0, weights=body.weights)[None]
    if np.abs(average).max() > np.finfo(np.float32).max:
        raise invalid_field("weights", "the average is beyond all numbers of 32 bits", "weights of one sign")
    made: NDArray[np.float32] = average.astype(np.float32)
    return made


@dataclass(frozen=True, eq=False)
class _Styles:
    """Styles, and the latents they are those of if they are."""

    model: Generator
    mapped: Mapped
    sources: Sequence[Latent] | None

    @property
    def queue_seconds(self) -> float:
        return self.mapped.queue_seconds

    @property
    def infer_seconds(self) -> float:
        return self.mapped.infer_seconds


def _render(made: _Styles) -> Response:
    data: list[dict[str, object]] = [{"ws": encode_ws(row)} for row in made.mapped.ws]
    for item, source in zip(data, made.sources or (), strict=False):
        if source.seed is not None:
            item["seed"] = source.seed
    body = {
        "model": made.model.name,
        "model_digest": made.model.digest,
        "ws_shape": list(made.mapped.ws.shape[1:]),
        "data": data,
    }
    return Response(json.dumps(body, separators=(",", ":")), media_type="application/json")
