"""`/v1/limits`: how much one call may ask for."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from service.api.context import services_of
from service.api.openapi.service import LIMITS_DOCS
from service.api.schemas.limits import Limits
from service.images.animation import available_formats

router = APIRouter(tags=["models"])


@router.get("/v1/limits", name="limits", summary="How much one call may ask for", **LIMITS_DOCS)
async def limits(request: Request) -> JSONResponse:
    """What this server is set to, so that a client need not be refused to learn it."""
    settings = services_of(request).settings
    found = {name: getattr(settings, name) for name in Limits.model_fields if hasattr(settings, name)}
    said = Limits(**found, animation_formats=list(available_formats()))
    return JSONResponse(said.model_dump(), headers={"cache-control": "no-cache"})
