"""Calls that wait for the same model go to Triton together, and leave it each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from service.cards import TritonModel
from service.joining import Answer, JoinedInference
from service.triton import InferenceError, TritonChangedError, TritonDeadlineError

MODEL = TritonModel("toy-synthesis", "1", 4, 1, {}, {}, {})


class Recorder:
    """Runs batches one step at a time, as the test says, and knows what it was sent."""

    def __init__(self) -> None:
        self.sent: list[list[float]] = []
        self.timeouts: list[float] = []
        self.cancelled: list[list[float]] = []
        self.may_finish: list[asyncio.Event] = []
        self.errors: dict[float, Exception] = {}

    async def infer(
        self, model: TritonModel, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> np.ndarray:
        rows = inputs["x"][:, 0].tolist()
        self.sent.append(rows)
        self.timeouts.append(timeout)
        self.may_finish.append(asyncio.Event())
        try:
            await self.may_finish[-1].wait()
        except asyncio.CancelledError:
            self.cancelled.append(rows)
            raise
        for row in rows:
            if row in self.errors:
                raise self.errors[row]
        return inputs["x"] * 10

    async def finish(self, index: int) -> None:
        self.may_finish[index].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Calls:
    """Starts calls of rows, and looks at what became of them."""

    def __init__(self, at_a_time: int = 1) -> None:
        self.triton = Recorder()
        self.joined = JoinedInference(self.triton)
        self.at_a_time = at_a_time

    def start(self, *rows: float, timeout: float = 60) -> asyncio.Task[Answer]:
        inputs = {"x": np.array(rows, np.float32)[:, None]}
        work: Coroutine[Any, Any, Answer] = self.joined.infer(
            MODEL, inputs, "y", timeout, at_a_time=self.at_a_time
        )
        return asyncio.ensure_future(work)


def values(task: asyncio.Task[Answer]) -> list[float]:
    return task.result().rows[:, 0].tolist()


def test_what_waits_goes_together_and_comes_back_apart() -> None:
    async def main() -> None:
        calls = Calls()
        first = calls.start(1)
        await settle()
        assert calls.triton.sent == [[1]], "a lone call waits for nobody"
        others = [calls.start(2), calls.start(3, 4), calls.start(5)]
        await settle()
        assert calls.triton.sent == [[1]]
        await calls.triton.finish(0)
        assert calls.triton.sent == [[1], [2, 3, 4, 5]]
        await calls.triton.finish(1)
        assert [values(task) for task in (first, *others)] == [[10], [20], [30, 40], [50]]
        assert calls.joined._lanes == {}, "nothing is kept of a model that nobody calls"

    asyncio.run(main())


def test_calls_of_the_same_moment_share_the_first_request() -> None:
    async def main() -> None:
        calls = Calls()
        tasks = [calls.start(row) for row in (1, 2, 3)]
        await settle()
        assert calls.triton.sent == [[1, 2, 3]]
        await calls.triton.finish(0)
        assert [values(task) for task in tasks] == [[10], [20], [30]]

    asyncio.run(main())


def test_no_request_is_larger_than_the_model_takes_and_the_order_stays() -> None:
    async def main() -> None:
        calls = Calls()
        tasks = [calls.start(*rows) for rows in ((1,), (2, 3, 4), (5, 6, 7), (8,), (9,))]
        await settle()
        for index in range(3):
            await calls.triton.finish(index)
        assert calls.triton.sent == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
        assert values(tasks[2]) == [50, 60, 70]

    asyncio.run(main())


def test_what_waits_is_spread_over_the_requests_there_may_be() -> None:
    """All in one would leave nothing to compute while their answers are encoded."""

    async def main() -> None:
        calls = Calls(at_a_time=2)
        tasks = [calls.start(row) for row in (1, 2, 3, 4)]
        await settle()
        assert calls.triton.sent == [[1, 2], [3, 4]]
        await calls.triton.finish(0)
        await calls.triton.finish(1)
        assert [values(task) for task in tasks] == [[10], [20], [30], [40]]

    asyncio.run(main())


def test_one_that_leaves_takes_no_other_with_it() -> None:
    async def main() -> None:
        calls = Calls()
        leaving, staying = calls.start(1), calls.start(2)
        await settle()
        waiting, leaving_too = calls.start(3), calls.start(4)
        await settle()
        leaving.cancel()
        leaving_too.cancel()
        await settle()
        assert calls.triton.cancelled == []
        await calls.triton.finish(0)
        assert values(staying) == [20]
        assert calls.triton.sent == [[1, 2], [3]]
        await calls.triton.finish(1)
        assert values(waiting) == [30]

    asyncio.run(main())


def test_a_request_nobody_waits_for_is_cancelled_and_makes_room() -> None:
    async def main() -> None:
        calls = Calls()
        leaving = [calls.start(1), calls.start(2)]
        await settle()
        waiting = calls.start(3)
        await settle()
        leaving[0].cancel()
        await settle()
        assert calls.triton.cancelled == []
        leaving[1].cancel()
        await settle()
        assert calls.triton.cancelled == [[1, 2]]
        assert calls.triton.sent == [[1, 2], [3]]
        await calls.triton.finish(1)
        assert values(waiting) == [30]
        assert calls.joined._lanes == {}

    asyncio.run(main())


@pytest.mark.parametrize("steps", range(6))
def test_who_leaves_at_any_moment_leaves_room(steps: int) -> None:
    """Also in the very moment its request was made and has not begun."""

    async def main() -> None:
        calls = Calls()
        leaving = calls.start(1)
        for _ in range(steps):
            await asyncio.sleep(0)
        leaving.cancel()
        waiting = calls.start(2)
        await settle()
        assert calls.triton.sent[-1] == [2]
        await calls.triton.finish(len(calls.triton.sent) - 1)
        assert values(waiting) == [20]
        assert calls.joined._lanes == {}

    asyncio.run(main())


def test_each_has_its_own_deadline() -> None:
    async def main() -> None:
        calls = Calls()
        soon, later = calls.start(1, timeout=0.05), calls.start(2, timeout=60)
        await settle()
        assert calls.triton.timeouts[0] > 50, "the request may take as long as the last of them"
        too_late = calls.start(3, timeout=0.05)
        await asyncio.sleep(0.1)
        for task in (soon, too_late):
            with pytest.raises(TritonDeadlineError):
                await task
        await calls.triton.finish(0)
        assert values(later) == [20]
        assert calls.triton.sent == [[1, 2]], "nothing is computed for who has given up"

    asyncio.run(main())


def test_rows_that_fail_fail_alone() -> None:
    async def main() -> None:
        calls = Calls()
        calls.triton.errors[2] = InferenceError("two")
        tasks = [calls.start(row) for row in (1, 2, 3)]
        await settle()
        await calls.triton.finish(0)
        assert calls.triton.sent == [[1, 2, 3], [1], [2], [3]]
        for index in (1, 2, 3):
            await calls.triton.finish(index)
        assert values(tasks[0]) == [10]
        assert values(tasks[2]) == [30]
        with pytest.raises(InferenceError, match="two"):
            await tasks[1]

    asyncio.run(main())


@pytest.mark.parametrize("error", [TritonChangedError("away"), RuntimeError("a fault of ours")])
def test_a_fault_of_nobody_is_told_to_all(error: Exception) -> None:
    async def main() -> None:
        calls = Calls()
        calls.triton.errors[2] = error
        tasks = [calls.start(row) for row in (1, 2)]
        await settle()
        await calls.triton.finish(0)
        assert calls.triton.sent == [[1, 2]]
        for task in tasks:
            with pytest.raises(type(error), match=str(error)):
                await task

    asyncio.run(main())


def test_missing_rows_are_an_error() -> None:
    class Forgetful(Recorder):
        async def infer(
            self, model: TritonModel, inputs: Mapping[str, np.ndarray], output: str, timeout: float
        ) -> np.ndarray:
            return inputs["x"][1:]

    async def main() -> Sequence[BaseException | Answer]:
        joined = JoinedInference(Forgetful())
        inputs = [{"x": np.array([[row]], np.float32)} for row in (1, 2)]
        works = [joined.infer(MODEL, each, "y", 60, at_a_time=1) for each in inputs]
        return await asyncio.gather(*works, return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["0 rows came back for 1"] * 2
