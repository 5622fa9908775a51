"""A real gateway for tests: its own process, on a port of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.forked import ForkedProcess
from tests.triton_process import free_ports

_COMMAND = "from service.server import serve; from service.settings import Settings; serve(Settings())"


class GatewayProcess:
    """One gateway in front of a Triton, with settings by name."""

    def __init__(self, triton_url: str, log: Path, **settings: Any) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        # Beside the log, so that no test finds another one's jobs, nor those of whoever runs the tests.
        self.state = Path(settings.get("state_folder", log.with_suffix(".state")))
        self._settings = {
            "triton_url": triton_url,
            "port": self.port,
            "drain_seconds": 0,
            "state_folder": self.state,
            **settings,
        }
        self.start()
        self._wait_for("/healthz", 30)

    def start(self) -> None:
        """Starts it, anew after a kill; it need not answer yet."""
        environment = {f"GANSERVE_{name.upper()}": str(value) for name, value in self._settings.items()}
        with self._log.open("ab") as out:
            self.process = ForkedProcess(_COMMAND, {**os.environ, **environment}, out)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)

    def wait_ready(self, seconds: float = 30) -> None:
        self._wait_for("/readyz", seconds)

    def _wait_for(self, path: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url + path, trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{path} of the gateway was never 200:\n{self.log()}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def rss(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def cpu_seconds(self) -> float:
        """CPU time of all its threads; `psutil` knows hundredths only."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
