"""`ganserve health`: whether a server on this machine is alive, for the health checks of containers."""

from __future__ import annotations

import http.client
from enum import Enum
from typing import Annotated
from urllib.parse import urlsplit

import typer

from service.cli.asking import fail
from service.cli.serving import settings_of_environment

_SECONDS = 5.0


class Part(str, Enum):
    """What can be asked."""

    GATEWAY = "gateway"
    WORKER = "worker"
    TRITON = "triton"


def health(
    part: Annotated[Part, typer.Argument(help="Which server is asked.")] = Part.GATEWAY,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it takes calls, not only whether it is alive.")
    ] = False,
) -> None:
    """Ask the gateway, worker or Triton on this machine whether it is alive; exit code 1 if it is not.

    It is found by the same environment variables GANSERVE_… by which it was started.
    """
    settings = settings_of_environment()
    from service.exposure import url_here

    kind = "ready" if ready else "live"
    host, port, path = {
        Part.GATEWAY: (settings.host, settings.port, "/readyz" if ready else "/healthz"),
        Part.WORKER: (settings.host, settings.worker_port, "/readyz" if ready else "/healthz"),
        Part.TRITON: (settings.triton_host, settings.triton_http_port, f"/v2/health/{kind}"),
    }[part]
    if not port:
        fail("A worker without a port cannot be asked; GANSERVE_WORKER_PORT gives it one.")
    url = url_here(host, port) + path
    problem = _problem(url)
    if problem is not None:
        fail(f"{url} {problem}.")
    print(f"{url} says it is {kind}.")


def _problem(url: str) -> str | None:
    """What speaks against it, as the end of a sentence, or None."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=_SECONDS)
    try:
        connection.request("GET", where.path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer ({error})"
    finally:
        connection.close()
    return None if status == http.client.OK else f"answers {status}"
