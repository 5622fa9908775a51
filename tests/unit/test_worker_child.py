"""The worker of `ganserve up`: its end is told, and answered by the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from service.embedded import worker_child
from service.embedded.child import ChildProcess
from tests.up_process import until


class Workers:
    """Starts shells as workers, each with the next of some scripts, and the last again and again."""

    def __init__(self, *scripts: str) -> None:
        self.scripts = list(scripts)
        self.alive: list[ChildProcess] = []
        self.times: list[float] = []
        self.said: list[str] = []

    async def start(self) -> ChildProcess:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if script == "missing":
            self.times.append(time.monotonic())
            raise FileNotFoundError(2, "No such file or directory")
        child = await ChildProcess.start(
            "The worker",
            ["sh", "-c", script],
            dict(os.environ),
            forward=None,
            parent_death_signal=signal.SIGKILL,
        )
        self.alive.append(child)
        self.times.append(time.monotonic())
        return child

    async def until(self, starts: int) -> None:
        """Runs workers until so many were started, then stops what is left."""
        keeping = asyncio.create_task(
            worker_child.keep_running(self.start, self.alive.remove, self.said.append)
        )
        try:
            for _ in range(2000):
                assert not keeping.done()
                if len(self.times) >= starts:
                    return
                await asyncio.sleep(0.01)
            pytest.fail("it was not started again")
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            for child in self.alive:
                await child.stop(0)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_child, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(worker_child, "_LONGEST_PAUSE_SECONDS", 0.2)


def test_a_worker_that_ends_is_told_of_and_started_again() -> None:
    workers = Workers("echo no database; exit 3", "kill -9 $$", "missing", "exec sleep 60")
    asyncio.run(workers.until(4))
    assert len(workers.said) == 3
    assert workers.said[0].splitlines() == [
        "The worker ended with exit code 3. The worker printed last:",
        "    no database",
        "Starting it again in 0.05 s; batch jobs wait, everything else goes on.",
    ]
    assert workers.said[1].startswith("The worker was killed by SIGKILL. The worker had printed nothing.")
    assert workers.said[2].startswith("The worker cannot be started: No such file or directory.")
    assert len(workers.alive) == 1


def test_pauses_grow_up_to_a_limit_and_begin_anew_after_a_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_child, "_STEADY_SECONDS", 0.5)
    workers = Workers(*["exit 1"] * 5, "sleep 0.6", "exit 1")
    asyncio.run(workers.until(8))
    pauses = [message.split(" in ")[-1].split(" s;")[0] for message in workers.said]
    assert pauses[:7] == ["0.05", "0.1", "0.2", "0.2", "0.2", "0.05", "0.1"]
    assert workers.times[4] - workers.times[3] >= 0.2


def test_what_a_worker_leaves_behind_is_stopped_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    workers = Workers(f"sleep 60 & echo $! > {pid}; exit 1", "exec sleep 60")
    asyncio.run(workers.until(2))
    until(lambda: not psutil.pid_exists(int(pid.read_text())), 10)
