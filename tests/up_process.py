"""A real `ganserve up` for tests: what it printed, and the processes it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from service.embedded.child import dying_with_parent
from tests.triton_process import free_ports

TIMEOUT_SECONDS = 60


class Up:
    """A running `ganserve up`, what it printed, and the processes it started."""

    def __init__(self, repository: Path, log: Path, environment: dict[str, str], flags: list[str]) -> None:
        self.port, grpc_port, self.http_port, metrics_port = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        ports = {"": self.port, "triton-grpc-": grpc_port, "triton-http-": self.http_port}
        environment = {"GANSERVE_STATE_FOLDER": f"{log}.state", **environment}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "service.cli", "up", f"--models={repository}"),
                    *(f"--{name}port={port}" for name, port in ports.items()),
                    f"--triton-metrics-port={metrics_port}",
                    *flags,
                ],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )
        self.seen: dict[int, psutil.Process] = {}

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.output or self.process.poll() is not None)
        assert text in self.output, self.output

    def wait_until_ready(self) -> Up:
        self.wait_for("ganserve is ready")
        self.family()
        return self

    def wait_for_exit(self) -> int:
        try:
            return self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end:\n{self.output}")

    def family(self) -> dict[str, psutil.Process]:
        """The processes below the supervisor by role; remembers all it ever saw."""
        roles = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.seen[child.pid] = child
                    roles[self._role(child)] = child
        return roles

    def image(self) -> httpx.Response:
        return httpx.get(f"{self.url}/v1/models/toy/images/7.png", trust_env=False, timeout=30)

    def control(self, model: str, verb: str) -> httpx.Response:
        """Has Triton load or unload a model."""
        url = f"http://127.0.0.1:{self.http_port}/v2/repository/models/{model}/{verb}"
        return httpx.post(url, json={}, trust_env=False, timeout=30)

    def ready_status(self) -> int:
        return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=30).status_code

    def assert_no_process_is_left(self) -> None:
        until(lambda: not [process for process in self.seen.values() if process.is_running()])

    def close(self) -> None:
        self.family()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _role(self, process: psutil.Process) -> str:
        command = process.cmdline() or [""]  # one that has just ended has none
        if command[-1] == "worker":
            return "worker"
        names = {"tritonserver": "triton", "triton_python_backend_stub": "model", "": "ended"}
        return names.get(Path(command[0]).name, "gateway")


def until(condition: Callable[[], object], seconds: float = TIMEOUT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)
