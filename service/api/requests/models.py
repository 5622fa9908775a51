"""Models by name, and their parameters checked against them; what does not fit becomes a problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from fastapi import Request

from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.cards import Generator, Kind, ServedModel, Translator, Upscaler
from service.catalog import TritonAwayError, UnavailableModelError, UnknownModelError
from service.telemetry.records import record_of

_RETRY_AWAY = "2"
_KINDS: Final[Mapping[type[ServedModel], Kind]] = {
    Generator: "generator",
    Translator: "translator",
    Upscaler: "upscaler",
}
_ARTICLES: Final[Mapping[Kind, str]] = {"generator": "a", "translator": "a", "upscaler": "an"}

Model = TypeVar("Model", bound=ServedModel)


def triton_away() -> ProblemError:
    """The problem of a Triton that does not answer."""
    return ProblemError(
        "triton-unavailable", "The inference server does not answer.", headers={"retry-after": _RETRY_AWAY}
    )


def model_not_found(request: Request, name: str) -> ProblemError:
    """The problem of a name that no model has.

    Args:
        request: Asks the gateway whose models are listed.
        name: As the client wrote it.

    Returns:
        The exception to raise.
    """
    accepted = services_of(request).catalog.names
    return ProblemError("model-not-found", f"No model {name!r} is served.", field="model", accepted=accepted)


def find_model(request: Request, name: str, wanted: type[Model]) -> Model:
    """A model of one kind.

    Args:
        request: Whose record gets the model's name.
        name: As the client wrote it.
        wanted: The kind: `Generator`, `Translator` or `Upscaler`.

    Returns:
        The model.

    Raises:
        ProblemError: If it is not served, is of another kind, or Triton is away.
    """
    model = _served(request, name)
    if isinstance(model, wanted):
        return model
    kind = _KINDS[wanted]
    raise ProblemError(
        "wrong-model-kind",
        f"{name!r} is {_ARTICLES[model.kind]} {model.kind}; this call needs {_ARTICLES[kind]} {kind}.",
        field="model",
        accepted=[served.name for served in services_of(request).catalog.models() if served.kind == kind],
    )


def _served(request: Request, name: str) -> ServedModel:
    catalog = services_of(request).catalog
    try:
        model = catalog.get(name)
    except TritonAwayError:
        raise triton_away() from None
    except UnavailableModelError as error:
        record_of(request.scope).model = name  # the catalog knows it
        raise ProblemError("model-unavailable", str(error), headers={"retry-after": _RETRY_AWAY}) from None
    except UnknownModelError:
        raise model_not_found(request, name) from None
    record_of(request.scope).model = model.name
    return model
