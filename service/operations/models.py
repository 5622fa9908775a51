"""Models by name and kind; one that cannot be used becomes a problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from service.api.errors.problems import ProblemError
from service.cards import Generator, Kind, ServedModel, Translator, Upscaler
from service.catalog import Catalog, TritonAwayError, UnavailableModelError, UnknownModelError

_RETRY_AWAY: Final = "2"
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


def model_not_found(catalog: Catalog, name: str) -> ProblemError:
    """The problem of a name that no model has.

    Args:
        catalog: Whose models are listed.
        name: As the client wrote it.

    Returns:
        The exception to raise.
    """
    return ProblemError(
        "model-not-found", f"No model {name!r} is served.", field="model", accepted=catalog.names
    )


def served(catalog: Catalog, name: str) -> ServedModel:
    """A model of any kind.

    Args:
        catalog: Who knows.
        name: As the client wrote it.

    Returns:
        The model.

    Raises:
        ProblemError: `model-not-found`, `model-unavailable` or `triton-unavailable`.
    """
    try:
        return catalog.get(name)
    except TritonAwayError:
        raise triton_away() from None
    except UnavailableModelError as error:
        raise ProblemError("model-unavailable", str(error), headers={"retry-after": _RETRY_AWAY}) from None
    except UnknownModelError:
        raise model_not_found(catalog, name) from None


def of_kind(catalog: Catalog, model: ServedModel, wanted: type[Model]) -> Model:
    """The model, if it is of the kind that is wanted.

    Args:
        catalog: Whose models of that kind are listed otherwise.
        model: From `served`.
        wanted: The kind: `Generator`, `Translator` or `Upscaler`.

    Returns:
        The model.

    Raises:
        ProblemError: `wrong-model-kind`.
    """
    if isinstance(model, wanted):
        return model
    kind = _KINDS[wanted]
    raise ProblemError(
        "wrong-model-kind",
        f"{model.name!r} is {_ARTICLES[model.kind]} {model.kind}; this call needs {_ARTICLES[kind]} {kind}.",
        field="model",
        accepted=[other.name for other in catalog.models() if other.kind == kind],
    )
