"""Models by name, and their parameters checked against them; what does not fit becomes a problem."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request

from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.cards import Generator, Kind, ServedModel, Translator, Upscaler
from service.catalog import TritonAwayError, UnavailableModelError, UnknownModelError
from service.telemetry.records import record_of

_RETRY_AWAY = "2"

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


def find_model(request: Request, name: str) -> ServedModel:
    """A model of any kind.

    Args:
        request: Whose record gets the model's name.
        name: As the client wrote it.

    Returns:
        The model.

    Raises:
        ProblemError: If it is not served, or Triton is away.
    """
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


def find_generator(request: Request, name: str) -> Generator:
    """A generator.

    Args:
        request: Whose record gets the model's name.
        name: As the client wrote it.

    Returns:
        The generator.

    Raises:
        ProblemError: If it is not served, is of another kind, or Triton is away.
    """
    return _of_kind(request, name, Generator, "generator")


def find_upscaler(request: Request, name: str) -> Upscaler:
    """An upscaler; otherwise like `find_generator`.

    Args:
        request: Whose record gets the model's name.
        name: As the client wrote it.

    Returns:
        The upscaler.

    Raises:
        ProblemError: If it is not served, is of another kind, or Triton is away.
    """
    return _of_kind(request, name, Upscaler, "upscaler")


def find_translator(request: Request, name: str) -> Translator:
    """A translator; otherwise like `find_generator`.

    Args:
        request: Whose record gets the model's name.
        name: As the client wrote it.

    Returns:
        The translator.

    Raises:
        ProblemError: If it is not served, is of another kind, or Triton is away.
    """
    return _of_kind(request, name, Translator, "translator")


def _of_kind(request: Request, name: str, wanted: type[Model], kind: Kind) -> Model:
    model = find_model(request, name)
    if isinstance(model, wanted):
        return model
    article = "an" if kind == "upscaler" else "a"
    other = "an" if model.kind == "upscaler" else "a"
    raise ProblemError(
        "wrong-model-kind",
        f"{name!r} is {other} {model.kind}; this call needs {article} {kind}.",
        field="model",
        accepted=[served.name for served in services_of(request).catalog.models() if served.kind == kind],
    )
