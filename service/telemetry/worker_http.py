"""The port of a worker: is it alive, does it work, what does it count. For operators, not for clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.errors.problems import ProblemError, problem_response
from service.http_protocol import bounded_protocol
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.records import RequestRecord

WhyNotReady = Callable[[], Awaitable[str | None]]
"""None if the worker works, else why it does not, for people."""

_PATHS = "/healthz, /readyz and /metrics"


class WorkerPortError(Exception):
    """The worker's port cannot be listened on; the message says which setting to change."""


class _Server(uvicorn.Server):
    """Leaves signals to the worker, whose loop this runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class WorkerHttp:
    """Serves `/healthz`, `/readyz` and `/metrics` while its context is open; nothing if the port is 0."""

    def __init__(self, settings: Settings, metrics: Metrics, why_not_ready: WhyNotReady) -> None:
        """Opens nothing yet.

        Args:
            settings: Say where to listen: `host` and `worker_port`.
            metrics: What `/metrics` shows.
            why_not_ready: Asked by `/readyz`.
        """
        self._settings = settings
        self._metrics = metrics
        self._why_not_ready = why_not_ready
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WorkerHttp:
        """Listens.

        Raises:
            WorkerPortError: If that is not possible.
        """
        host, port = self._settings.host, self._settings.worker_port
        if not port:
            return self
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise WorkerPortError(
                f"a worker cannot listen on {host}:{port} ({error.strerror}): GANSERVE_WORKER_PORT names "
                "another port, or 0 for none"
            ) from error
        config = uvicorn.Config(
            self._application(),
            http=bounded_protocol(self._settings, self._metrics),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=64,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110  # it is uvicorn's
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the port."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    def _application(self) -> Starlette:
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._scrape),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: _http_problem, ProblemError: _problem, Exception: _failure},
        )

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    async def _readyz(self, request: Request) -> Response:
        reason = await self._why_not_ready()
        if reason is not None:
            raise ProblemError("not-ready", reason)
        return JSONResponse({"status": "ready"}, headers={"cache-control": "no-store"})

    async def _scrape(self, request: Request) -> Response:
        content, media_type = await self._metrics.scrape(request.headers.get("accept", ""))
        return Response(content, media_type=media_type, headers={"vary": "accept"})


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error, request.url.path, RequestRecord.new_id())


async def _http_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        problem = ProblemError(
            "method-not-allowed", "A worker answers GET alone.", headers=dict(error.headers or {})
        )
    else:
        problem = ProblemError("not-found", f"A worker serves {_PATHS}.")
    return await _problem(request, problem)


async def _failure(request: Request, error: Exception) -> Response:
    return await _problem(
        request, ProblemError("internal-error", "The worker failed; its log has the details.")
    )
