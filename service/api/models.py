"""`/v1/models`: what is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from service.api.context import services_of
from service.api.documentation import MODEL_DOCS, MODELS_DOCS
from service.api.lookup import find_model, triton_away
from service.catalog import TritonAwayError

router = APIRouter(tags=["models"])


@router.get("/v1/models", name="models", summary="All models served", **MODELS_DOCS)
async def list_models(request: Request) -> JSONResponse:
    """The card of every model that Triton is ready to run now."""
    try:
        models = services_of(request).catalog.models()
    except TritonAwayError:
        raise triton_away() from None
    return JSONResponse({"data": [model.card for model in models]}, headers={"cache-control": "no-cache"})


@router.get("/v1/models/{model}", name="model", summary="One model", **MODEL_DOCS)
async def get_model(
    request: Request, model: Annotated[str, Path(description="name of a model", examples=["terrain"])]
) -> JSONResponse:
    """The card of one model."""
    return JSONResponse(dict(find_model(request, model).card), headers={"cache-control": "no-cache"})
