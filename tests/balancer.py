"""A balancer of TCP connections for tests, as the service of a Kubernetes cluster is one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import httpx


class Balancer:
    """Sends each new connection to a backend that says it is ready; what is connected stays where it is.

    Readiness is asked for ten times a second, so that for a moment connections still go to one that has just
    said that it is not.
    """

    def __init__(self, path: str = "/readyz") -> None:
        self.url = ""
        self.backends: list[str] = []
        self._ready: list[str] = []
        self._path = path
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Balancer:
        self._changed = asyncio.Condition()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._keep(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_ready(self, backend: str) -> None:
        """Returns once a backend gets connections."""
        async with self._changed:
            await self._changed.wait_for(lambda: backend in self._ready)

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                ready = []
                for backend in list(self.backends):
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(backend + self._path)).status_code == 200:
                            ready.append(backend)
                async with self._changed:
                    self._ready = ready
                    self._changed.notify_all()
                await asyncio.sleep(0.1)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._ready))
        backend = httpx.URL(self._ready[next(self._turn) % len(self._ready)])
        try:
            there, back = await asyncio.open_connection(backend.host, backend.port)
        except OSError:
            writer.close()
            return
        self._keep(_pipe(reader, back))
        self._keep(_pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
