"""Places of a worker's items: so many at a time, suspects alone."""

from __future__ import annotations

import asyncio
import random

import pytest

from service.jobs.slots import Slots


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _hold(slots: Slots, release: asyncio.Event, *, alone: bool = False) -> None:
    async with slots.one(alone=alone):
        await release.wait()


def test_no_more_than_the_count_at_a_time() -> None:
    async def run() -> None:
        slots, release = Slots(2), asyncio.Event()
        tasks = [asyncio.create_task(_hold(slots, release)) for _ in range(5)]
        await _settled()
        assert slots.taken == 2
        release.set()
        await asyncio.gather(*tasks)
        assert slots.taken == 0

    asyncio.run(run())


def test_a_suspect_is_alone_and_nobody_overtakes_it() -> None:
    async def run() -> None:
        slots = Slots(3)
        first, alone, later = asyncio.Event(), asyncio.Event(), asyncio.Event()
        a = asyncio.create_task(_hold(slots, first))
        await _settled()
        b = asyncio.create_task(_hold(slots, alone, alone=True))
        c = asyncio.create_task(_hold(slots, later))
        await _settled()
        assert slots.taken == 1  # a; b waits for it, and c behind b though there are places
        first.set()
        await a
        await _settled()
        assert slots.taken == 3
        assert not c.done()
        alone.set()
        await b
        await _settled()
        assert slots.taken == 1
        later.set()
        await c

    asyncio.run(run())


def test_who_leaves_the_line_lets_the_others_through() -> None:
    async def run() -> None:
        slots, held, free = Slots(2), asyncio.Event(), asyncio.Event()
        free.set()
        a = asyncio.create_task(_hold(slots, held))
        await _settled()
        b = asyncio.create_task(_hold(slots, held, alone=True))
        c = asyncio.create_task(_hold(slots, free))
        await _settled()
        b.cancel()
        await asyncio.wait_for(c, 1)
        with pytest.raises(asyncio.CancelledError):
            await b
        held.set()
        await a
        assert slots.taken == 0

    asyncio.run(run())


def test_no_place_is_lost_whoever_is_cancelled_when() -> None:
    async def run(seed: int) -> None:
        choice, slots, most = random.Random(seed), Slots(3), 0

        async def work() -> None:
            nonlocal most
            async with slots.one(alone=choice.random() < 0.3):
                most = max(most, slots.taken)
                for _ in range(choice.randrange(4)):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(work()) for _ in range(30)]
        for _ in range(40):
            await asyncio.sleep(0)
            if choice.random() < 0.4:
                choice.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slots.taken == 0
        assert most <= 3

    for seed in range(100):
        asyncio.run(run(seed))
