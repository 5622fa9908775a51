"""Gateways, workers and training runs for tests, forked from a process that has imported them.

Each is a process of its own with its own environment, signals, files and exit status, as if `python -c CODE`
had been started; it is only spared the 1.5 s of CPU that the imports take (3 s with PyTorch), which a run of
all tests would pay two hundred times. The whole way from the command line is what the tests of `ganserve up`
and one of `gantrain train` go.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

SERVICE = ("service.jobs.worker", "service.server")
TRAINING = ("training.loop", "torch._dynamo")  # the latter comes with the first optimiser

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LENGTH = struct.Struct("!I")
_libc = ctypes.CDLL(None)


class ForkedProcess:
    """What `subprocess.Popen` gives, as far as tests use it."""

    def __init__(
        self,
        code: str,
        environment: Mapping[str, str],
        output: IO[bytes],
        imported: tuple[str, ...] = SERVICE,
    ) -> None:
        """Starts it; it dies with this process.

        Args:
            code: As for `python -c`.
            environment: All of its environment.
            output: For what it prints and its errors.
            imported: Modules that the process has imported that it is forked from.
        """
        self.args = ["python", "-c", code]
        self.returncode: int | None = None
        self.pid = _forkserver(imported).fork(code, environment, output)

    def poll(self) -> int | None:
        """Its exit status, negative if a signal ended it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: It has not ended after so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Forkserver:
    def __init__(self, modules: tuple[str, ...]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno()), str(os.getpid()), *modules],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[1],
                # Else numpy's libraries begin threads when they are imported, which a fork would lose.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._close)

    def fork(self, code: str, environment: Mapping[str, str], output: IO[bytes]) -> int:
        request = json.dumps(
            {"code": code, "environment": dict(environment), "folder": str(Path.cwd())}
        ).encode()
        # The new process is an orphan at first, and becomes a child of this one so.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(self._socket, [_LENGTH.pack(len(request))], [output.fileno()])
            self._socket.sendall(request)
            (pid,) = _LENGTH.unpack(_exactly(self._socket, _LENGTH.size))
        finally:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        return int(pid)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


_started: dict[tuple[str, ...], _Forkserver] = {}


def _forkserver(modules: tuple[str, ...]) -> _Forkserver:
    if modules not in _started:
        _started[modules] = _Forkserver(modules)
    return _started[modules]


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _next_code(requests: socket.socket, parent: int) -> str | None:
    """Forks a process for each request; in these it returns what they run, here None at the end."""
    while True:
        try:
            head, files, _, _ = socket.recv_fds(requests, _LENGTH.size, 1)
            if not head:
                return None
            request = json.loads(_exactly(requests, _LENGTH.unpack(head)[0]))
        except (EOFError, ConnectionError):
            return None
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child:
                os.write(write, _LENGTH.pack(child))
                os._exit(0)
            os.close(read)
            os.close(write)
            requests.close()
            while os.getppid() != parent:  # until the process between has ended
                time.sleep(0.001)
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(files[0], 1)
            os.dup2(files[0], 2)
            os.close(files[0])
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            return str(request["code"])
        os.close(write)
        os.close(files[0])
        os.waitpid(between, 0)
        requests.sendall(os.read(read, _LENGTH.size))
        os.close(read)


def _serve() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        for module in sys.argv[3:]:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # else a collection in what is forked would copy every page that an object lies on
        threads = os.listdir("/proc/self/task")  # noqa: PTH208
        assert len(threads) == 1, "a fork would lose the other threads"
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests
        code = _next_code(requests, int(sys.argv[2]))
    if code is not None:
        sys.argv = ["-c"]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _serve()
