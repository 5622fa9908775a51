"""Validation errors of pydantic as problems that name the field and what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from service.api.errors.problems import ProblemError, invalid_fields

_MAX_ERRORS = 20
# Members of a union show up in pydantic's locations; fields of ours are all that a client knows.
_UNION_MEMBERS = ("int", "str", "literal", "constrained", "float", "function-", "list[")


def validation_problem(
    errors: Sequence[Mapping[str, Any]],
    accepted: Mapping[str, str],
    *,
    known: Sequence[str] = (),
    skip: int = 0,
) -> ProblemError:
    """Turns pydantic's errors into one problem.

    Args:
        errors: As `ValidationError.errors()` gives them.
        accepted: What each top-level field accepts.
        known: Fields to name where an unknown one was sent; all of `accepted` if left out.
        skip: Leading elements of a location that are not the client's, such as `body`.

    Returns:
        The exception to raise.
    """
    found: dict[str, dict[str, Any]] = {}
    for error in errors:
        path = [str(part) for part in error["loc"][skip:]]
        path = [part for part in path if not part.startswith(_UNION_MEMBERS) or part in accepted]
        field = ".".join(path) or "body"
        top = path[0] if path else ""
        if error["type"] == "extra_forbidden":
            detail, expected = "Unknown field", "only these fields: " + ", ".join(known or accepted)
        else:
            detail = error["msg"].removeprefix("Value error, ")
            expected = accepted.get(top, "a JSON object with these fields: " + ", ".join(accepted))
        if field in found:  # the other members of a union
            found[field]["detail"] += f"; or: {detail}"
        elif len(found) < _MAX_ERRORS:
            found[field] = {"field": field, "detail": detail, "accepted": expected}
    return invalid_fields(list(found.values()))


def accepted_fields(model: type[BaseModel]) -> dict[str, str]:
    """What each field of a schema accepts, in its own words.

    Args:
        model: A schema whose fields are all described.

    Returns:
        Description by field name.
    """
    return {name: field.description or "" for name, field in model.model_fields.items()}
