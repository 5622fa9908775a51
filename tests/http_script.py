"""An HTTP server that answers as a test says, on a real socket: connections can break in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Asked(BaseHTTPRequestHandler):
    """One request, and how to answer it."""

    protocol_version = "HTTP/1.1"
    body: bytes

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Answers whole."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def break_off(self, body: bytes, length: int | None = None, **headers: str) -> None:
        """Answers with less than was announced, or without an end, and hangs up."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("content-length", str(length))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def serving(respond: Callable[[Asked], None]) -> Iterator[str]:
    """Runs a server.

    Args:
        respond: Called in a thread of its own for each request, whose body is read.

    Yields:
        Its URL.
    """

    class Handler(Asked):
        def _respond(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
            respond(self)

        do_GET = do_POST = do_DELETE = _respond  # noqa: N815 - what http.server looks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
