"""What the OpenAPI document says beside the code: examples, headers and the problems of each call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from service.api.access import Access
from service.api.problems import MEDIA_TYPE, PROBLEMS
from service.api.rendering import NPY
from service.api.schemas import (
    EXAMPLE_DIGEST,
    GenerateResponse,
    HealthStatus,
    ModelCard,
    ModelList,
    ProblemDescription,
    ProblemList,
)
from service.images.encode import MEDIA_TYPES

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
    "deadline-exceeded",
)
_CARD: Final[Mapping[str, Any]] = {
    "name": "terrain",
    "kind": "generator",
    "version": "1",
    "digest": EXAMPLE_DIGEST,
    "state": "READY",
    "family": "stylegan",
    "resolution": 64,
}


def header(description: str) -> dict[str, Any]:
    """A response header of text.

    Args:
        description: What it says.

    Returns:
        OpenAPI's header object.
    """
    return {"description": description, "schema": {"type": "string"}}


_HEADERS: Final = {
    "x-request-id": header("The client's own id if it sent a usable one, else a new one."),
    "server-timing": header("Milliseconds in queue, infer, encode and in total."),
}
IMAGE_HEADERS: Final = {
    **_HEADERS,
    "x-model": header("Name of the model."),
    "x-model-digest": header("Digest of the model that made the pixels."),
    "x-pixels-sha256": header("sha256 of the raw RGB bytes of the image (or sheet, or array)."),
}
_CACHE_HEADERS: Final = {
    "etag": header("Strong; made of the recipe."),
    "cache-control": header("`immutable` if pinned by `digest=`, else `no-cache`."),
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
                "headers": dict(_HEADERS),
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


def _json(model: type[Any], example: Any) -> dict[str, Any]:
    return {
        "model": model,
        "description": "Done",
        "headers": _HEADERS,
        "content": {"application/json": {"example": example}},
    }


GENERATE_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {
            "model": GenerateResponse,
            "description": "The images, as `Accept` asked for them",
            "headers": IMAGE_HEADERS,
            "content": {
                **dict.fromkeys(MEDIA_TYPES.values(), BINARY),
                "application/zip": BINARY,
                NPY: BINARY,
            },
        },
        **problems(
            "not-acceptable",
            "request-timeout",
            "body-too-large",
            "unsupported-media-type",
            "too-many-images",
            "signing-not-configured",
            "signing-failed",
            *INFERENCE,
        ),
    },
    "openapi_extra": {
        "parameters": [PREFER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/GenerateRequest"},
                    "examples": {
                        "one image": {"value": {"model": "terrain", "seeds": [42]}},
                        "a run of seeds": {
                            "value": {"model": "terrain", "seed": 100, "n": 4, "truncation": 0.7}
                        },
                        "every parameter": {
                            "value": {
                                "model": "terrain",
                                "seeds": [1, 2],
                                "truncation": 0.5,
                                "truncation_cutoff": 2,
                                "noise": 7,
                                "format": "webp",
                                "quality": 80,
                            }
                        },
                    },
                }
            },
        },
    },
}

IMAGE_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {
            "description": "The image",
            "headers": {**IMAGE_HEADERS, **_CACHE_HEADERS},
            "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        },
        304: {
            "description": "The client has it already; nothing was computed",
            "headers": {**_HEADERS, **_CACHE_HEADERS},
        },
        **problems("digest-mismatch", *INFERENCE),
    },
    "openapi_extra": {
        "parameters": [
            PREFER,
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "ETag of the copy the client has.",
                "schema": {"type": "string"},
            },
        ]
    },
}

MODELS_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(ModelList, {"data": [_CARD]}), **problems("triton-unavailable")}
}
MODEL_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: _json(ModelCard, _CARD),
        **problems("model-not-found", "invalid-request", "triton-unavailable"),
    }
}
HEALTHZ_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(HealthStatus, {"status": "ok"}), **problems()}
}
READYZ_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(HealthStatus, {"status": "ready"}), **problems("not-ready")}
}
METRICS_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {
            "description": "Metrics",
            "headers": _HEADERS,
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "ganserve_triton_up 1.0\n"}},
        },
        **problems(),
    },
}
_QUEUE_FULL = PROBLEMS["queue-full"]
_PAGE: Final = {
    "type": _QUEUE_FULL.uri,
    "title": _QUEUE_FULL.title,
    "status": _QUEUE_FULL.status,
    "description": _QUEUE_FULL.description,
}
PROBLEMS_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(ProblemList, {"data": [_PAGE]}), **problems()}
}
PROBLEM_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(ProblemDescription, _PAGE), **problems("not-found", "invalid-request")}
}
