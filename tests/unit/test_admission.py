import asyncio

import pytest

from service.admission import FairQueue, QueueFullError


def test_bounded_in_images() -> None:
    queue = FairQueue(limit=10, window=4)
    with queue.admit(6):
        with queue.admit(4), pytest.raises(QueueFullError) as full:
            queue.admit(1)
        assert full.value.retry_after == 1  # nothing measured yet
        queue.admit(4).__exit__(None, None, None)
    assert queue.admitted == 0


def test_retry_after_follows_length_and_service_time() -> None:
    queue = FairQueue(limit=8, window=4)
    queue.seconds_per_unit = 1.5
    with queue.admit(8), pytest.raises(QueueFullError) as full:
        queue.admit(1)
    assert full.value.retry_after == 12


def test_service_time_is_throughput_not_latency() -> None:
    async def main() -> float:
        queue = FairQueue(limit=100, window=100)

        async def call(delay: float) -> None:
            with queue.admit(10):
                await asyncio.sleep(delay)

        # Ten images done every 50 ms, although the last caller waits 250.
        await asyncio.gather(*(call(0.05 * index) for index in range(1, 6)))
        return queue.seconds_per_unit

    assert asyncio.run(main()) == pytest.approx(0.005, rel=0.5)


def test_window_is_first_come_first_served() -> None:
    async def main() -> list[str]:
        queue, order = FairQueue(limit=100, window=4), []

        async def run(name: str, images: int) -> None:
            await queue.start(images)
            order.append(name)
            await asyncio.sleep(0.01)
            queue.finish(images)

        # `small` would fit beside `first`, but must not overtake `large`.
        await asyncio.gather(run("first", 3), run("large", 4), run("small", 1))
        assert queue._running == 0
        return order

    assert asyncio.run(main()) == ["first", "large", "small"]


def test_more_than_the_window_runs_alone() -> None:
    async def main() -> None:
        queue = FairQueue(limit=100, window=4)
        await asyncio.wait_for(queue.start(9), 1)
        queue.finish(9)

    asyncio.run(main())


def test_who_leaves_the_line_holds_up_nobody() -> None:
    async def main() -> None:
        queue = FairQueue(limit=100, window=2)
        await queue.start(1)
        blocked = asyncio.ensure_future(queue.start(2))
        behind = asyncio.ensure_future(queue.start(1))
        await asyncio.sleep(0)
        assert not behind.done()
        blocked.cancel()
        await asyncio.wait_for(behind, 1)
        queue.finish(1)
        queue.finish(1)
        assert queue._running == 0
        assert not any(queue._lines)

    asyncio.run(main())


def test_cancelled_in_the_moment_its_turn_came() -> None:
    async def main() -> None:
        queue = FairQueue(limit=100, window=1)
        await queue.start(1)
        late = asyncio.ensure_future(queue.start(1))
        await asyncio.sleep(0)
        queue.finish(1)  # gives `late` its turn, and then it is cancelled before it runs
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        await asyncio.wait_for(queue.start(1), 1)

    asyncio.run(main())
