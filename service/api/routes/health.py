"""`/healthz`, `/readyz` and `/metrics`, for whoever runs the gateway."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.api.context import services_of
from service.api.errors.problems import ProblemError
from service.api.openapi.service import HEALTHZ_DOCS, METRICS_DOCS, READYZ_DOCS

router = APIRouter(tags=["health"])

_PROBE_TIMEOUT = 1.0


@router.get("/healthz", summary="Is the gateway alive?", **HEALTHZ_DOCS)
async def healthz() -> JSONResponse:
    """200 for as long as the event loop turns, whatever Triton does."""
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


@router.get("/readyz", summary="Can it serve?", **READYZ_DOCS)
async def readyz(request: Request) -> JSONResponse:
    """200 if Triton answers now and serves at least one model, and the gateway is not shutting down."""
    services = services_of(request)
    if services.draining:
        raise ProblemError("not-ready", "The gateway is shutting down.")
    if await services.triton.is_live(_PROBE_TIMEOUT) != services.catalog.up:
        await services.catalog.refresh()
    if not services.catalog.up:
        raise ProblemError("not-ready", "Triton does not answer.", headers={"retry-after": "2"})
    if not services.catalog.names:
        out = services.catalog.unavailable()
        detail = "; ".join(f"{name}: {reason}" for name, reason in sorted(out.items()))
        detail = f"No model takes traffic: {detail}" if detail else "Triton serves no model yet."
        raise ProblemError("not-ready", detail, headers={"retry-after": "2"})
    # A model that is out does not make the others unusable, so a balancer is not to take the gateway out.
    out = services.catalog.unavailable()
    body = {"status": "ready", **({"unavailable": out} if out else {})}
    return JSONResponse(body, headers={"cache-control": "no-store"})


@router.get("/metrics", summary="Prometheus metrics", **METRICS_DOCS)
async def metrics(request: Request) -> Response:
    """The gateway's metrics in the Prometheus text format, or with exemplars in that of OpenMetrics."""
    content, media_type = await services_of(request).metrics.scrape(request.headers.get("accept", ""))
    return Response(content, media_type=media_type, headers={"vary": "accept"})
