"""A real Triton for tests: the embedded one, on ports of its own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from service.embedded.child import dying_with_parent
from service.embedded.tritonserver import Launch, RunDirectory
from service.settings import Settings

START_TIMEOUT_SECONDS = 60
_GIVEN: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range from which the kernel gives ports to outgoing connections.

    Each process of a test run takes them from a range of its own, and none twice: whoever is given a port
    listens on it a while later.
    """
    first = 20_000 + 3_000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4)
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            port, probe = random.randrange(first, first + 3_000), socket.socket()
            try:
                if port in _GIVEN:
                    raise OSError(f"{port} was given before")
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.close()
            else:
                _GIVEN.add(port)
                sockets.append(probe)
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


class TritonProcess:
    """One tritonserver over a model repository, which can be killed and started again on the same ports."""

    def __init__(
        self,
        repository: Path,
        log: Path,
        flags: Sequence[str] = (),
        models: Sequence[str] | None = None,
    ) -> None:
        """`flags` go to tritonserver besides those of the embedded one; `models` are loaded, or all."""
        grpc_port, http_port, metrics_port = free_ports(3)
        self.repository = repository
        self.settings = Settings(
            model_repository=repository,
            triton_grpc_port=grpc_port,
            triton_http_port=http_port,
            triton_metrics_port=metrics_port,
            stop_timeout_seconds=10,
        )
        self.grpc_url = f"127.0.0.1:{grpc_port}"
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self._log = log
        self._flags = flags
        self._models = models
        self._directory = RunDirectory()
        self._launch: Launch | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> TritonProcess:
        """Start, and return once all models are loaded or refused."""
        self.spawn()
        return self.wait_ready()

    def spawn(self) -> None:
        """Start, and do not wait. It ends with the thread that calls this, so with a killed test run."""
        self._launch = self._directory.launch(self.settings, models=self._models, more=self._flags)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._launch.command,
                env=self._launch.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )

    def wait_ready(self) -> TritonProcess:
        """Return once all models are loaded or refused."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.http_url}/v2/health/ready", trust_env=False).status_code == 200:
                    return self
            time.sleep(0.05)
        self.close()
        raise RuntimeError(f"Triton did not start:\n{self.log_tail()}")

    def index(self) -> dict[str, dict[str, Any]]:
        """Triton's repository index by model name: `state`, and `reason` where a model is not served."""
        response = httpx.post(f"{self.http_url}/v2/repository/index", trust_env=False)
        return {entry["name"]: entry for entry in response.json()}

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """SIGKILL, as a crash would; its model processes go too."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._launch is not None
        self._launch.remove_shared_memory()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            # Now and then a model process hangs when it should end, and then it outlives Triton.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop if it runs, and remove what it used."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self._directory.remove()
