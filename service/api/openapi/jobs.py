"""What the OpenAPI document says of the calls about batch jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from service.api.openapi.parts import BINARY, HEADERS, IMAGE_HEADERS, header, problems
from service.api.schemas.jobs import EXAMPLE_JOB, ItemList, ItemResource, JobList, JobResource
from service.images.encode import MEDIA_TYPES

JOB_ID: Final[dict[str, Any]] = {"description": "id of a job", "examples": [EXAMPLE_JOB]}
ITEM_N: Final[dict[str, Any]] = {"description": "number of the item, from 0", "ge": 0, "examples": [0]}

_READING: Final = ("job-not-found", "invalid-request", "jobs-unavailable")
_CHECKS: Final = (
    "model-not-found",
    "wrong-model-kind",
    "model-unavailable",
    "triton-unavailable",
    "digest-mismatch",
    "output-too-large",
    "signing-not-configured",
    "location-not-allowed",
)
_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "images from seeds": {"operation": "generate", "model": "terrain", "seeds": {"first": 0, "count": 4}},
    "listed seeds, named": {
        "operation": "generate",
        "model": "terrain",
        "parameters": {"truncation": 0.7, "format": "webp", "quality": 90},
        "seeds": [3, 14, 15],
        "naming": "terrain-{n:03}-{seed}.{ext}",
        "priority": "low",
        "metadata": {"album": "plains"},
    },
}
_LOCATION: Final = {**HEADERS, "location": header("Path of the job.")}
_REPLAYED: Final = {
    **_LOCATION,
    "idempotency-replayed": header("`true`: an earlier request with the same key made the job."),
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 characters of ASCII: the same request with the same key makes one job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "album-2026-11",
}

MAKE_JOB_DOCS: Final[dict[str, Any]] = {
    "responses": {
        202: {"model": JobResource, "description": "The job was made", "headers": _LOCATION},
        200: {"model": JobResource, "description": "It had been made before", "headers": _REPLAYED},
        **problems(
            *_CHECKS,
            "invalid-request",
            "idempotency-conflict",
            "request-timeout",
            "body-too-large",
            "too-many-files",
            "too-many-items",
            "unsupported-media-type",
            "input-unreadable",
            "too-many-jobs",
            "jobs-unavailable",
            "storage-unavailable",
            "storage-refused",
        ),
    },
    "openapi_extra": {
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/JobRequest"},
                    "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
                },
                "multipart/form-data": {
                    "schema": {"$ref": "#/components/schemas/JobUpload"},
                    "encoding": {"job": {"contentType": "application/json"}},
                },
            },
        },
    },
}
RETRY_JOB_DOCS: Final[dict[str, Any]] = {
    "responses": {
        202: {"model": JobResource, "description": "Its failed items are queued", "headers": HEADERS},
        **problems(*_READING, "job-state"),
    }
}
CANCEL_JOB_DOCS: Final[dict[str, Any]] = {
    "responses": {
        202: {"model": JobResource, "description": "Cancellation was asked for", "headers": HEADERS},
        200: {"model": JobResource, "description": "The job had ended before", "headers": HEADERS},
        204: {"description": "The job was deleted", "headers": HEADERS},
        **problems(*_READING, "job-state"),
    }
}
JOBS_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {"model": JobList, "description": "A page of jobs", "headers": HEADERS},
        **problems("invalid-request", "jobs-unavailable"),
    }
}
JOB_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {"model": JobResource, "description": "The job", "headers": HEADERS},
        **problems(*_READING),
    }
}
ITEMS_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {"model": ItemList, "description": "A page of items", "headers": HEADERS},
        **problems(*_READING),
    }
}
ITEM_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: {"model": ItemResource, "description": "The item", "headers": HEADERS},
        # What an item's `problem` can be besides those of the operation's own endpoint.
        **problems(*_READING, "item-not-found"),
    }
}
_OUTPUT_HEADERS: Final = {
    **IMAGE_HEADERS,
    "x-image-size": header("Width and height of the image, as in `640x480`."),
    "etag": header("Strong; made of the pixels' digest and the file's size."),
    "content-disposition": header("The name of the file."),
    "accept-ranges": header("`bytes`."),
}
OUTPUT_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The file",
            "headers": _OUTPUT_HEADERS,
            "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        },
        206: {
            "description": "The range of it that was asked for",
            "headers": {**_OUTPUT_HEADERS, "content-range": header("Which bytes of how many.")},
            "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        },
        304: {"description": "The client has it already", "headers": HEADERS},
        **problems(
            *_READING,
            "item-not-found",
            "output-not-found",
            "range-not-satisfiable",
            "storage-unavailable",
        ),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "Range",
                "in": "header",
                "required": False,
                "description": "One range of bytes; of several all of the file is sent.",
                "schema": {"type": "string"},
            },
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
ARCHIVE_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The archive",
            "headers": {**HEADERS, "content-disposition": header("The name of the file.")},
            "content": {"application/zip": BINARY},
        },
        **problems(*_READING, "job-state", "output-not-found"),
    },
}
EVENTS_DOCS: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events until the job has ended",
            "headers": HEADERS,
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "string",
                        "description": "Events `job` (as `GET /v1/jobs/{job}`), `item` (as "
                        "`GET /v1/jobs/{job}/items/{n}`), and `end` (`state`, `revision`). `id` is a revision"
                        " of the job: all that happened up to it has been told.",
                    }
                }
            },
        },
        204: {"description": "The watcher has been told of the end", "headers": HEADERS},
        **problems(*_READING, "too-many-watchers"),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "`id` of the last event that was seen; 0 to be told of every item.",
                "schema": {"type": "string"},
                "example": "0",
            }
        ]
    },
}
