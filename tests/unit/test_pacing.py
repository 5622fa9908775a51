"""The window of a worker follows the pace of the model."""

from __future__ import annotations

import asyncio

from service.jobs.pacing import PacedQueue


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def run(
    queue: PacedQueue, clock: Clock, units: int, *, seconds_a_unit: float, together: int = 1
) -> int:
    """Keeps the queue full for so many units, done `together` at a time; the most there were at a time."""
    running, started, most = 0, 0, 0
    waiting: list[asyncio.Task[None]] = []
    for _ in range(units):
        waiting.append(asyncio.create_task(queue.start(1)))
    finished = 0
    while finished < units:
        await asyncio.sleep(0)
        started = sum(task.done() for task in waiting)
        running = started - finished
        most = max(most, running)
        batch = min(together, running)
        clock.now += seconds_a_unit * batch
        for _ in range(batch):
            queue.finish(1)
        finished += batch
    return most


def test_a_fast_model_gets_full_batches() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 16, seconds=0.1, clock=clock)
    assert queue.window == 2
    assert asyncio.run(run(queue, clock, 100, seconds_a_unit=0.001, together=8)) == 16
    assert queue.window == 16


def test_a_slow_model_gets_two_at_a_time() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 16, seconds=0.1, clock=clock)
    assert asyncio.run(run(queue, clock, 20, seconds_a_unit=0.4)) == 2


def test_the_window_is_so_many_seconds_of_work() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 16, seconds=0.1, clock=clock)
    asyncio.run(run(queue, clock, 60, seconds_a_unit=0.0199))
    assert queue.window == 5


def test_it_steps_back_when_the_pace_drops_and_comes_back() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 16, seconds=0.1, clock=clock)
    asyncio.run(run(queue, clock, 60, seconds_a_unit=0.002, together=8))
    assert queue.window == 16
    asyncio.run(run(queue, clock, 120, seconds_a_unit=0.04, together=8))
    assert queue.window == 2
    asyncio.run(run(queue, clock, 60, seconds_a_unit=0.002, together=8))
    assert queue.window == 16


def test_time_without_work_is_not_counted() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 16, seconds=0.1, clock=clock)
    for _ in range(20):
        clock.now += 60
        asyncio.run(run(queue, clock, 4, seconds_a_unit=0.001))
    assert queue.window == 16


def test_a_model_that_takes_one_at_a_time_gets_no_more() -> None:
    clock = Clock()
    queue = PacedQueue(1000, 1, seconds=0.1, clock=clock)
    assert asyncio.run(run(queue, clock, 10, seconds_a_unit=0.001)) == 1
