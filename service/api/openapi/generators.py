"""What the OpenAPI document says of the calls of generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from service.api.answers.rendering import NPY
from service.api.openapi.parts import BINARY, HEADERS, IMAGE_HEADERS, INFERENCE, PREFER, header, problems
from service.api.schemas.generate import GenerateResponse
from service.api.schemas.mixing import LatentsResponse
from service.images.animation import MEDIA_TYPES as ANIMATION_MEDIA_TYPES
from service.images.encode import MEDIA_TYPES

_SIGNING: Final = ("signing-not-configured", "signing-failed")
_JSON_BODY: Final = ("not-acceptable", "request-timeout", "body-too-large", "unsupported-media-type")
_CACHE_HEADERS: Final = {
    "etag": header("Strong; made of the recipe."),
    "cache-control": header("`immutable` if pinned by `digest=`, else `no-cache`."),
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
            "turned and moved, by a StyleGAN3 generator of yours": {
                "model": "my-stylegan3",
                "seeds": [42],
                "rotation": 30.0,
                "translation": [0.25, -0.1],
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
                        "`media_type`, `pixels_sha256`), then `done` (`frames`, `model`, `model_digest`, and "
                        "`milliseconds` in `queue`, `infer`, `encode` and in `total`); `error` holds a "
                        "problem. The header `server-timing` is of the first frame.",
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
            "once around": {
                "model": "my-stylegan3",
                "keyframes": [{"seed": 42, "rotation": 0}, {"seed": 42, "rotation": 360}],
                "frames": 12,
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
