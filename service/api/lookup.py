"""Models by name, and their parameters checked against them; what does not fit becomes a problem."""

from __future__ import annotations

from fastapi import Request

from service.api.context import services_of
from service.api.problems import ProblemError, invalid_field
from service.cards import Generator, ServedModel
from service.catalog import TritonAwayError, UnknownModelError
from service.synthesis import Noise, Style
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


def style_for(
    model: Generator,
    truncation: float,
    truncation_cutoff: int | None,
    noise: Noise,
    label: int | str | None,
) -> Style:
    """Checks what only the model can tell.

    Args:
        model: The generator.
        truncation: As the schema validated it.
        truncation_cutoff: As the schema validated it.
        noise: As the schema validated it.
        label: Class by index (also as text) or name.

    Returns:
        The style to synthesize with.

    Raises:
        ProblemError: If cutoff or label do not exist in this model.
    """
    if truncation_cutoff is not None and truncation_cutoff > model.num_ws:
        raise invalid_field(
            "truncation_cutoff",
            f"the model has {model.num_ws} layers",
            f"an integer from 0 to {model.num_ws}",
        )
    return Style(truncation, truncation_cutoff, noise, _class_index(model, label))


def _class_index(model: Generator, label: int | str | None) -> int | None:
    if model.c_dim == 0:
        if label is not None:
            raise invalid_field("label", "the model is not conditional", "no label")
        return None
    accepted = list(model.classes) or f"an integer from 0 to {model.c_dim - 1}"
    if label is None:
        raise invalid_field("label", "the model is conditional and needs a label", accepted)
    if isinstance(label, str) and label in model.classes:
        return model.classes.index(label)
    if isinstance(label, int) or label.isdecimal():
        index = int(label)
        if index < model.c_dim:
            return index
    raise invalid_field("label", "no such class", accepted)
