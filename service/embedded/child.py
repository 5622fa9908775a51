"""A child process of the supervisor: its output is kept, and it never outlives the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_KEPT_LINES = 200
_REPORTED_LINES = 20
_LONGEST_LINE = 1 << 20
# After the process has ended, how long its helpers may keep the pipe open before reading stops.
_DRAIN_SECONDS = 0.5

_libc = ctypes.CDLL(None)


def dying_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec so that it does not outlive this process, even a killed one.

    Args:
        number: What the kernel sends the child when the thread that started it ends; start it from the main
            thread, then, or from one that stays.

    Returns:
        The `preexec_fn`.
    """
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # killed before the line above
            os._exit(1)

    return prepare


class ChildProcess:
    """A process in a session, and so a process group, of its own.

    The terminal's Ctrl-C therefore reaches the supervisor alone, which stops its children in order; and what
    a killed child leaves running in its group can be killed with it.
    """

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        pipe: asyncio.ReadTransport,
        forward: Callable[[str], None] | None,
    ) -> None:
        self.name = name
        self._process = process
        self._output = output
        self._pipe = pipe
        self._forward = forward
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reading = asyncio.create_task(self._read())
        self.ended = asyncio.create_task(self._wait())
        """Done when the process has ended and its output is read."""

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        forward: Callable[[str], None] | None,
        parent_death_signal: signal.Signals,
    ) -> ChildProcess:
        """Start `command`.

        Args:
            name: What messages call the process.
            command: Program and arguments.
            environment: The whole environment of the process.
            forward: Called with every line of output, without its newline.
            parent_death_signal: What the kernel sends the process should the supervisor be killed.

        Raises:
            OSError: The program cannot be started.
        """
        # A pipe of our own: with one of asyncio's, `wait` returns only once everybody has closed it, and what
        # a killed Triton leaves running holds it open.
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
                preexec_fn=dying_with_parent(parent_death_signal),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        output = asyncio.StreamReader(limit=_LONGEST_LINE)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb", buffering=0)
        )
        return cls(name, process, output, pipe, forward)

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._process.pid

    def last_lines(self, count: int) -> list[str]:
        """The last lines of its output, at most `count`."""
        return list(self._lines)[-count:]

    def last_output(self) -> str:
        """What it printed last, as a report of its end has it."""
        lines = self.last_lines(_REPORTED_LINES)
        if not lines:
            return f"{self.name} had printed nothing."
        return "\n".join([f"{self.name} printed last:", *(f"    {line}" for line in lines)])

    def how_it_ended(self) -> str:
        """The end in words: the exit code, or the signal's name."""
        code = self._process.returncode
        if code is None:
            return "is still running"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    async def stop(self, timeout: float) -> None:
        """Ask the process to stop, kill it after `timeout` seconds, and kill what is left of its group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await asyncio.wait({self.ended}, timeout=timeout)
        self.kill()
        await self.ended

    def kill(self) -> None:
        """Kill the process and its group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _wait(self) -> None:
        await self._process.wait()
        await asyncio.wait({self._reading}, timeout=_DRAIN_SECONDS)
        self._reading.cancel()
        self._pipe.close()

    async def _read(self) -> None:
        while True:
            try:
                line = await self._output.readline()
            except ValueError:  # longer than any line that is worth keeping
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self._lines.append(text)
            if self._forward is not None:
                self._forward(text)
