"""A bounded, first-come-first-served queue of images for one model."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from time import perf_counter
from types import TracebackType

_SMOOTHING = 0.2
_MAX_RETRY_AFTER = 600


class QueueFullError(Exception):
    """The queue takes no more now.

    Attributes:
        retry_after: Whole seconds after which the images waiting now will probably be done.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full for about {retry_after} s")
        self.retry_after = retry_after


class AdmissionQueue:
    """Admits up to `limit` images; of those, up to `window` are with Triton at a time.

    The window is enough to keep Triton's batches full. What waits beyond it waits here, where leaving
    costs nothing and the order is known.
    """

    def __init__(self, limit: int, window: int) -> None:
        """Starts empty.

        Args:
            limit: Images admitted at a time, waiting and running.
            window: Images running at a time.
        """
        self.limit = limit
        self.window = window
        self.admitted = 0
        self.seconds_per_image = 0.0
        self._running = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._last_done = 0.0

    def admit(self, images: int) -> Ticket:
        """Takes a place for so many images.

        Args:
            images: How many, at least 1.

        Returns:
            A context manager that gives the place back.

        Raises:
            QueueFullError: If they do not fit.
        """
        if self.admitted + images > self.limit:
            raise QueueFullError(self.retry_after())
        if self.admitted == 0:
            self._last_done = perf_counter()
        self.admitted += images
        return Ticket(self, images)

    def retry_after(self) -> int:
        """Whole seconds, at least 1, in which all that is admitted now will probably be done."""
        return min(_MAX_RETRY_AFTER, max(1, math.ceil(self.admitted * self.seconds_per_image)))

    async def start(self, images: int) -> None:
        """Waits for its turn to run so many images; `finish` must follow.

        Args:
            images: At most the window, or it runs alone.
        """
        if not self._waiting and self._fits(images):
            self._running += images
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((images, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the moment it left
                self.finish(images)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._wake()
            raise

    def finish(self, images: int) -> None:
        """Frees the window for whoever waits.

        Args:
            images: As given to `start`.
        """
        self._running -= images
        self._wake()

    def _fits(self, images: int) -> bool:
        return self._running == 0 or self._running + images <= self.window

    def _wake(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            images, turn = self._waiting.popleft()
            if not turn.done():
                self._running += images
                turn.set_result(None)

    def _leave(self, images: int, done: bool) -> None:
        self.admitted -= images
        if not done:
            return
        # Busy time per image leaving: throughput as it is now, whatever batching and cores make of it.
        now = perf_counter()
        sample = (now - self._last_done) / images
        self._last_done = now
        if self.seconds_per_image == 0.0:
            self.seconds_per_image = sample
        else:
            self.seconds_per_image += _SMOOTHING * (sample - self.seconds_per_image)


class Ticket:
    """A place in the queue, held from admission until the answer is encoded."""

    def __init__(self, queue: AdmissionQueue, images: int) -> None:
        self.queue = queue
        self.images = images

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.queue._leave(self.images, done=kind is None)
