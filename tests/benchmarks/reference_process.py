"""Reference implementations, each in a process of its own: their packages have names that ours have too.

A builder (`stylegan_reference.build`, `pix2pix_reference.build`) is given the path of a local clone and the
sizes, and returns a function that does the optimisation step of a number. Nothing of the clone is copied: its
networks, losses and steps are imported from there.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Step = Callable[[int], None]
Settings = dict[str, Any]


class ReferenceImplementationError(Exception):
    """The reference cannot be run from the path given; the message ends with what it said."""


class ReferenceProcess:
    """A process that steps a reference implementation when it is told to.

    Args:
        builder: Module of this package with a function `build`.
        path: The local clone.
        settings: What the builder needs to know, and `device`, `threads` and `cpu_time`.

    Raises:
        ReferenceImplementationError: If it cannot be built.
    """

    def __init__(self, builder: str, path: Path, settings: Settings) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, builder, str(path.resolve()), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.description = str(self._answer())

    def seconds(self, step: int, repeats: int) -> float:
        """Does a step several times and answers how long one took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([step, repeats]) + "\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise ReferenceImplementationError("".join(self._log.readlines()[-4:]).strip())
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


def timed(step: Callable[[], None], repeats: int, device: str, *, cpu_time: bool = False) -> float:
    """Seconds that a step takes, with whatever it started on the device; or the CPU time of this process."""
    import torch

    def settle() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    clock = time.process_time if cpu_time else time.perf_counter
    settle()
    started = clock()
    for _ in range(repeats):
        step()
    settle()
    return (clock() - started) / repeats


def main() -> None:
    """Answers steps with seconds, a line each, until its input ends."""
    import torch

    builder, path, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what references print is for the log
    torch.set_num_threads(settings["threads"])
    build = importlib.import_module(f"tests.benchmarks.{builder}").build
    sys.path.insert(0, path)  # before the folder of this project, whose package `training` is another
    description, step = build(settings)
    print(json.dumps(description), file=answers, flush=True)
    for line in sys.stdin:
        number, repeats = json.loads(line)
        seconds = timed(partial(step, number), repeats, settings["device"], cpu_time=settings["cpu_time"])
        print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
    main()
