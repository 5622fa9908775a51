"""What a worker writes about its items: many in a transaction, none lost while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

import pytest

from service.jobs import ledger as ledger_module
from service.jobs.database import DatabaseAwayError
from service.jobs.item_store import Claim, ItemStore
from service.jobs.ledger import Ledger
from service.jobs.records import Finished, ItemState


class _Items:
    """Notes what is written; can be away, or slow until it is let go."""

    def __init__(self) -> None:
        self.claims: list[list[Claim]] = []
        self.ends: list[tuple[int, list[Finished]]] = []
        self.away = 0
        self.free = threading.Event()
        self.free.set()

    def record(
        self, claims: Sequence[Claim], ends: Mapping[int, Sequence[Finished]], worker: str
    ) -> tuple[set[Claim], dict[int, set[int]]]:
        self._ask()
        if claims:
            self.claims.append(list(claims))
        self.ends += [(job, list(of_job)) for job, of_job in ends.items()]
        counted = {job: {end.n for end in of_job if end.attempt == 1} for job, of_job in ends.items()}
        return set(claims), counted

    def _ask(self) -> None:
        self.free.wait(5)
        if self.away:
            self.away -= 1
            raise DatabaseAwayError("away")


def _with(items: _Items, use: Callable[[Ledger], Awaitable[None]]) -> None:
    async def run() -> None:
        ledger = Ledger(cast("ItemStore", items), "w")
        writing = asyncio.create_task(ledger.write())
        try:
            await asyncio.wait_for(use(ledger), 10)
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing

    asyncio.run(run())


def _ended(n: int, attempt: int = 1) -> Finished:
    return Finished(n, attempt, ItemState.FAILED)


def test_what_gathers_while_one_is_written_is_written_together() -> None:
    items = _Items()

    async def use(ledger: Ledger) -> None:
        items.free.clear()
        first = asyncio.create_task(ledger.claim([Claim(1, 0, 1)]))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(ledger.claim([Claim(1, n, 1)])) for n in range(1, 6)]
        await asyncio.sleep(0.05)
        items.free.set()
        await asyncio.gather(first, *rest)

    _with(items, use)
    assert [len(together) for together in items.claims] == [1, 5]


def test_whoever_ends_an_item_learns_whether_it_counted() -> None:
    items = _Items()

    async def use(ledger: Ledger) -> None:
        told = await asyncio.gather(
            ledger.finish(1, _ended(0)), ledger.finish(1, _ended(1, attempt=2)), ledger.finish(2, _ended(0))
        )
        assert told == [True, False, True]

    _with(items, use)
    assert sorted(job for job, _ in items.ends) == [1, 2]


def test_nothing_is_lost_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_PAUSE_SECONDS", 0.01)
    items = _Items()
    items.away = 4

    async def use(ledger: Ledger) -> None:
        await ledger.claim([Claim(1, 0, 1)])
        assert await ledger.finish(1, _ended(0))

    _with(items, use)
    assert (len(items.claims), len(items.ends)) == (1, 1)


def test_an_item_that_was_stopped_before_it_is_written_is_not_begun() -> None:
    items = _Items()

    async def use(ledger: Ledger) -> None:
        items.free.clear()
        first = asyncio.create_task(ledger.claim([Claim(1, 0, 1)]))
        await asyncio.sleep(0.05)
        stopped = asyncio.create_task(ledger.claim([Claim(1, 1, 1)]))
        kept = asyncio.create_task(ledger.claim([Claim(1, 2, 1)]))
        await asyncio.sleep(0.05)
        stopped.cancel()
        await asyncio.sleep(0)
        items.free.set()
        await asyncio.gather(first, kept)

    _with(items, use)
    assert [[claim.n for claim in together] for together in items.claims] == [[0], [2]]
