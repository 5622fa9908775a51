"""Questions about weights are shared by those, and only those, that came before they were asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.jobs.confirming import Confirming
from service.triton import TritonChangedError


class Model:
    """What is asked about."""

    digest = "a"


class Questions:
    """A catalog that answers when told."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.changed = False

    async def verify(self, model: Any) -> None:
        self.asked += 1
        await self.go.wait()
        if self.changed:
            raise TritonChangedError("reloaded")


def begin(confirming: Any, count: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(confirming.confirm(Model())) for _ in range(count)]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_items_that_end_together_share_a_question() -> None:
    async def work() -> None:
        catalog: Any = Questions()
        confirming = Confirming(catalog)
        tasks = begin(confirming, 1)
        await turn()
        tasks += begin(confirming, 10)  # the first question began before these came
        await turn()
        assert catalog.asked == 1
        catalog.go.set()
        await asyncio.gather(*tasks)
        assert catalog.asked == 2
        await confirming.confirm(Model())  # type: ignore[arg-type]  # has what is looked at
        assert catalog.asked == 3

    asyncio.run(work())


def test_all_who_share_it_hear_of_other_weights() -> None:
    async def work() -> None:
        catalog: Any = Questions()
        confirming = Confirming(catalog)
        tasks = begin(confirming, 6)
        await turn()
        catalog.changed = True
        catalog.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, TritonChangedError) for outcome in outcomes)

    asyncio.run(work())


def test_a_question_that_was_given_up_says_nothing() -> None:
    async def work() -> None:
        catalog: Any = Questions()
        confirming = Confirming(catalog)
        first, second = begin(confirming, 2)
        await turn()
        first.cancel()
        await turn()
        assert catalog.asked == 2
        catalog.changed = True
        catalog.go.set()
        with pytest.raises(TritonChangedError):
            await second

    asyncio.run(work())
