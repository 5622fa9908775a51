"""Who may call what: every route by name, and the scope that its callers' keys must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from starlette.routing import BaseRoute

from service.keys import SCOPES, KeyScope

__all__ = ["ACCESS", "SCOPES", "Access", "KeyScope", "check_access"]

Access = KeyScope | Literal["open", "any key"]
"""A scope; or `open`, which asks for no key and counts no call; or `any key`, whatever its scopes."""

ACCESS: Final[Mapping[str, Access]] = {
    # What probes, scrapers and readers of the documentation need. `metrics` can be closed by a setting.
    "healthz": "open",
    "readyz": "open",
    "metrics": "open",
    "openapi": "open",
    "docs": "open",
    "problems": "open",
    "problem": "open",
    # The page itself tells nothing; what it shows are calls that ask for a key like any other.
    "studio": "open",
    "studio-file": "open",
    # What every holder of a key needs in order to use it.
    "models": "any key",
    "model": "any key",
    "key": "any key",
    "limits": "any key",
    # What changes the service for everybody.
    "load": "admin",
    "unload": "admin",
    # What computes.
    "generate": "generate",
    "interpolate": "generate",
    "style-mix": "generate",
    "latents": "generate",
    "image": "generate",
    "translate": "translate",
    "super-resolution": "upscale",
    "verify": "generate",
    # Batch jobs; making one needs the scope of its operation as well. Jobs of others are seen with `admin`.
    "make-job": "jobs",
    "jobs": "jobs",
    "job": "jobs",
    "retry-job": "jobs",
    "cancel-job": "jobs",
    "job-items": "jobs",
    "job-item": "jobs",
    "job-output": "jobs",
    "job-archive": "jobs",
    "job-events": "jobs",
}


def check_access(routes: Sequence[BaseRoute]) -> None:
    """Makes sure that no route is served before somebody has decided who may call it.

    Args:
        routes: All routes of the application.

    Raises:
        LookupError: A route has no name, or its name is not in `ACCESS`.
    """
    missing = [getattr(route, "name", "") or repr(route) for route in routes]
    missing = [name for name in missing if name not in ACCESS]
    if missing:
        raise LookupError(f"Say in ACCESS, service/api/access/scopes.py, who may call: {', '.join(missing)}.")
