"""A worker's lease on its work: renewed while it lives, and taken from workers that are silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Final, Literal, ParamSpec, TypeVar

import structlog

from service.jobs.database import DatabaseAwayError
from service.jobs.worker_store import WorkerStore

log = structlog.get_logger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")

_BEATS_A_LEASE: Final = 5


class LeaseLostError(Exception):
    """This worker was given up by the others, or could not say for too long that it is there."""


class Lease:
    """Says that this worker is there, and notices when it has to be taken for lost.

    A worker that is cut off from the database stops its work before the others take it up: its lease ends
    for itself when it ends for them. (Were it to go on, results would be counted once all the same.)
    """

    def __init__(
        self, workers: WorkerStore, worker: str, seconds: float, recover: Callable[[list[str]], None]
    ) -> None:
        """Not taken yet.

        Args:
            workers: Where it is written.
            worker: Name of this worker.
            seconds: After so long without a word a worker is lost.
            recover: Queues again what lost workers left, and is called now and then without any; blocks.
        """
        self._workers = workers
        self._worker = worker
        self._seconds = seconds
        self._recover = recover
        self._renewed = monotonic()
        self._since: int | None = None
        # Threads of its own: all others may be busy for longer than the lease lasts.
        self._threads = ThreadPoolExecutor(2, "lease")
        self.state: Literal["running", "draining", "stopped"] = "running"

    @property
    def age_seconds(self) -> float:
        """Since it was last renewed."""
        return monotonic() - self._renewed

    async def take(self, concurrency: int) -> None:
        """Takes it for the first time."""
        self._since = await asyncio.to_thread(self._workers.register, self._worker, concurrency)
        self._renewed = monotonic()

    async def keep(self) -> None:
        """Renews it until it is cancelled, and takes over from workers that do not.

        Raises:
            LeaseLostError: If it is lost.
        """
        interval = self._seconds / _BEATS_A_LEASE
        taking: asyncio.Future[None] | None = None
        while True:
            asked = monotonic()
            try:
                # This may never return, as when the database's machine is gone; the lease ends all the same.
                beat = self._in_thread(self._workers.beat, self._worker, self.state, interval, self._since)
                await asyncio.wait({beat}, timeout=max(0.0, self._seconds - self.age_seconds))
                if beat.done():
                    if not beat.result():
                        raise LeaseLostError(await self._in_thread(self._why_lost))
                    self._renewed = asked
                    if taking is None or taking.done():
                        if taking is not None:
                            taking.result()
                        taking = self._in_thread(self._take_over)
            except DatabaseAwayError as error:
                log.warning("the lease is not renewed", reason=str(error), age=round(self.age_seconds, 1))
                taking = None
            if self.age_seconds > self._seconds:
                raise LeaseLostError(f"the database was away for {self.age_seconds:.0f} s")
            await asyncio.sleep(interval)

    def _in_thread(
        self, call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def give_back(self) -> None:
        """Says that this worker stops."""
        self.state = "stopped"
        await asyncio.to_thread(self._workers.beat, self._worker, "stopped", 2.0, self._since)

    def _why_lost(self) -> str:
        found = self._workers.holder(self._worker)
        if found is None or found.state == "lost":
            return "other workers have taken this one for lost"
        return (
            f"the process {found.pid} on {found.host} has begun under the same GANSERVE_WORKER_ID, "
            f"{self._worker!r}; every worker needs a name of its own, or none"
        )

    def _take_over(self) -> None:
        self._recover([name for name in self._workers.give_up(self._seconds) if name != self._worker])
