"""What the documentation of calls is put together from: headers, the problems of a call, who may call it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from service.api.access.scopes import Access
from service.api.errors.problems import MEDIA_TYPE, PROBLEMS

BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_EVERY_CALL: Final = ("unknown-host", "internal-error")
_CALLS_WITH_KEY: Final = (
    "unauthenticated",
    "forbidden",
    "rate-limited",
    "too-many-concurrent",
    "rate-limit-unavailable",
)
SECURITY_SCHEMES: Final[Mapping[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key. Where the operator configured none, no call needs one.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
}
INFERENCE: Final = (
    "model-not-found",
    "invalid-request",
    "wrong-model-kind",
    "inference-failed",
    "queue-full",
    "triton-unavailable",
    "model-unavailable",
    "shutting-down",
    "deadline-exceeded",
)


def header(description: str) -> dict[str, Any]:
    """A response header of text.

    Args:
        description: What it says.

    Returns:
        OpenAPI's header object.
    """
    return {"description": description, "schema": {"type": "string"}}


HEADERS: Final = {
    "x-request-id": header("The client's own id if it sent a usable one, else a new one."),
    "server-timing": header("Milliseconds in queue, infer, encode and in total."),
}
IMAGE_HEADERS: Final = {
    **HEADERS,
    "x-model": header("Name of the model."),
    "x-model-digest": header("Digest of the model that made the pixels."),
    "link": header('Where the licence of the weights stands, `rel="license"`; only if the card knows that.'),
    "x-pixels-sha256": header("sha256 of the raw RGB bytes of the image (or sheet, or array)."),
}
PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=SECONDS` (RFC 7240): deadline of the call, then 504.",
    "schema": {"type": "string"},
    "example": "wait=10",
}


def add_access(operation: dict[str, Any], access: Access) -> None:
    """Describes that a call needs a key.

    Args:
        operation: The call, as it stands in the finished document; changed in place.
        access: Who may call it; not `open`.
    """
    scopes = [] if access == "any key" else [access]
    operation["security"] = [{"bearer": scopes}, {"header": scopes}, {}]
    slugs = [slug for slug in _CALLS_WITH_KEY if scopes or slug != "forbidden"]
    if operation.get("requestBody"):
        slugs.append("cross-origin")
    for status, response in _described(slugs).items():
        there = operation["responses"].setdefault(str(status), response)
        if there is not response:
            there["description"] = f"{there['description']}; {response['description']}"
            there["headers"] = {**there["headers"], **response["headers"]}
            there["content"][MEDIA_TYPE]["examples"].update(response["content"][MEDIA_TYPE]["examples"])
    operation["responses"] = dict(sorted(operation["responses"].items()))


def problems(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a call that ends with a problem.

    Args:
        slugs: Keys of `PROBLEMS`; those of every call are added.

    Returns:
        OpenAPI's response objects by status.
    """
    return _described((*slugs, *_EVERY_CALL))


def _described(slugs: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    responses: dict[int | str, dict[str, Any]] = {}
    for slug in slugs:
        problem = PROBLEMS[slug]
        response = responses.setdefault(
            problem.status,
            {
                "description": "",
                "headers": dict(HEADERS),
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        response["description"] = "; ".join(filter(None, (response["description"], problem.title)))
        if problem.status in (429, 503):
            response["headers"]["retry-after"] = header("Whole seconds.")
        if problem.status == 401:
            response["headers"]["www-authenticate"] = header("`Bearer`, and what was wrong with the key.")
        response["content"][MEDIA_TYPE]["examples"][slug] = {
            "summary": problem.title,
            "value": {
                "type": problem.uri,
                "title": problem.title,
                "status": problem.status,
                "detail": problem.description,
                "instance": "/v1/generate",
                "request_id": "0f3cde6a4b1f4e0d8a0f5be3e3f0a7d2",
            },
        }
    return responses
