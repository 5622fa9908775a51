"""A batch in parts, one thread a core: where rows are many, that wastes less than several threads a row.

Threads that share the operators of one run wait for each other after each; threads that have rows of their
own wait once. The results are the same bits, since a row's do not depend on what else is in its batch.

Copied beside each backend's `model.py`, which imports it by its bare name.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Feeds = dict[str, Array]
Compute = Callable[[Feeds], Sequence[Array]]

# A run shorter than this, in all, is not worth waking other threads for.
_WORTH_SECONDS = 2e-3
# Most rows of a part. Memory grows with them, and beyond a few so does what a row costs: caches overflow.
# Rows that take longer than `_LONG_SECONDS` are larger, and waking a thread for two of them costs little.
_MOST_ROWS = 4
_MOST_LONG_ROWS = 2
_LONG_SECONDS = 20e-3


class RowWorkers:
    """Computes batches whole or in parts, whichever suits their size and what a row costs.

    Args:
        wide: Computes with several threads at once: for batches of fewer rows than would keep the cores busy.
        open_narrow: Makes what computes in the calling thread alone; called once, when it is first needed.
    """

    def __init__(self, wide: Compute, open_narrow: Callable[[], Compute]) -> None:
        self._wide = wide
        self._open_narrow = open_narrow
        self._narrow: Compute | None = None
        self._cores = sorted(os.sched_getaffinity(0))
        self._threads: ThreadPoolExecutor | None = None
        self._pins = iter(self._cores)
        self._pinning = threading.Lock()
        self._row_seconds = float("inf")  # the least seen, since a first run takes longer

    def __call__(self, feeds: Feeds) -> Sequence[Array]:
        """Outputs for all rows.

        Args:
            feeds: Inputs by name, all with the same first axis.

        Raises:
            ValueError: If some rows give another number of rows.
        """
        rows = len(next(iter(feeds.values())))
        if not self._is_worth_it(rows):
            began = time.thread_time()
            results = self._wide(feeds)
            self._note(time.thread_time() - began, rows)
            return results
        most = _MOST_ROWS if self._row_seconds < _LONG_SECONDS else _MOST_LONG_ROWS
        works = [
            self._pool().submit(self._part, {name: array[start:stop] for name, array in feeds.items()})
            for start, stop in pairwise(_cuts(rows, len(self._cores), most))
        ]
        wait(works)  # for all of them, also where one fails: they read memory that the caller gives back
        done = [work.result() for work in works]
        self._note(sum(seconds for _, seconds in done), rows)
        return [np.concatenate(parts) for parts in zip(*(results for results, _ in done), strict=True)]

    def close(self) -> None:
        """Ends the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def _is_worth_it(self, rows: int) -> bool:
        if rows < 2 or 2 * rows < len(self._cores) or len(self._cores) < 2:
            return False
        return _WORTH_SECONDS <= rows * self._row_seconds < float("inf")

    def _note(self, seconds: float, rows: int) -> None:
        self._row_seconds = min(self._row_seconds, seconds / rows)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._narrow = self._open_narrow()
            self._threads = ThreadPoolExecutor(len(self._cores), "rows", initializer=self._pin)
        return self._threads

    def _pin(self) -> None:
        """Gives this thread a core: left to the kernel, threads that wake each other gather on one."""
        with self._pinning:
            core = next(self._pins)
        try:
            os.sched_setaffinity(0, {core})
        except OSError:  # the core was taken away from this process since
            return

    def _part(self, feeds: Feeds) -> tuple[Sequence[Array], float]:
        assert self._narrow is not None
        rows = len(next(iter(feeds.values())))
        began = time.thread_time()
        results = self._narrow(feeds)
        seconds = time.thread_time() - began
        for result in results:
            if result.ndim == 0 or len(result) != rows:
                raise ValueError(f"an output is {list(result.shape)} for a batch of {rows}")
        return results, seconds


def _cuts(rows: int, workers: int, most: int) -> list[int]:
    """Bounds of parts of nearly the same size, their number a multiple of the workers' where it can be."""
    rounds = -(-rows // (most * workers))
    parts = min(rows, rounds * workers)
    return [rows * part // parts for part in range(parts + 1)]
