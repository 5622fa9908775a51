"""`/v1/models`: what is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from service.api.answers.compression import json_answer
from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.api.openapi.service import LOAD_DOCS, MODEL_DOCS, MODELS_DOCS, UNLOAD_DOCS
from service.catalog import CatalogError, TritonAwayError, UnknownModelError
from service.model_control import LoadError
from service.operations.models import model_not_found, triton_away
from service.telemetry.records import record_of

router = APIRouter(tags=["models"])

Name = Annotated[str, Path(description="name of a model", examples=["terrain"])]

_NO_CACHE: Final = {"cache-control": "no-cache"}


@router.get("/v1/models", name="models", summary="All models served", **MODELS_DOCS)
async def list_models(request: Request) -> Response:
    """The card of every model that Triton has ready; one whose `state` is not READY takes no traffic."""
    try:
        cards = services_of(request).catalog.cards()
    except TritonAwayError:
        raise triton_away() from None
    return json_answer(request, {"data": cards}, _NO_CACHE)


@router.get("/v1/models/{model}", name="model", summary="One model", **MODEL_DOCS)
async def get_model(request: Request, model: Name) -> JSONResponse:
    """The card of one model, also of one that takes no traffic."""
    return _card(request, services_of(request).catalog.card, model)


@router.post("/v1/models/{model}/load", name="load", summary="Load or reload a model", **LOAD_DOCS)
async def load_model(request: Request, model: Name) -> JSONResponse:
    """Loads what is in Triton's repository now; answers when it takes traffic.

    A model that is loaded serves until then, and no call is lost. What does not make the pixels its card says
    is refused. A Triton that is started anew loads everything there is.
    """
    try:
        card = await services_of(request).control.load(model)
    except LoadError as error:
        raise ProblemError("model-load-failed", str(error)) from error
    except (TritonAwayError, UnknownModelError) as error:
        raise _missing(request, model, error) from None
    record_of(request.scope).model = model
    return JSONResponse(card, headers=_NO_CACHE)


@router.post("/v1/models/{model}/unload", name="unload", summary="Unload a model", **UNLOAD_DOCS)
async def unload_model(request: Request, model: Name) -> JSONResponse:
    """Refuses new calls of the model at once, lets those in flight finish, and unloads it.

    Lasts until it is loaded again or Triton is started anew; `ganserve up` keeps it over a crash of Triton.
    """
    try:
        await services_of(request).control.unload(model)
    except LoadError as error:
        raise ProblemError("model-load-failed", str(error)) from error
    except (TritonAwayError, UnknownModelError) as error:
        raise _missing(request, model, error) from None
    record_of(request.scope).model = model
    return JSONResponse({"name": model, "state": "UNLOADED"}, headers=_NO_CACHE)


def _card(request: Request, card: Callable[[str], dict[str, Any]], name: str) -> JSONResponse:
    try:
        found = card(name)
    except CatalogError as error:
        raise _missing(request, name, error) from None
    record_of(request.scope).model = name
    return JSONResponse(found, headers=_NO_CACHE)


def _missing(request: Request, name: str, error: CatalogError) -> ProblemError:
    if isinstance(error, TritonAwayError):
        return triton_away()
    return model_not_found(services_of(request).catalog, name)
