"""What the OpenAPI document says of models, health, metrics and the pages of problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from service.api.errors.problems import PROBLEMS
from service.api.openapi.parts import HEADERS, problems
from service.api.schemas.key import KeyStanding
from service.api.schemas.limits import Limits
from service.api.schemas.models import EXAMPLE_DIGEST, HealthStatus, ModelCard, ModelList, UnloadedModel
from service.api.schemas.problems import ProblemDescription, ProblemList

_CARD: Final[Mapping[str, Any]] = {
    "name": "terrain",
    "kind": "generator",
    "version": "1",
    "digest": EXAMPLE_DIGEST,
    "state": "READY",
    "family": "stylegan",
    "resolution": 64,
    "licence": "Apache-2.0",
}


def _json(model: type[Any], example: Any) -> dict[str, Any]:
    return {
        "model": model,
        "description": "Done",
        "headers": HEADERS,
        "content": {"application/json": {"example": example}},
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
LIMITS_DOCS: Final[dict[str, Any]] = {
    "responses": {
        200: _json(
            Limits, {name: field.examples[0] for name, field in Limits.model_fields.items() if field.examples}
        ),
        **problems(),
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
KEY_DOCS: Final[dict[str, Any]] = {
    "responses": {200: _json(KeyStanding, {"name": "studio", "scopes": ["generate"]}), **problems()}
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
            "content": {
                media_type: {"schema": {"type": "string"}, "example": f"ganserve_triton_up 1.0\n{end}"}
                for media_type, end in (("text/plain", ""), ("application/openmetrics-text", "# EOF\n"))
            },
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
