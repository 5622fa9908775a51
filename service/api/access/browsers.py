"""What a browser may do here for pages from elsewhere: nothing, unless the operator lists their origins.

Three dangers: a page that reads answers (CORS decides, and is off); a page that sends requests for their
effect, though it cannot read the answers (refused by `Sec-Fetch-Site` and `Origin`); a page whose name was
pointed at this machine, so that to the browser all is of one origin (refused by `Host`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors.problems import ProblemError

_METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
# What orchestrators ask by address, whatever the gateway is called; the answers tell nothing.
_PROBES: Final = frozenset(("/healthz", "/readyz"))
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_SENT: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "prefer",
    "range",
    "x-api-key",
    "x-request-id",
)
_READ: Final = (
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "x-image-size",
    "x-model",
    "x-model-digest",
    "x-pixels-sha256",
    "x-request-id",
)
_PREFLIGHT_SECONDS: Final = 600

Respond = Callable[[Request, ProblemError], Response]


class CorsHeaders(CORSMiddleware):
    """The outer half of CORS: lets the listed origins read every answer, that of a crash included."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Wraps an application.

        Args:
            app: What handles the requests.
            origins: Whose pages may read answers; `*` for all. Credentials are never allowed: keys are sent
                by scripts on purpose, not by browsers on their own.
        """
        super().__init__(app, allow_origins=origins, expose_headers=_READ)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http" or _is_preflight(scope):
            await self.app(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


class BrowserRules:
    """The inner half: answers preflights, and refuses what a page from elsewhere must not send."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], hosts: Sequence[str], respond: Respond) -> None:
        """Wraps an application.

        Args:
            app: What handles the requests.
            origins: Whose pages may call; `*` for all.
            hosts: What `Host` may be: names, `*.example.com`, `loopback` for every loopback address, `*`.
            respond: Renders a problem.
        """
        self.app = app
        self._origins = frozenset(origins)
        self._hosts = tuple(host.lower() for host in hosts)
        self._respond = respond
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            max_age=_PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem = None if scope["path"] in _PROBES else self._wrong_host(headers)
        problem = problem or self._wrong_origin(scope["method"], headers)
        if problem is not None:
            response = self._respond(Request(scope), problem)
        elif self._origins and _is_preflight(scope):
            response = self._cors.preflight_response(headers)
            if response.status_code != 200:
                refused = ProblemError("cross-origin", f"{bytes(response.body).decode()}.")
                response = self._respond(Request(scope), refused)
        else:
            await self.app(scope, receive, send)
            return
        await response(scope, receive, send)

    def _wrong_host(self, headers: Headers) -> ProblemError | None:
        host = headers.get("host")
        if host is None or "*" in self._hosts:
            return None
        name = _without_port(host)
        for allowed in self._hosts:
            if name == allowed or (allowed.startswith("*.") and name.endswith(allowed[1:])):
                return None
            if allowed == "loopback" and _is_loopback(name):
                return None
        return ProblemError(
            "unknown-host",
            f"This gateway does not answer for {name!r}; GANSERVE_ALLOWED_HOSTS lists its names.",
        )

    def _wrong_origin(self, method: str, headers: Headers) -> ProblemError | None:
        origin = headers.get("origin")
        if origin is None or method in _SAFE or "*" in self._origins or origin in self._origins:
            return None
        site = headers.get("sec-fetch-site")
        if site == "same-origin" or (
            # A browser that is old, or far away over plain HTTP, does not say.
            site is None and origin.partition("://")[2] == headers.get("host")
        ):
            return None
        return ProblemError(
            "cross-origin",
            f"A page of {origin!r} may not call; GANSERVE_CORS_ORIGINS lists the origins that may.",
        )


def _is_preflight(scope: Scope) -> bool:
    if scope["method"] != "OPTIONS":
        return False
    headers = Headers(scope=scope)
    return "origin" in headers and "access-control-request-method" in headers


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
