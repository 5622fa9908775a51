"""`ganserve triton` and `ganserve health`: real processes, a real stop, a real crash."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.embedded.child import dying_with_parent
from tests.triton_process import free_ports
from tests.up_process import until


class TritonAlone:
    """A running `ganserve triton` over the toy repository, with a temporary directory of its own."""

    def __init__(self, repository: Path, folder: Path) -> None:
        ports = free_ports(3)
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.url = f"http://127.0.0.1:{ports[1]}"
        self.environment = {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "GANSERVE_TRITON_HOST": "0.0.0.0",
            "GANSERVE_TRITON_GRPC_PORT": str(ports[0]),
            "GANSERVE_TRITON_HTTP_PORT": str(ports[1]),
            "GANSERVE_TRITON_METRICS_PORT": str(ports[2]),
            "GANSERVE_WORKER_PORT": str(ports[1]),
        }
        self._log = folder / "log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "triton", "--production", f"--models={repository}"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )
        until(lambda: self.is_ready() or self.process.poll() is not None)
        assert self.is_ready(), self.output

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/v2/health/ready", trust_env=False).status_code == 200
        return False

    def health(self, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "service.cli", "health", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def left_over(self) -> list[Path]:
        folders = list(self.temporary.glob("ganserve-*"))
        return folders + [r for f in folders for r in Path("/dev/shm").glob(f"{f.name}-*")]


@pytest.fixture
def alone(toy_repository: Path, tmp_path: Path) -> Iterator[TritonAlone]:
    running = TritonAlone(toy_repository, tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)


def test_serves_says_so_and_stops_without_a_trace(alone: TritonAlone) -> None:
    assert alone.health("triton", "--ready") == (0, f"{alone.url}/v2/health/ready says it is ready.\n")
    # What answers there is no worker: that is noticed, too.
    assert alone.health("worker") == (1, f"{alone.url}/healthz answers 404.\n")
    assert httpx.post(f"{alone.url}/v2/repository/index", trust_env=False).status_code == 403
    family = alone.family()
    assert alone.left_over()
    alone.process.terminate()
    assert alone.process.wait(60) == 0, alone.output
    assert not [process for process in family if process.is_running()]
    assert alone.left_over() == []


def test_ends_when_a_model_process_has_crashed(alone: TritonAlone) -> None:
    (triton,) = psutil.Process(alone.process.pid).children()
    triton.children()[0].kill()
    assert alone.process.wait(60) == 1
    assert "A model process of Triton was killed by SIGKILL." in alone.output
    assert alone.left_over() == []
