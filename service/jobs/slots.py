"""How many items a worker does at a time, and that suspects are alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Slots:
    """So many places, taken in the order of asking; one who asks to be alone waits until all are free.

    An item whose last worker died while doing it may be what killed it. Alone, it takes nobody along.
    """

    def __init__(self, count: int) -> None:
        """All free.

        Args:
            count: Places.
        """
        self.count = count
        self._free = count
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self.count - self._free

    @contextlib.asynccontextmanager
    async def one(self, *, alone: bool = False) -> AsyncIterator[None]:
        """Holds one place, or all of them.

        Args:
            alone: All of them.
        """
        wanted = self.count if alone else 1
        await self._take(wanted)
        try:
            yield
        finally:
            self._free += wanted
            self._serve()

    async def _take(self, wanted: int) -> None:
        if not self._line and self._free >= wanted:
            self._free -= wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came just as the waiter left
                self._free += wanted
            else:
                self._line = deque(entry for entry in self._line if entry[1] is not turn)
            self._serve()
            raise

    def _serve(self) -> None:
        while self._line:
            wanted, turn = self._line[0]
            if turn.done():
                self._line.popleft()
            elif self._free >= wanted:
                self._line.popleft()
                self._free -= wanted
                turn.set_result(None)
            else:
                return
