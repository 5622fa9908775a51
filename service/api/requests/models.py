"""Models as clients name them, noted in the record of the call."""

from __future__ import annotations

from fastapi import Request

from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.operations.models import Model, of_kind, served
from service.telemetry.records import record_of


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
    catalog, record = services_of(request).catalog, record_of(request.scope)
    try:
        model = served(catalog, name)
    except ProblemError as error:
        if error.problem.slug == "model-unavailable":
            record.model = name  # the catalog knows it
        raise
    record.model = model.name
    return of_kind(catalog, model, wanted)
