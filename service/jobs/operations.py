"""What a batch job does with each of its items: which operation, with which parameters.

Parameters are those of the interactive endpoints, checked by the same schemas when the job is made: what a
call would refuse, a job refuses too, before it has any item.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ValidationError

from service.api.answers.formats import check_output, check_quality, check_side
from service.api.answers.signatures import chosen_signer
from service.api.errors.problems import ProblemError, invalid_field
from service.api.errors.validation import accepted_fields, validation_problem
from service.api.requests.latents import latents_for
from service.api.schemas.generate import GenerateRequest
from service.api.schemas.uploads import SuperResolutionRequest, TranslateRequest
from service.cards import Generator, ServedModel, Translator, Upscaler
from service.images.encode import MEDIA_TYPES, SUFFIXES, ImageFormat
from service.operations.engine import Engine
from service.operations.enlarging import scale_of
from service.operations.models import of_kind, served
from service.operations.translating import check_alpha, fitting_of

OperationName: TypeAlias = Literal["super-resolution", "translate", "generate"]
Parameters: TypeAlias = SuperResolutionRequest | TranslateRequest | GenerateRequest

SCHEMAS: Final[Mapping[OperationName, type[BaseModel]]] = {
    "super-resolution": SuperResolutionRequest,
    "translate": TranslateRequest,
    "generate": GenerateRequest,
}
_NOT_PARAMETERS: Final = ("model", "seeds", "seed", "n", "ws", "captions", "return_ws")
"""Fields of those schemas that a job says elsewhere, or that have no meaning for files one by one."""


@dataclass(frozen=True)
class JobOperation:
    """What is done with each item of a job.

    Attributes:
        name: The operation.
        parameters: As the interactive endpoint reads them, `model` among them. Of `generate`, the seed in
            them stands for those of the items.
        digest: The only model digest that items may be made with; None takes what is served at the time.
    """

    name: OperationName
    parameters: Parameters
    digest: str | None = None

    @property
    def model(self) -> str:
        """Public name of the model."""
        return self.parameters.model

    @property
    def image_format(self) -> ImageFormat:
        """Of the files that are made."""
        return self.parameters.format or "png"

    @property
    def media_type(self) -> str:
        """Of the files that are made."""
        return MEDIA_TYPES[self.image_format]

    @property
    def extension(self) -> str:
        """Of the files that are made, without a dot."""
        return SUFFIXES[self.image_format]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` reads again."""
        return {
            "operation": self.name,
            "model": self.model,
            "parameters": self.parameters_json(),
            "digest": self.digest,
        }

    def parameters_json(self) -> dict[str, Any]:
        """The parameters as they were given, as plain JSON values."""
        return self.parameters.model_dump(mode="json", exclude_unset=True, exclude=set(_NOT_PARAMETERS))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JobOperation:
        """What `to_json` gave.

        Raises:
            ProblemError: If the parameters are not valid any more.
        """
        return read_operation(values["operation"], values["model"], values["parameters"], values["digest"])


def read_operation(
    name: str, model: str, parameters: Mapping[str, Any], digest: str | None = None
) -> JobOperation:
    """Reads what a client wants done.

    Args:
        name: Of the operation.
        model: Public name of the model; not looked up here.
        parameters: JSON values, by the names of the interactive endpoint's fields.
        digest: The only model digest that items may be made with.

    Returns:
        The operation.

    Raises:
        ProblemError: `invalid-request`, with fields named `operation`, `model` and `parameters.…`.
    """
    schema = next((schema for known, schema in SCHEMAS.items() if known == name), None)
    if schema is None:
        raise invalid_field("operation", f"{name!r} is no operation", list(SCHEMAS))
    accepted = {f: text for f, text in accepted_fields(schema).items() if f not in _NOT_PARAMETERS}
    if unknown := [field for field in parameters if field not in accepted]:
        only = "only these fields: " + ", ".join(accepted)
        raise invalid_field(f"parameters.{unknown[0][:64]}", "Unknown field", only)
    values: dict[str, Any] = {**parameters, "model": model}
    if schema is GenerateRequest:
        values["seed"] = 0
    try:
        read: Any = schema.model_validate_json(json.dumps(values))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise _in_parameters(validation_problem(details, accepted)) from None
    operation = JobOperation(name, read, digest)  # type: ignore[arg-type]  # a key of SCHEMAS, as was seen
    try:
        check_quality(read.quality, operation.image_format)
        if isinstance(read, TranslateRequest):
            check_alpha(read, operation.image_format)
    except ProblemError as error:
        raise _in_parameters(error) from None
    return operation


def check_operation(engine: Engine, operation: JobOperation) -> ServedModel:
    """Checks an operation against the model that is served now, for a job that is to be made.

    Args:
        engine: Of the gateway.
        operation: From `read_operation`.

    Returns:
        The model; a job records its digest.

    Raises:
        ProblemError: If no item could be made: there is no such model, it is of another kind, lacks what the
            parameters ask of it, has another digest than the one asked for, or nothing can be signed. Also
            if that cannot be told now, since Triton is away.
    """
    model = served(engine.catalog, operation.model)
    check_digest(operation, model)
    parameters = operation.parameters
    try:
        chosen_signer(engine.signer, parameters.sign)
        if isinstance(parameters, SuperResolutionRequest):
            scale_of(of_kind(engine.catalog, model, Upscaler), parameters)
        elif isinstance(parameters, TranslateRequest):
            fitting_of(of_kind(engine.catalog, model, Translator), parameters, 1, 1)
        else:
            generator = of_kind(engine.catalog, model, Generator)
            latents_for(generator, parameters, [0], None)
            size = generator.height, generator.width
            check_output(size, operation.image_format, engine.settings)
            check_side(size, operation.image_format, "an image of this model", "png")
    except ProblemError as error:
        raise _in_parameters(error) from None
    return model


def check_digest(operation: JobOperation, model: ServedModel) -> None:
    """Refuses a model that is not the one the job is pinned to.

    Args:
        operation: Perhaps with a digest.
        model: As it is served now.

    Raises:
        ProblemError: `digest-mismatch`.
    """
    if operation.digest is not None and operation.digest != model.digest:
        raise ProblemError(
            "digest-mismatch",
            f"{model.name!r} now has the digest {model.digest}.",
            field="digest",
            accepted=[model.digest],
        )


def check_source_size(engine: Engine, size: int) -> None:
    """Refuses an image file that a call would not read either, best before it is read.

    Args:
        engine: With the limit, `max_upload_bytes`.
        size: Of the file, in bytes.

    Raises:
        ProblemError: `body-too-large`.
    """
    limit = engine.settings.max_upload_bytes
    if size > limit:
        raise ProblemError(
            "body-too-large",
            f"The image file has {size} bytes; {limit} are read at most.",
            field="image",
            limit_bytes=limit,
        )


def item_problem(error: ProblemError) -> dict[str, Any]:
    """A problem as an item keeps it: the members it has over HTTP, but for those of the call.

    Args:
        error: What happened.

    Returns:
        Plain JSON values.
    """
    problem = error.problem
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        **error.members,
    }


def _in_parameters(error: ProblemError) -> ProblemError:
    """The problem with its fields named as a job has them."""
    members = {key: value for key, value in error.members.items() if key != "errors"}
    if "field" in members:
        members["field"] = _named(members["field"])
    errors = [{**entry, "field": _named(entry["field"])} for entry in error.members.get("errors", ())]
    return ProblemError(error.problem.slug, error.detail, headers=error.headers, errors=errors, **members)


def _named(field: str) -> str:
    return field if field in ("model", "body") else f"parameters.{field}"
