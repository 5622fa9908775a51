"""`GET /v1/key`: what the caller may do."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from service.api.access.guard import caller_of
from service.api.openapi.service import KEY_DOCS
from service.keys import SCOPES

router = APIRouter(tags=["models"])


@router.get("/v1/key", name="key", summary="What the caller may do", **KEY_DOCS)
async def get_key(request: Request) -> JSONResponse:
    """The name and the scopes of the key that came with the call, so that nobody has to try what is allowed.

    Where no keys are configured everybody is `anonymous` and may do everything.
    """
    caller = caller_of(request)
    scopes = [scope for scope in SCOPES if scope in caller.scopes]
    return JSONResponse({"name": caller.name, "scopes": scopes}, headers={"cache-control": "no-store"})
