"""A worker's lease on its work: renewed while it lives, and taken from workers that are silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Literal

import structlog

from service.jobs.database import DatabaseAwayError
from service.jobs.worker_store import WorkerStore

log = structlog.get_logger(__name__)

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
            recover: Queues again what lost workers left; blocks.
        """
        self._workers = workers
        self._worker = worker
        self._seconds = seconds
        self._recover = recover
        self._renewed = monotonic()
        self.state: Literal["running", "draining", "stopped"] = "running"

    @property
    def age_seconds(self) -> float:
        """Since it was last renewed."""
        return monotonic() - self._renewed

    async def take(self, concurrency: int) -> None:
        """Takes it for the first time."""
        await asyncio.to_thread(self._workers.register, self._worker, concurrency)
        self._renewed = monotonic()

    async def keep(self) -> None:
        """Renews it until it is cancelled, and takes over from workers that do not.

        Raises:
            LeaseLostError: If it is lost.
        """
        interval = self._seconds / _BEATS_A_LEASE
        while True:
            asked = monotonic()
            try:
                if not await asyncio.to_thread(self._workers.beat, self._worker, self.state, interval):
                    raise LeaseLostError("other workers have taken this one for lost")
                self._renewed = asked
                await asyncio.to_thread(self._take_over)
            except DatabaseAwayError as error:
                log.warning("the lease is not renewed", reason=str(error), age=round(self.age_seconds, 1))
            if self.age_seconds > self._seconds:
                raise LeaseLostError(f"the database was away for {self.age_seconds:.0f} s")
            await asyncio.sleep(interval)

    async def give_back(self) -> None:
        """Says that this worker stops."""
        self.state = "stopped"
        await asyncio.to_thread(self._workers.beat, self._worker, "stopped", 2.0)

    def _take_over(self) -> None:
        lost = [name for name in self._workers.give_up(self._seconds) if name != self._worker]
        if lost:
            self._recover(lost)
