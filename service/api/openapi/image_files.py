"""What the OpenAPI document says of the calls that take an image file and answer with one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
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


_PROGRESS: Final = {
    "text/event-stream": {
        "schema": {
            "type": "string",
            "description": "Events `progress` (`tiles` that are done, `of` how many; ten a second at "
            "most), then the file as events `part` (`index`, `b64_json`, and how many "
            "`bytes` all have), then `done` (`parts`, `bytes`, "
            "`width`, `height`, `media_type`, `pixels_sha256`, `model`, `model_digest`, and `milliseconds` "
            "in `queue`, `infer`, `encode` and in `total`); `error` holds a problem. The call's deadline is "
            "that of the whole stream. The headers are those of its beginning.",
        }
    }
}


def _docs(
    schema: str, examples: Mapping[str, Mapping[str, Any]], others: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """One call; examples are the text fields, beside a file, and others what is answered besides images."""
    return {
        "response_class": Response,  # or FastAPI would say that it may be JSON
        "responses": {
            200: {
                "description": "The image" + (", or a stream of how far it is" if others else ""),
                "headers": _HEADERS,
                "content": {**dict.fromkeys(MEDIA_TYPES.values(), BINARY), **others},
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
    _PROGRESS,
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
