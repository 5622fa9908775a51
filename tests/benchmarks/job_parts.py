"""A worker that notes what its time goes into: CPU and wall by part, of each thread by itself.

Functions that run in one thread from start to end are timed with that thread's own CPU clock, what they call
of each other counted once. What is left over is told apart by threads.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar, get_args

from service.assembly import Assembly
from service.jobs import local_area, runtime
from service.jobs.database import Database
from service.jobs.worker import run as run_worker
from service.jobs.workflows import WorkflowClient
from service.operations import source_image
from service.settings import Settings

P = ParamSpec("P")
Result = TypeVar("Result")

Part = Literal[
    "event loop",
    "our transactions",
    "DBOS",
    "storage",
    "fsync of files",
    "decoding",
    "encoding",
    "hand-over to threads",
    "gRPC's threads",
    "rest",
]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

_spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])  # CPU, wall, calls
_within = threading.local()
_lock = threading.Lock()


def timed(part: Part, function: Callable[P, Result]) -> Callable[P, Result]:
    """Has the calls of a function counted, without what is counted within."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        inner_before = getattr(_within, "spent", (0.0, 0.0))
        _within.spent = (0.0, 0.0)
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            inner = _within.spent
            _within.spent = (inner_before[0] + cpu, inner_before[1] + wall)
            with _lock:
                spent = _spent[part]
                spent[0] += cpu - inner[0]
                spent[1] += wall - inner[1]
                spent[2] += 1

    return wrapped


def _watch() -> None:
    def method(of: Any, name: str, part: Part) -> None:
        setattr(of, name, timed(part, getattr(of, name)))

    for name in ("run", "read"):
        method(Database, name, "our transactions")
    method(WorkflowClient, "_in_time", "DBOS")
    method(os, "fsync", "fsync of files")
    errors = vars(local_area)["storage_errors"]
    vars(local_area)["storage_errors"] = lambda function: timed("storage", errors(function))
    method(source_image, "inspect", "decoding")
    method(source_image.SourceImage, "_decode", "decoding")
    for name in ("take_row", "finish"):
        method(Assembly, name, "encoding")
    for name in ("sha256_of", "file_of"):
        method(runtime, name, "encoding")


def _threads() -> dict[Part, float]:
    """Seconds of CPU of threads that are there, by what they are for."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: dict[Part, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        name = names.get(int(task.name))
        if int(task.name) == os.getpid():
            spent["event loop"] += seconds
        elif name is None:
            spent["gRPC's threads"] += seconds
        elif name.startswith(("asyncio", "local-area", "uvloop")):
            spent["hand-over to threads"] += seconds
        elif "http" in name:
            spent["rest"] += seconds
        else:
            spent["DBOS"] += seconds
    return spent


_IN_POOL: tuple[Part, ...] = ("our transactions", "storage", "fsync of files", "decoding", "encoding")


def _tell(path: Path) -> None:
    with _lock:
        spent = {part: list(numbers) for part, numbers in _spent.items()}
    threads = _threads()
    dbos_in_pool = spent.get("DBOS", [0.0])[0]
    in_pool = dbos_in_pool + sum(spent.get(part, [0.0])[0] for part in _IN_POOL)
    told = {part: spent.get(part, [0.0, 0.0, 0.0]) for part in PARTS}
    for part, seconds in threads.items():
        told[part][0] += seconds
    told["hand-over to threads"][0] = max(0.0, told["hand-over to threads"][0] - in_pool)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    known = sum(numbers[0] for part, numbers in told.items() if part != "rest")
    told["rest"][0] = usage.ru_utime + usage.ru_stime - known
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(told))
    unfinished.replace(path)


def run() -> None:
    """Runs a worker that writes what it spent to a file of its state folder's parent on SIGUSR1."""
    _watch()
    settings = Settings()
    path = settings.state_folder.parent / f"parts-{os.getpid()}.json"
    signal.signal(signal.SIGUSR1, lambda *_: _tell(path))
    run_worker(settings)
