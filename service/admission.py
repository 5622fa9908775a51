"""A bounded queue of work for one model: who is let in, and who runs next.

Work is counted in units: images of a generator, tiles of an upscaler. Three rules, each with what it gives:

1. **Places.** At most `limit` units are in the queue, waiting and running. While others want places too, a
   caller is confined to `min(caller_share, 1/k)` of them, where k callers hold places or were refused lately.
   So each of k callers gets its k-th of the queue as soon as those who hold more have been served.
   A caller that holds nothing may bring one call larger than that, unless somebody was refused before it.
   Alone, a caller may use the whole queue.
2. **Order between callers.** Within a priority they take turns, weighted by units: see `FairLine`.
3. **Order between priorities.** Interactive work runs before batch work, except that while both wait, at
   least `batch_share` of the units that start are batch work, short of one call: so it never starves.

A caller's interactive and batch work hold places separately: a batch job leaves its owner's own calls room.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Final, Protocol

from service.fair_line import FairLine
from service.telemetry.tracing import stage

INTERACTIVE: Final = 0
BATCH: Final = 1
ANYBODY: Final = "anonymous"
"""The caller of a gateway without API keys."""

_SMOOTHING = 0.2
_MAX_RETRY_AFTER = 600
_CLAIM_GRACE = 2.0

_Holder = tuple[int, str]
_Turn = asyncio.Future[None]


class AdmissionQueue(Protocol):
    """What admitted work sees of its model's queue: turns."""

    async def start(self, units: int) -> None:
        """Waits for its turn to run so many units; `finish` must follow.

        Args:
            units: At most the queue's window, or it runs alone.
        """

    def finish(self, units: int) -> None:
        """Frees the window for whoever waits.

        Args:
            units: As given to `start`.
        """


class QueueFullError(Exception):
    """The queue takes no more of this caller now.

    Attributes:
        retry_after: Whole seconds after which there will probably be a place.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full for about {retry_after} s")
        self.retry_after = retry_after


@dataclass
class _Claim:
    """Somebody was refused and is expected back: since when, and until when others leave room for it."""

    since: float
    until: float


class FairQueue:
    """Admits up to `limit` units; of those, up to `window` are with Triton at a time.

    The window is enough to keep Triton's batches full. What waits beyond it waits here, where leaving
    costs nothing and the order is known.
    """

    def __init__(
        self, limit: int, window: int, *, caller_share: float = 0.5, batch_share: float = 0.2
    ) -> None:
        """Starts empty.

        Args:
            limit: Units admitted at a time, waiting and running.
            window: Units running at a time.
            caller_share: Largest part of the places for one caller while others want some.
            batch_share: Part of the units started that is batch work while both priorities wait; below 1.
        """
        self.limit = limit
        self.window = window
        self.caller_share = caller_share
        self.batch_share = batch_share
        self.admitted = 0
        self.seconds_per_unit = 0.0
        self._running = 0
        self._lines: tuple[FairLine[_Turn], FairLine[_Turn]] = (FairLine(), FairLine())
        self._batch_credit = 0.0
        self._tickets: dict[Ticket, None] = {}  # in the order of admission
        self._held: Counter[_Holder] = Counter()
        self._claims: dict[_Holder, _Claim] = {}
        self._last_done = 0.0
        self._empty = asyncio.Event()
        self._empty.set()

    def admit(self, units: int, caller: str = ANYBODY, priority: int = INTERACTIVE) -> Ticket:
        """Takes places for so many units.

        Args:
            units: How many, at least 1; more than `limit` count as the whole queue.
            caller: Whose work it is; one of a bounded set of names.
            priority: `INTERACTIVE` or `BATCH`.

        Returns:
            A context manager that gives the places back.

        Raises:
            QueueFullError: If they do not fit.
        """
        places = min(units, self.limit)
        holder = (priority, caller)
        now = perf_counter()
        if self._claims:
            self._claims = {who: claim for who, claim in self._claims.items() if claim.until > now}
        if self._too_full(places) or self._has_its_share(places, holder):
            retry_after = self._seconds_until_place(places, holder)
            since = self._claims[holder].since if holder in self._claims else now
            self._claims[holder] = _Claim(since, now + retry_after + _CLAIM_GRACE)
            raise QueueFullError(retry_after)
        self._claims.pop(holder, None)
        if self.admitted == 0:
            self._last_done = now
        self.admitted += places
        self._empty.clear()
        self._held[holder] += places
        ticket = Ticket(self, places, caller, priority)
        self._tickets[ticket] = None
        return ticket

    async def drained(self) -> None:
        """Returns when nothing is admitted."""
        await self._empty.wait()

    def retry_after(self) -> int:
        """Whole seconds, at least 1, in which all that is admitted now will probably be done."""
        return self._seconds(self.admitted)

    async def start(self, units: int, caller: str = ANYBODY, priority: int = INTERACTIVE) -> None:
        """Waits for its turn to run so many units; `finish` must follow.

        Args:
            units: At most the window, or it runs alone.
            caller: Whose work it is.
            priority: `INTERACTIVE` or `BATCH`.
        """
        if not any(self._lines) and self._fits(units):
            self._running += units
            return
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._lines[priority].push(caller, units, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the moment it left
                self.finish(units)
            else:
                self._lines[priority].discard(caller, turn)
                self._wake()
            raise

    def finish(self, units: int) -> None:
        """Frees the window for whoever waits.

        Args:
            units: As given to `start`.
        """
        self._running -= units
        self._wake()

    def _too_full(self, places: int) -> bool:
        return self.admitted + places > self.limit

    def _has_its_share(self, places: int, holder: _Holder) -> bool:
        """Whether others want places, and this caller would hold more than its part of them."""
        active = self._held.keys() | self._claims.keys() | {holder}
        if len(active) == 1:
            return False
        share = min(self.caller_share, 1 / len(active))
        held = self._held.get(holder, 0)
        if held + places <= share * self.limit:
            return False
        if held:
            return True
        mine = self._claims[holder].since if holder in self._claims else math.inf
        return any(claim.since < mine for who, claim in self._claims.items() if who != holder)

    def _seconds_until_place(self, places: int, holder: _Holder) -> int:
        """When enough calls will have left, those before this one in turn having been served."""
        own_only = not self._too_full(places) and holder in self._held
        missing = places if own_only else self.admitted + places - self.limit
        ahead, freed, own = 0, 0, 0
        for ticket in self._tickets:
            if freed >= max(missing, 1):
                break
            mine = ticket.holder == holder
            own += ticket.places if mine else 0
            if mine or not own_only:
                freed += ticket.places
            ahead += ticket.places
        if own_only:
            # In turns: until its own are done, each other caller is served as much; batch waits for all else.
            priority = holder[0]
            ahead = own + sum(
                held if other[0] < priority else min(held, own) if other[0] == priority else 0
                for other, held in self._held.items()
                if other != holder
            )
        return self._seconds(ahead)

    def _seconds(self, units: int) -> int:
        return min(_MAX_RETRY_AFTER, max(1, math.ceil(units * self.seconds_per_unit)))

    def _fits(self, units: int) -> bool:
        return self._running == 0 or self._running + units <= self.window

    def _wake(self) -> None:
        while (line := self._next_line()) is not None and self._fits(line.peek()[0]):
            units, turn = line.pop()
            if turn.done():  # cancelled, and not yet out of the line
                continue
            self._note_priority(line, units)
            self._running += units
            turn.set_result(None)

    def _next_line(self) -> FairLine[_Turn] | None:
        interactive, batch = self._lines
        if not batch:
            return interactive or None
        if not interactive or self._batch_credit >= batch.peek()[0]:
            return batch
        return interactive

    def _note_priority(self, line: FairLine[_Turn], units: int) -> None:
        """Interactive units that start while batch work waits earn it the share it has a right to."""
        if line is self._lines[BATCH]:
            self._batch_credit = max(0.0, self._batch_credit - units)
        elif self._lines[BATCH]:
            self._batch_credit += units * self.batch_share / (1 - self.batch_share)
        if not self._lines[BATCH]:
            self._batch_credit = 0.0

    def _leave(self, ticket: Ticket, done: bool) -> None:
        if ticket not in self._tickets:  # it has left already
            return
        del self._tickets[ticket]
        self.admitted -= ticket.places
        self._held[ticket.holder] -= ticket.places
        if not self._held[ticket.holder]:
            del self._held[ticket.holder]
        if not self.admitted:
            self._empty.set()
        if not done:
            return
        # Busy time per unit leaving: throughput as it is now, whatever batching and cores make of it.
        now = perf_counter()
        sample = (now - self._last_done) / ticket.places
        self._last_done = now
        if self.seconds_per_unit == 0.0:
            self.seconds_per_unit = sample
        else:
            self.seconds_per_unit += _SMOOTHING * (sample - self.seconds_per_unit)


class Ticket:
    """Places in the queue, held from admission until the answer is encoded."""

    def __init__(self, queue: FairQueue, places: int, caller: str, priority: int) -> None:
        self.queue = queue
        self.places = places
        self.caller = caller
        self.priority = priority
        self._running = 0

    @property
    def holder(self) -> _Holder:
        """Under whom the places are counted."""
        return self.priority, self.caller

    async def start(self, units: int) -> None:
        """Waits for its turn to run so many units; `finish` must follow.

        Args:
            units: At most the queue's window, or it runs alone.
        """
        with stage("queue", units=units):
            await self.queue.start(units, self.caller, self.priority)
        self._running += units

    def finish(self, units: int) -> None:
        """Frees the window for whoever waits.

        Args:
            units: As given to `start`.
        """
        self._running -= units
        self.queue.finish(units)

    def release(self, *, done: bool = True) -> None:
        """Gives the places back, and what of the window was not; a second time does nothing.

        Args:
            done: Whether the work was done, so that the time it took tells how long others will take.
        """
        if self._running:
            self.finish(self._running)
        self.queue._leave(self, done)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(done=kind is None)
