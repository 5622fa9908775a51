"""What the OpenAPI document says of `/v1/verify`."""

from __future__ import annotations

from typing import Any, Final

from service.api.openapi.parts import BINARY, HEADERS, INFERENCE, PREFER, problems
from service.api.schemas.verify import EXAMPLE, VerifyRequest, VerifyResponse
from service.images.animation import MEDIA_TYPES as ANIMATION_MEDIA_TYPES
from service.images.decode import MEDIA_TYPES

VERIFY_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {
            "model": VerifyResponse,
            "description": "What was found",
            "headers": HEADERS,
            "content": {"application/json": {"example": EXAMPLE}},
        },
        **problems(
            "request-timeout",
            "body-too-large",
            "unsupported-media-type",
            "image-unreadable",
            "image-unsupported",
            "image-too-large",
            "image-too-many-frames",
            *INFERENCE,
        ),
    },
    "openapi_extra": {
        "parameters": [
            PREFER,
            {
                "name": "reproduce",
                "in": "query",
                "required": False,
                "description": "as the field of that name, where the body is the file itself",
                "schema": {"type": "boolean", "default": False},
                "example": True,
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": f"#/components/schemas/{VerifyRequest.__name__}"},
                    "examples": {
                        "what the file says": {"value": {}},
                        "and whether it is true": {"value": {"reproduce": "true"}},
                    },
                },
                **dict.fromkeys((*MEDIA_TYPES.values(), ANIMATION_MEDIA_TYPES["apng"]), BINARY),
            },
        },
    },
}
