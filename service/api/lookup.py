"""Models by name, and their parameters checked against them; what does not fit becomes a problem."""

from __future__ import annotations

from fastapi import Request

from service.api.context import services_of
from service.api.problems import ProblemError
from service.cards import Generator, ServedModel
from service.catalog import TritonAwayError, UnknownModelError
from service.telemetry.records import record_of

_RETRY_AWAY = "2"


def triton_away() -> ProblemError:
    """The problem of a Triton that does not answer."""
    return ProblemError(
        "triton-unavailable", "The inference server does not answer.", headers={"retry-after": _RETRY_AWAY}
    )


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
    except UnknownModelError:
        raise ProblemError(
            "model-not-found", f"No model {name!r} is served.", field="model", accepted=catalog.names
        ) from None
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
    model = find_model(request, name)
    if isinstance(model, Generator):
        return model
    generators = [other.name for other in services_of(request).catalog.models() if other.kind == "generator"]
    raise ProblemError(
        "wrong-model-kind",
        f"{name!r} is a {model.kind}; this call needs a generator.",
        field="model",
        accepted=generators,
    )
