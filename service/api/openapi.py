"""The OpenAPI document, with the schemas that FastAPI cannot see because bodies are read by hand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.api.schemas import GenerateRequest, Problem


def install_openapi(app: FastAPI) -> None:
    """Makes `app.openapi()` complete; it is generated once, at the first call.

    Args:
        app: With all its routes.
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
                [(GenerateRequest, "validation"), (Problem, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components.update(schemas["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
