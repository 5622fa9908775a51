"""What the OpenAPI document says beside the code: examples, headers and the problems of each call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import Response

from service.api.access.scopes import Access
from service.api.answers.rendering import NPY
from service.api.errors.problems import MEDIA_TYPE, PROBLEMS
from service.api.schemas.generate import (
    EXAMPLE_DIGEST,
    GenerateResponse,
    HealthStatus,
    ModelCard,
    ModelList,
    ProblemDescription,
    ProblemList,
    UnloadedModel,
)
from service.api.schemas.mixing import LatentsResponse
from service.images.animation import MEDIA_TYPES as ANIMATION_MEDIA_TYPES
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
    "shutting-down",
    "deadline-exceeded",
)
_SIGNING: Final = ("signing-not-configured", "signing-failed")
_JSON_BODY: Final = ("not-acceptable", "request-timeout", "body-too-large", "unsupported-media-type")
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


HEADERS: Final = {
    "x-request-id": header("The client's own id if it sent a usable one, else a new one."),
    "server-timing": header("Milliseconds in queue, infer, encode and in total."),
}
IMAGE_HEADERS: Final = {
    **HEADERS,
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


def _json(model: type[Any], example: Any) -> dict[str, Any]:
    return {
        "model": model,
        "description": "Done",
        "headers": HEADERS,
        "content": {"application/json": {"example": example}},
    }


def _json_body(schema: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [PREFER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"#/components/schemas/{schema}"},
                    "examples": {name: {"value": value} for name, value in examples.items()},
                }
            },
        },
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
        **problems(*_JSON_BODY, "too-many-images", "output-too-large", *_SIGNING, *INFERENCE),
    },
    "openapi_extra": _json_body(
        "GenerateRequest",
        {
            "one image": {"model": "terrain", "seeds": [42]},
            "a run of seeds": {"model": "terrain", "seed": 100, "n": 4, "truncation": 0.7},
            "of a class": {"model": "emoji", "seeds": [7], "label": "Food & Drink"},
            "moved along a direction": {
                "model": "terrain",
                "seeds": [42],
                "edits": {"direction-01": 3.0},
                "return_ws": True,
            },
            "every encoder parameter": {
                "model": "terrain",
                "seeds": [1, 2],
                "truncation": 0.5,
                "truncation_cutoff": 2,
                "noise": 7,
                "format": "webp",
                "quality": 80,
            },
        },
    ),
}

INTERPOLATE_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The animation, zip or filmstrip, or a stream of frames",
            "headers": IMAGE_HEADERS,
            "content": {
                **dict.fromkeys(
                    (*ANIMATION_MEDIA_TYPES.values(), *MEDIA_TYPES.values(), "application/zip"), BINARY
                ),
                "text/event-stream": {
                    "schema": {
                        "type": "string",
                        "description": "Events `frame` (`index`, `frames`, `b64_json`, `width`, `height`, "
                        "`media_type`, `pixels_sha256`), then `done`; `error` holds a problem.",
                    }
                },
            },
        },
        **problems(
            *_JSON_BODY,
            "too-many-frames",
            "animation-too-large",
            "output-too-large",
            *_SIGNING,
            *INFERENCE,
        ),
    },
    "openapi_extra": _json_body(
        "InterpolateRequest",
        {
            "between two seeds": {"model": "terrain", "keyframes": [1, 2], "frames": 12},
            "a loop, eased, along the arc": {
                "model": "terrain",
                "keyframes": [3, 7, 12],
                "frames": 24,
                "space": "z",
                "easing": "ease-in-out",
                "loop": True,
                "truncation": 0.8,
                "format": "gif",
            },
            "from class to class": {
                "model": "emoji",
                "keyframes": [
                    {"seed": 5, "label": "Food & Drink"},
                    {"seed": 5, "label": "Animals & Nature", "truncation": 0.5},
                ],
                "frames": 8,
                "format": "sheet",
            },
        },
    ),
}

STYLE_MIX_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The grid, or the crossed images one by one, as `Accept` asked for them",
            "headers": IMAGE_HEADERS,
            "content": {
                **dict.fromkeys((*MEDIA_TYPES.values(), "application/zip"), BINARY),
                "application/json": {"schema": {"type": "object"}},
            },
        },
        **problems(*_JSON_BODY, "too-many-images", "output-too-large", *_SIGNING, *INFERENCE),
    },
    "openapi_extra": _json_body(
        "StyleMixRequest",
        {
            "a grid": {"model": "terrain", "rows": [1, 2, 3], "columns": [10, 11, 12], "layers": "fine"},
            "some layers": {
                "model": "terrain",
                "rows": [1],
                "columns": [{"seed": 4, "truncation": 0.5}],
                "layers": ["coarse", 5],
                "captions": True,
            },
        },
    ),
}

LATENTS_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {"model": LatentsResponse, "description": "The styles", "headers": HEADERS},
        **problems(*_JSON_BODY, "too-many-images", *INFERENCE),
    },
    "openapi_extra": _json_body(
        "LatentsRequest",
        {
            "map": {"model": "terrain", "latents": [1, 2], "truncation": 0.7},
            "average": {"model": "terrain", "operation": "average", "latents": [1, 2], "weights": [3, 1]},
            "mix": {"model": "terrain", "operation": "mix", "latents": [1, 2], "layers": "coarse"},
            "walk": {"model": "terrain", "operation": "walk", "latents": [1, 2], "steps": 5, "space": "z"},
        },
    ),
}

IMAGE_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The image",
            "headers": {**IMAGE_HEADERS, **_CACHE_HEADERS},
            "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        },
        304: {
            "description": "The client has it already; nothing was computed",
            "headers": {**HEADERS, **_CACHE_HEADERS},
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
LOAD_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: _json(ModelCard, _CARD),
        **problems("model-not-found", "invalid-request", "model-load-failed", "triton-unavailable"),
    }
}
UNLOAD_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: _json(UnloadedModel, {"name": "terrain", "state": "UNLOADED"}),
        **problems("model-not-found", "invalid-request", "model-load-failed", "triton-unavailable"),
    }
}
HEALTHZ_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(HealthStatus, {"status": "ok"}), **problems()}
}
READYZ_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(HealthStatus, {"status": "ready"}), **problems("not-ready")}
}
METRICS_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Metrics",
            "headers": HEADERS,
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
