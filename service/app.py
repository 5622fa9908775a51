"""The application: the only place where the parts are wired together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from service.api.access.browsers import BrowserRules, CorsHeaders
from service.api.access.guard import Guard
from service.api.access.scopes import check_access
from service.api.access.security_headers import SecurityHeadersMiddleware, security_headers
from service.api.answers.head import HeadMiddleware
from service.api.answers.last_answers import LastAnswersMiddleware
from service.api.context import Services
from service.api.errors.handlers import failure_response, install_handlers, respond, shutdown_response
from service.api.openapi.document import install_openapi
from service.api.routes import (
    docs_page,
    generate,
    health,
    images,
    interpolate,
    jobs,
    jobs_events,
    jobs_output,
    jobs_reading,
    key,
    latents,
    limits,
    models,
    problem_pages,
    studio,
    style_mix,
    superres,
    translate,
    verify,
)
from service.exposure import answered_hosts
from service.images.encode import MEDIA_TYPES, encoder_fingerprint
from service.images.signing import load_signer, load_trust_anchors
from service.jobs.setup import open_database, open_places
from service.jobs.webhook_targets import WebhookPolicy
from service.keyring import Keyring
from service.rates import RateLimiter
from service.settings import Settings
from service.telemetry.metrics import Metrics, package_version
from service.telemetry.requests import TelemetryMiddleware


def create_app(settings: Settings) -> FastAPI:
    """Builds the gateway.

    Nothing connects before the application starts, and nothing needs Triton to be there then.

    Args:
        settings: Where Triton is, and every limit.

    Returns:
        The ASGI application; while it runs, `app.state.services` holds its parts.

    Raises:
        SigningSetupError: If a certificate is configured that nothing can be signed with.
        KeysFileError: The keys file is not in order.
        StorageSettingError: The storage of rate limits cannot be used.
        DatabaseSetupError: The URL of the jobs' database is that of something else.
        StorageUrlError: The URL of the jobs' artifacts is that of something else.
        StorageError: The environment has settings for S3 that cannot be.
        WebhookSettingError: What webhooks are signed with, or whom they believe, cannot be read.
        LookupError: Nobody decided who may call one of the routes.
    """
    metrics = Metrics()
    signer, trust_anchors = load_signer(settings, package_version()), load_trust_anchors(settings)
    keyring = None if settings.keys_file is None else Keyring(settings.keys_file)
    limiter = RateLimiter(
        settings.rate_limit_storage.get_secret_value(),
        timeout=settings.rate_limit_timeout_seconds,
        fallback=settings.rate_limit_fallback,
    )

    webhook_policy = WebhookPolicy.of(settings)
    open_database(settings).close()  # said now, rather than within the lifespan, if it is none
    open_places(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = app.state.services = Services(
            settings, metrics, signer, trust_anchors, webhook_policy=webhook_policy
        )
        for image_format in MEDIA_TYPES:
            encoder_fingerprint(image_format)  # now, rather than within somebody's first request
        background = []
        if keyring is not None:
            background.append(asyncio.create_task(keyring.keep_fresh(settings.keys_reload_seconds)))
        try:
            async with services:
                yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await limiter.close()

    app = FastAPI(
        title="ganserve",
        version=package_version(),
        summary="Images from generative adversarial networks, served by Triton.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from elsewhere; see service.api.routes.docs_page
        redoc_url=None,
        redirect_slashes=False,
        # Those of `service.telemetry` say more, and do not say what was in a body that is refused.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.metrics = metrics
    routes = [*app.routes]
    for resource in (
        generate,
        interpolate,
        style_mix,
        latents,
        images,
        translate,
        superres,
        verify,
        jobs,
        jobs_reading,
        jobs_events,
        jobs_output,
        models,
        key,
        limits,
        health,
        problem_pages,
        docs_page,
        *([studio] if settings.studio else []),
    ):
        app.include_router(resource.router)
        routes += resource.router.routes
    check_access(routes)
    install_handlers(app)
    install_openapi(app, routes)
    # From the inside out: each sees what the one before it answers.
    app.add_middleware(
        Guard,
        routes=routes,
        keyring=keyring,
        limiter=limiter,
        respond=respond,
        anonymous_rate=settings.anonymous_rate,
        open_metrics=settings.open_metrics,
    )
    app.add_middleware(
        BrowserRules, origins=settings.cors_origins, hosts=answered_hosts(settings), respond=respond
    )
    app.add_middleware(
        TelemetryMiddleware, metrics=metrics, on_failure=failure_response, on_shutdown=shutdown_response
    )
    if settings.cors_origins:
        app.add_middleware(CorsHeaders, origins=settings.cors_origins)
    app.add_middleware(
        SecurityHeadersMiddleware, headers=security_headers(settings.cors_origins, settings.hsts_seconds)
    )
    app.add_middleware(HeadMiddleware)
    app.add_middleware(LastAnswersMiddleware, draining=lambda: _is_draining(app))
    return app


def _is_draining(app: FastAPI) -> bool:
    services: Services | None = getattr(app.state, "services", None)  # none before the application starts
    return services is not None and services.draining
