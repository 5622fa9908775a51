"""The OpenAPI document, with the schemas that FastAPI cannot see because bodies are read by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from service.api.access.scopes import ACCESS
from service.api.openapi.parts import SECURITY_SCHEMES, add_access
from service.api.schemas.generate import GenerateRequest
from service.api.schemas.jobs import JobRequest, JobUpload
from service.api.schemas.mixing import InterpolateRequest, LatentsRequest, StyleMixRequest
from service.api.schemas.problems import Problem
from service.api.schemas.uploads import SuperResolutionRequest, TranslateRequest
from service.api.schemas.verify import VerifyRequest

_BODIES: Final = (
    GenerateRequest,
    InterpolateRequest,
    StyleMixRequest,
    LatentsRequest,
    TranslateRequest,
    SuperResolutionRequest,
    VerifyRequest,
    JobRequest,
    JobUpload,
)


def install_openapi(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Makes `app.openapi()` complete; it is generated once, at the first call.

    Args:
        app: The application.
        routes: All its routes.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                license_info=app.license_info,
            )
            _, schemas = models_json_schema(
                [
                    *((body, "validation") for body in _BODIES),
                    (Problem, "serialization"),
                ],
                ref_template="#/components/schemas/{model}",
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components.update(schemas["$defs"])
            _add_access(document, routes)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_access(document: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Says of each call which scope it needs, and how it is refused to those who have it not."""
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for route in routes:
        if not isinstance(route, APIRoute) or ACCESS[route.name] == "open":
            continue
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                add_access(operation, ACCESS[route.name])
