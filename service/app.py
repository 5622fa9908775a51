"""The application: the only place where the parts are wired together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from service.api import docs_page, generate, health, images, models, problem_pages
from service.api.context import Services
from service.api.errors import failure_response, install_handlers
from service.api.head import HeadMiddleware
from service.api.openapi import install_openapi
from service.catalog import Catalog
from service.images.encode import MEDIA_TYPES, encoder_fingerprint
from service.images.signing import load_signer, load_trust_anchors
from service.settings import Settings
from service.synthesis import Synthesizer
from service.telemetry.metrics import Metrics, package_version
from service.telemetry.requests import TelemetryMiddleware
from service.triton import Triton


def create_app(settings: Settings) -> FastAPI:
    """Builds the gateway.

    Nothing connects before the application starts, and nothing needs Triton to be there then.

    Args:
        settings: Where Triton is, and every limit.

    Returns:
        The ASGI application; while it runs, `app.state.services` holds its parts.

    Raises:
        SigningSetupError: If a certificate is configured that nothing can be signed with.
    """
    metrics = Metrics()
    signer, trust_anchors = load_signer(settings, package_version()), load_trust_anchors(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        triton = Triton(settings.triton_url, settings.max_message_bytes)
        catalog = Catalog(triton, settings.catalog_refresh_seconds, metrics)
        app.state.services = Services(
            settings,
            metrics,
            triton,
            catalog,
            Synthesizer(triton, metrics),
            signer=signer,
            trust_anchors=trust_anchors,
        )
        for image_format in MEDIA_TYPES:
            encoder_fingerprint(image_format)  # now, rather than within somebody's first request
        await catalog.try_refresh()
        keeping_fresh = asyncio.create_task(catalog.keep_fresh())
        try:
            yield
        finally:
            keeping_fresh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping_fresh
            await triton.close()

    app = FastAPI(
        title="ganserve",
        version=package_version(),
        summary="Images from generative adversarial networks, served by Triton.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from elsewhere; see service.api.docs_page
        redoc_url=None,
        redirect_slashes=False,
    )
    for resource in (generate, images, models, health, problem_pages, docs_page):
        app.include_router(resource.router)
    install_handlers(app)
    install_openapi(app)
    app.add_middleware(TelemetryMiddleware, metrics=metrics, on_failure=failure_response)
    app.add_middleware(HeadMiddleware)
    return app
