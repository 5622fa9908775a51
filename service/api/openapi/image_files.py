"""What the OpenAPI document says of the calls that take an image file and answer with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from service.api.openapi.parts import BINARY, IMAGE_HEADERS, INFERENCE, PREFER, header, problems
from service.images.encode import MEDIA_TYPES

_HEADERS: Final = {
    **IMAGE_HEADERS,
    "x-image-size": header("Width and height of the image, as in `640x480`."),
    "vary": header("`accept`."),
}
_UPLOAD: Final = (
    "not-acceptable",
    "request-timeout",
    "body-too-large",
    "unsupported-media-type",
    "image-unsupported",
    "image-too-large",
    "image-too-many-frames",
    "image-unreadable",
    "image-animated",
    "frame-out-of-range",
    "output-too-large",
    "image-exceeds-model",
    "signing-not-configured",
    "signing-failed",
)


def _docs(schema: str, examples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One call; examples are the text fields, beside a file."""
    return {
        "response_class": Response,  # or FastAPI would say that it may be JSON
        "responses": {
            200: {
                "description": "The image",
                "headers": _HEADERS,
                "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
            },
            **problems(*_UPLOAD, *INFERENCE),
        },
        "openapi_extra": {
            "parameters": [PREFER],
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": {"$ref": f"#/components/schemas/{schema}"},
                        "examples": {name: {"value": dict(fields)} for name, fields in examples.items()},
                    }
                },
            },
        },
    }


SUPER_RESOLUTION_DOCS: Final = _docs(
    "SuperResolutionRequest",
    {
        "as large as the model makes it": {"model": "photo-x4"},
        "another factor": {"model": "photo-x4", "scale": "2.5", "format": "webp"},
        "for the web": {
            "model": "photo-x4",
            "scale": "2",
            "format": "jpeg",
            "quality": "85",
            "background": "#ffffff",
        },
    },
)
TRANSLATE_DOCS: Final = _docs(
    "TranslateRequest",
    {
        "at its own size": {"model": "sketch-to-emoji"},
        "at the size the model was trained on": {"model": "sketch-to-emoji", "fit": "pad", "restore": "true"},
        "the middle of a map": {
            "model": "satellite-to-relief",
            "fit": "crop",
            "format": "webp",
            "quality": "90",
        },
    },
)
