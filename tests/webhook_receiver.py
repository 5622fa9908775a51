"""A receiver of webhooks for tests: a real HTTP or HTTPS server in a thread, which does as it is told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], None]


@dataclass
class Received:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None = None


def answering(status: int, *headers: str, body: bytes = b"") -> Answer:
    """An answer of a status, with header lines and a body."""

    def answer(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status} Said", *headers, f"content-length: {len(body)}", "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)

    return answer


@dataclass
class Receiver:
    """Listens on 127.0.0.1, answers each connection once, and remembers what was asked."""

    answer: Answer = field(default_factory=lambda: answering(204))
    credentials: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._server_name: str | None = None
        if self.credentials is not None:
            self.credentials.sni_callback = self._note_server_name
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        return f"{'https' if self.credentials else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def wait_closing(self, seconds: float) -> bool:
        """Sleeps, but not longer than the test lasts."""
        return self._closing.wait(seconds)

    def _note_server_name(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self._server_name = name

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(10)
            with contextlib.suppress(OSError), contextlib.closing(connection):
                self._handle(connection)

    def _handle(self, connection: socket.socket) -> None:
        self._server_name = None
        if self.credentials is not None:
            connection = self.credentials.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as stream:
            line = stream.readline().decode().strip()
            headers = {}
            while text := stream.readline().decode().strip():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0)))
            self.received.append(Received(line, headers, body, self._server_name))
            self.answer(connection)
