"""What happens to a job as server-sent events, which can be taken up again where they were left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from time import monotonic
from typing import Final

from service.api.calls.streaming import event
from service.jobs.database import DatabaseAwayError
from service.jobs.records import Item, Job
from service.jobs.shown import item_json, job_json
from service.jobs.watching import WatchedJob, Watching

_AGAIN_MILLISECONDS: Final = 1000
ENDED: Final = "-end"
"""At the end of the id of the last event of all."""


class JobEvents:
    """The events of one watcher."""

    def __init__(
        self,
        watching: Watching,
        job: Job,
        position: int,
        *,
        with_items: bool,
        with_owner: bool,
        heartbeat: float,
        stopping: Callable[[], bool],
    ) -> None:
        """Sends nothing yet.

        Args:
            watching: Looks at jobs.
            job: The job, as it was just read.
            position: Revision up to which the watcher knows all.
            with_items: Whether to tell of items too.
            with_owner: Whether to say whose job it is.
            heartbeat: Seconds without an event after which a comment is sent.
            stopping: Whether the gateway is about to; the stream ends then, and the watcher comes back to
                another one.
        """
        self._watching = watching
        self._job = job
        self._position = min(position, job.revision)
        self._with_items = with_items
        self._with_owner = with_owner
        self._heartbeat = heartbeat
        self._stopping = stopping
        self._sent = monotonic()

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Makes the events until the job has ended.

        Yields:
            Whole events, or comments. The `id` of an event says that everything up to that revision has been
            sent; of several items that changed together the last one has it, so that none of them is lost to
            a watcher who comes back.
        """
        yield f"retry: {_AGAIN_MILLISECONDS}\n\n".encode()
        told = -1
        with self._watching.watch(self._job) as watched:
            while not watched.deleted:
                if self._stopping():
                    yield b": the gateway stops\n\n"
                    return
                job = watched.job
                if job.revision != told:
                    async for part in self._items(watched):
                        yield part
                    self._position = max(self._position, job.revision)
                    yield event("job", job_json(job, owner=self._with_owner), self._position)
                    told, self._sent = job.revision, monotonic()
                if job.ended_at is not None:
                    yield self._end(job.state.value)
                    return
                async for part in self._next_look(watched):
                    yield part
            yield self._end("deleted")

    async def _items(self, watched: WatchedJob) -> AsyncGenerator[bytes, None]:
        """Items that changed since the position, as far as they can be had now."""
        while self._with_items and not watched.deleted and not self._stopping():
            try:
                changed = await watched.changed(self._position, items_event)
            except DatabaseAwayError:
                async for part in self._next_look(watched):
                    yield part
                continue
            for revision, told in changed.groups:
                yield told
                self._position, self._sent = revision, monotonic()
            if not changed.more:
                return

    async def _next_look(self, watched: WatchedJob) -> AsyncGenerator[bytes, None]:
        """Waits until the job was looked at again, with a sign of life now and then."""
        looking = asyncio.ensure_future(watched.looked())
        try:
            while not looking.done():
                left = self._heartbeat - (monotonic() - self._sent)
                await asyncio.wait({looking}, timeout=max(0.0, left))
                if monotonic() - self._sent >= self._heartbeat:
                    yield b": still there\n\n"
                    self._sent = monotonic()
        finally:
            looking.cancel()

    def _end(self, state: str) -> bytes:
        data = event("end", {"state": state, "revision": self._position})
        return f"id: {self._position}{ENDED}\n".encode() + data


def items_event(job: Job, items: Sequence[Item]) -> bytes:
    """The events of items that changed together.

    Args:
        job: Their job.
        items: All of the same revision.

    Returns:
        The last one has the `id`: who leaves between them is told of all of them again.
    """
    last = items[-1]
    return b"".join(
        event("item", item_json(job, item), item.revision if item is last else None) for item in items
    )
