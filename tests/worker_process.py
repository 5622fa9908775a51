"""A real worker for tests: its own process, with a port of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.forked import ForkedProcess
from tests.triton_process import free_ports

RUN = "from service.jobs.worker import run; from service.settings import Settings; run(Settings())"


class WorkerProcess:
    """One worker of a Triton, with settings by name."""

    command = RUN

    def __init__(
        self, triton_url: str, log: Path, *, environment: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        self._log = log
        self._environment = dict(environment or {})
        self._settings = {"triton_url": triton_url, **settings}
        self.start()

    def start(self) -> None:
        """Starts it, anew after a kill."""
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        given = {"worker_port": self.port, "log_level": "info", **self._settings}
        environment = {f"GANSERVE_{name.upper()}": str(value) for name, value in given.items()}
        with self._log.open("ab") as out:
            self.process = ForkedProcess(
                self.command, {**os.environ, **environment, **self._environment}, out
            )

    def wait_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url + "/readyz", trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the worker was never ready:\n{self.log()}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
