"""A line in which callers take turns: deficit round robin, one unit of work a turn.

M. Shreedhar and G. Varghese, "Efficient fair queueing using deficit round robin", 1996, with a quantum of 1.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class _Caller(Generic[Item]):
    """What one caller has waiting, first come first served, and the turns saved up for the first of it."""

    waiting: deque[tuple[int, Item]] = field(default_factory=deque)
    deficit: int = 0

    @property
    def lacks(self) -> int:
        """Turns until the first entry may go."""
        return max(0, self.waiting[0][0] - self.deficit)


class FairLine(Generic[Item]):
    """Who is next, where every caller that waits gets the same number of units in the long run.

    Between any two callers that wait all the time, the units served differ by at most `2 · largest entry + 1`
    (lemma 2 of the paper), however many entries each has. A caller with nothing waiting saves up nothing.
    """

    def __init__(self) -> None:
        self._callers: dict[str, _Caller[Item]] = {}
        self._order: deque[str] = deque()  # whose turn is next stands first

    def __len__(self) -> int:
        return sum(len(caller.waiting) for caller in self._callers.values())

    def __bool__(self) -> bool:
        return bool(self._order)

    def push(self, caller: str, units: int, item: Item) -> None:
        """Goes to the end of the caller's own line.

        Args:
            caller: Whose work it is.
            units: How much, at least 1.
            item: Given back by `peek` and `pop`; distinct from all others that wait.
        """
        if caller not in self._callers:
            self._callers[caller] = _Caller()
            self._order.append(caller)
        self._callers[caller].waiting.append((units, item))

    def peek(self) -> tuple[int, Item]:
        """Units and item of who is next.

        Raises:
            IndexError: If nobody waits.
        """
        return self._callers[self._order[self._next()]].waiting[0]

    def pop(self) -> tuple[int, Item]:
        """Takes out who is next, which uses up the turns it had.

        Raises:
            IndexError: If nobody waits.
        """
        position = self._next()
        name = self._order[position]
        chosen = self._callers[name]
        rounds = chosen.lacks
        # All those rounds at once: in the last of them only the callers up to the chosen one had their turn.
        for index, other in enumerate(self._order):
            self._callers[other].deficit += rounds if index <= position else max(0, rounds - 1)
        units, item = chosen.waiting.popleft()
        chosen.deficit -= units
        # The next turn is that of whoever stands behind it.
        self._order.rotate(-position - 1)
        if not chosen.waiting:
            self._forget(name)
        return units, item

    def discard(self, caller: str, item: Item) -> None:
        """Leaves the line; nothing happens if it does not wait any more.

        Args:
            caller: As given to `push`.
            item: As given to `push`.
        """
        if caller not in self._callers:
            return
        kept = deque(entry for entry in self._callers[caller].waiting if entry[1] is not item)
        self._callers[caller].waiting = kept
        if not kept:
            self._forget(caller)

    def _next(self) -> int:
        """Position, in the order of turns, of the caller whose deficit is the first to suffice."""
        if not self._order:
            raise IndexError("nobody waits")
        return min(range(len(self._order)), key=lambda index: self._callers[self._order[index]].lacks)

    def _forget(self, caller: str) -> None:
        del self._callers[caller]
        self._order.remove(caller)
