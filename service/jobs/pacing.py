"""How much of a batch job is with Triton at a time: little enough that interactive calls wait for little.

Triton runs what it has in the order in which it came, and gateways and workers know nothing of each other.
So a worker keeps no more with Triton than a fraction of a second of work, by the pace at which the model has
lately been done: full batches on a GPU, a tile or two on a slow CPU. While interactive calls take their part,
the pace drops, and the worker steps back further.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from service.admission import ANYBODY, INTERACTIVE, FairQueue

_LEAST: Final = 2  # one that runs and one that waits, so that Triton never idles
_SMOOTHING: Final = 0.5


class PacedQueue(FairQueue):
    """A queue whose window holds so many seconds of work."""

    def __init__(
        self,
        limit: int,
        most: int,
        *,
        seconds: float,
        caller_share: float = 0.5,
        batch_share: float = 0.2,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Starts with a small window, since nothing is known of the pace.

        Args:
            limit: As for `FairQueue`.
            most: The largest window there may be.
            seconds: Of work that the window holds, where that is at least two units.
            caller_share: As for `FairQueue`.
            batch_share: As for `FairQueue`.
            clock: Seconds.
        """
        super().__init__(limit, min(_LEAST, most), caller_share=caller_share, batch_share=batch_share)
        self.most = most
        self._target = seconds
        self._clock = clock
        self._pace = 0.0  # seconds a unit, while there is work
        self._since = 0.0
        self._busy = 0.0
        self._done = 0
        self._round = 1

    async def start(self, units: int, caller: str = ANYBODY, priority: int = INTERACTIVE) -> None:
        """As `FairQueue.start`."""
        if not self._running:
            self._since = self._clock()
        await super().start(units, caller, priority)

    def finish(self, units: int) -> None:
        """As `FairQueue.finish`; now and then the window changes."""
        now = self._clock()
        self._busy += now - self._since
        self._since = now
        self._done += units
        if self._done >= self._round:
            pace = self._busy / self._done
            self._pace += (pace - self._pace) * (_SMOOTHING if self._pace else 1.0)
            self._busy, self._done = 0.0, 0
            fitting = self._target / self._pace if self._pace else self.most
            self.window = max(min(_LEAST, self.most), int(min(fitting, self.most)))
            # Once around before the next look: what ends together, as a batch does, is counted together.
            self._round = max(self.window, self._running - units)
        super().finish(units)
