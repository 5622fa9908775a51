"""`POST /v1/style-mix`: rows give the structure, columns the chosen layers."""

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
from service.api.answers.recipes import bounded, latent_part, transform_part
from service.api.answers.rendering import Picture, render_image, render_json, render_zip
from service.api.answers.signatures import signer_for
from service.api.calls.execution import execute
from service.api.context import services_of
from service.api.errors.problems import invalid_field
from service.api.openapi.generators import STYLE_MIX_DOCS
from service.api.requests.body import read_json
from service.api.requests.latents import layers_for, sources_for, transform_of
from service.api.requests.models import find_model
from service.api.schemas.mixing import StyleMixRequest
from service.cards import Generator
from service.images.encode import ImageFormat, blocks_event_loop
from service.images.sheet import CAPTION_HEIGHT, captioned, grid, grid_size
from service.images.signing import Signer
from service.latents import mix
from service.operations.work import Task, TimedImages
from service.settings import Settings
from service.synthesis import Latent, Noise, Transform, window_of

router = APIRouter(tags=["generate"])


@router.post("/v1/style-mix", name="style-mix", summary="Mix the styles of seeds", **STYLE_MIX_DOCS)
async def style_mix(request: Request) -> Response:
    """Crosses every row with every column: the row's styles, with those of the chosen layers from the column.

    The answer is a grid whose first row and column are the unmixed images; `application/json` and
    `application/zip` hold the crossed images one by one. A latent crossed with itself gives its own pixels.
    """
    settings = services_of(request).settings
    body = await read_json(request, StyleMixRequest, settings)
    media_type = negotiated(request, body.format, "application/json", "application/zip", image_first=True)
    image_format = body.format or FORMATS.get(media_type, "png")
    check_quality(body.quality, image_format)
    signer = signer_for(request, body.sign)
    as_grid = media_type in FORMATS
    if body.captions and not as_grid:
        raise invalid_field("captions", f"{media_type} is no grid", "captions with image/*")
    check_cells(settings, body, as_grid=as_grid)

    def make_task() -> Task[Mixed]:
        return mixing(request, body, grid_format=image_format if as_grid else None)

    def render(made: Mixed) -> Response:
        if as_grid:
            return _render_grid(made, image_format, body, signer)
        answer = render_json if media_type == "application/json" else render_zip
        return answer(made.plan.model, made.pictures(), image_format, body.quality, signer)

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


def check_cells(settings: Settings, body: StyleMixRequest, *, as_grid: bool) -> None:
    """Refuses to make more images than one call may ask for.

    Args:
        settings: The limits.
        body: The request.
        as_grid: Whether headers are made too.

    Raises:
        ProblemError: If they are too many.
    """
    limit = min(settings.max_images_per_request, settings.queue_limit)
    if (count := _count(body, as_grid)) > limit:
        raise too_many(count, limit, "rows")


def _count(body: StyleMixRequest, as_grid: bool) -> int:
    crossed = len(body.rows) * len(body.columns)
    return crossed + (len(body.rows) + len(body.columns) if as_grid and body.headers else 0)


def mixing(request: Request, body: StyleMixRequest, *, grid_format: ImageFormat | None) -> Task[Mixed]:
    """The task that makes the images of a grid.

    Args:
        request: For the services, and its record.
        body: What is crossed; the count has been checked.
        grid_format: Of the grid they will become; None if they stay apart.

    Returns:
        The task.

    Raises:
        ProblemError: If there is no such model, or the request does not fit it.
    """
    model = find_model(request, body.model, Generator)
    settings, count = services_of(request).settings, _count(body, grid_format is not None)
    check_total(count, model.height, model.width, settings)
    plan = _Plan(
        model,
        sources_for(model, body, body.rows, "rows"),
        sources_for(model, body, body.columns, "columns"),
        layers_for(model, body.layers),
        body.noise,
        transform_of(model, body),
    )
    if grid_format is not None:
        extra = 1 if body.headers else 0
        cell = model.height + (CAPTION_HEIGHT if body.captions else 0)
        size = grid_size(len(plan.rows) + extra, len(plan.columns) + extra, cell, model.width)
        check_side(size, grid_format, f"a grid of {len(plan.rows)}×{len(plan.columns)}")
        check_output(size, grid_format, settings)

    async def run(queue: AdmissionQueue, deadline: float) -> Mixed:
        synthesizer = services_of(request).synthesizer
        ws = (await synthesizer.map(model, [*plan.rows, *plan.columns], queue, deadline)).ws
        of_rows, of_columns = ws[: len(plan.rows)], ws[len(plan.rows) :]
        styles = [mix(row, column, plan.layers) for row in of_rows for column in of_columns]
        if grid_format is not None and body.headers:
            styles += list(ws)
        latents = [Latent(ws=one, transform=plan.transform) for one in styles]
        made = await synthesizer.render_all(model, latents, body.noise, queue, deadline)
        return Mixed(made, plan)

    return Task(model, window_of(model, count), run)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is crossed with what."""

    model: Generator
    rows: Sequence[Latent]
    columns: Sequence[Latent]
    layers: Sequence[int]
    noise: Noise
    transform: Transform

    def recipe(self, rows: Sequence[Latent], columns: Sequence[Latent]) -> dict[str, Any]:
        return bounded(
            {
                "model": self.model.name,
                "digest": self.model.digest,
                "noise": self.noise,
                "operation": "style-mix",
                "layers": list(self.layers),
                "rows": [latent_part(self.model, latent) for latent in rows],
                "columns": [latent_part(self.model, latent) for latent in columns],
                **transform_part(self.transform),
            }
        )


@dataclass(frozen=True, eq=False)
class Mixed(TimedImages):
    """A plan and its images: the crossed ones row by row, then those of rows and columns if wanted."""

    plan: _Plan

    @property
    def pixel_count(self) -> int:
        """Of all of them."""
        return len(self.made.images) * self.plan.model.height * self.plan.model.width

    def pictures(self) -> list[Picture]:
        """The crossed ones, each with its recipe."""
        pictures, images = [], iter(self.made.images)
        for r, row in enumerate(self.plan.rows):
            for c, column in enumerate(self.plan.columns):
                said: dict[str, Any] = {"row": r, "column": c}
                if row.seed is not None and column.seed is not None:
                    said |= {"row_seed": row.seed, "column_seed": column.seed}
                recipe = self.plan.recipe([row], [column])
                pictures.append(Picture(next(images), f"row-{r:03d}-column-{c:03d}", recipe, said))
        return pictures


def _render_grid(
    made: Mixed, image_format: ImageFormat, body: StyleMixRequest, signer: Signer | None
) -> Response:
    recipe = made.plan.recipe(made.plan.rows, made.plan.columns)
    recipe |= {"headers": body.headers, "captions": body.captions}
    return render_image(grid_of(made, body), recipe, image_format, body.quality, signer)


def grid_of(made: Mixed, body: StyleMixRequest) -> NDArray[np.uint8]:
    """The images of a grid, laid out.

    Args:
        made: The images, with those of the headers if there are any.
        body: Whether there are headers, and captions.

    Returns:
        uint8 [height, width, 3].
    """
    plan = made.plan
    rows, columns = [_name(row) for row in plan.rows], [_name(column) for column in plan.columns]
    crossed = len(rows) * len(columns)
    names = [f"{row} x {column}" for row in rows for column in columns] + rows + columns
    images: Sequence[NDArray[np.uint8]] = made.made.images
    if body.captions:
        images = [captioned(image, name) for image, name in zip(images, names, strict=False)]
    if not body.headers:
        cells: list[NDArray[np.uint8] | None] = list(images)
        pixels = grid(cells, len(columns))
    else:
        of_rows, of_columns = images[crossed : crossed + len(rows)], images[crossed + len(rows) :]
        cells = [None, *of_columns]
        for r, row in enumerate(of_rows):
            cells += [row, *images[r * len(columns) : (r + 1) * len(columns)]]
        pixels = grid(cells, len(columns) + 1)
    return pixels


def _name(latent: Latent) -> str:
    return "ws" if latent.seed is None else str(latent.seed)
