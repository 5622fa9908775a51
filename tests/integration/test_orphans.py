"""A test run that is killed leaves no server behind: the servers of tests die with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.up_process import until

_RUN = """
import sys, time
from pathlib import Path
from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess

folder = Path(sys.argv[1])
triton = TritonProcess(Path(sys.argv[2]), folder / "triton.log").start()
gateway = GatewayProcess(triton.grpc_url, folder / "gateway.log")
print("started", flush=True)
time.sleep(600)
"""


def test_servers_of_tests_die_with_a_killed_run(tmp_path: Path, toy_repository: Path) -> None:
    command = [sys.executable, "-c", _RUN, str(tmp_path), str(toy_repository)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        servers = psutil.Process(run.pid).children(recursive=True)
        assert len(servers) >= 4  # Triton, two model processes, the gateway
        run.send_signal(signal.SIGKILL)
    until(lambda: not any(server.is_running() for server in servers), 30)
