"""The gateway as a process: uvicorn with the settings that matter, and an orderly way to stop."""

from __future__ import annotations

import math
import sys
from time import monotonic
from types import FrameType
from typing import Final, NoReturn

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.exposure import startup_problem
from service.http_protocol import BoundedProtocol, bounded_protocol
from service.images.signing import SigningSetupError
from service.jobs.database import DatabaseSetupError
from service.jobs.storage import StorageError, StorageUrlError
from service.jobs.webhook_targets import WebhookSettingError
from service.memory import keep_freed_memory
from service.process_end import end_process
from service.settings import Settings
from service.telemetry.logs import configure_logging
from service.telemetry.tracing import TracingSetupError, configure_tracing

_TICKS_A_SECOND: Final = 10


class GatewayServer(uvicorn.Server):
    """Stops in order: readiness first, then the port, then what is in flight finishes.

    Meanwhile it closes connections whose clients do not read their answers.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        app.state.metrics.connections.set_function(lambda: len(self.server_state.connections))
        self._drain_seconds = drain_seconds
        self._close_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins to drain, a second closes the port at once, a third drops what is left."""
        if self.should_exit:
            self.force_exit = True
        elif self._close_at < math.inf or not self.started:
            self.should_exit = True
        else:
            # Balancers need a moment to see that readiness is gone; until then calls are still answered.
            self._app.state.services.draining = True
            self._close_at = monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends its main loop."""
        now = monotonic()
        if now >= self._close_at:
            self.should_exit = True
        if counter % _TICKS_A_SECOND == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.close_if_unread(now)
        return await super().on_tick(counter)


def serve(settings: Settings) -> NoReturn:
    """Runs the gateway until SIGTERM or SIGINT, and ends the process.

    Args:
        settings: The gateway's settings.

    Raises:
        SystemExit: If the port is taken, the application does not start, cannot sign or trace as it should,
            or would serve everybody without that being said.
    """
    problem = startup_problem(settings)
    if problem is not None:
        print(problem, file=sys.stderr, flush=True)
        sys.exit(2)
    configure_logging(settings.log_level, settings.log_format)
    keep_freed_memory()
    try:
        send_spans = configure_tracing("ganserve-gateway")
        app = create_app(settings)
    except SigningSetupError as error:
        sys.exit(f"ganserve cannot sign files: {error}")
    except (DatabaseSetupError, StorageUrlError, StorageError, WebhookSettingError) as error:
        sys.exit(f"ganserve cannot take jobs: {error}")
    except TracingSetupError as error:
        sys.exit(f"ganserve cannot send traces: {error}")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded_protocol(settings, app.state.metrics),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.stop_timeout_seconds - settings.drain_seconds) - 1),
    )
    app.state.metrics.connections_limit.set(settings.max_connections)
    server = GatewayServer(config, app, settings.drain_seconds)
    server.run()
    send_spans()
    end_process(0 if server.started else 3)
