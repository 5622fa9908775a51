"""What the queue promises, under sequences of events that hypothesis makes up."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.admission import BATCH, INTERACTIVE, FairQueue, QueueFullError, Ticket

LIMIT, WINDOW = 24, 8


class Call:
    """One admitted call that runs in batches until it is told that each is done."""

    def __init__(self, ticket: Ticket, sizes: list[int]) -> None:
        self.ticket, self.sizes = ticket, sizes
        self.started: list[asyncio.Event] = []
        self.done: list[asyncio.Event] = []
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        with self.ticket:
            for size in self.sizes:
                await self.ticket.start(size)
                self.done.append(asyncio.Event())
                try:
                    await self.done[-1].wait()
                finally:
                    self.ticket.finish(size)


event = st.one_of(
    st.tuples(
        st.just("call"),
        st.sampled_from("abc"),
        st.sampled_from([INTERACTIVE, BATCH]),
        st.lists(st.integers(1, 12), min_size=1, max_size=3),
    ),
    st.tuples(st.just("finish"), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("tick"), st.integers(1, 3)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(event, max_size=40))
def test_nothing_is_lost_and_no_bound_is_passed(events: list[tuple]) -> None:
    async def main() -> None:
        queue = FairQueue(LIMIT, WINDOW)
        calls: list[Call] = []
        refused: list[int] = []

        def check() -> None:
            inside = [call for call in calls if not call.task.done()]
            assert queue.admitted == sum(queue._held.values()) <= LIMIT
            assert queue.admitted == sum(call.ticket.places for call in inside)
            running = [call.sizes[len(call.done) - 1] for call in inside if call.ticket._running]
            assert queue._running >= sum(running)  # one more whose turn came and that has not run since
            assert queue._running <= WINDOW or len(running) <= 1

        for kind, *rest in events:
            alive = [call for call in calls if not call.task.done()]
            if kind == "call":
                caller, priority, sizes = rest
                try:
                    calls.append(Call(queue.admit(sum(sizes), caller, priority), sizes))
                    await asyncio.sleep(0)  # a task cancelled before it began would not know of its ticket
                except QueueFullError as full:
                    refused.append(full.retry_after)
            elif kind == "tick":
                for _ in range(rest[0]):
                    await asyncio.sleep(0)
            elif alive:
                call = alive[rest[0] % len(alive)]
                if kind == "cancel":
                    call.task.cancel()
                elif call.done:
                    call.done[-1].set()
            if kind == "tick":
                check()
        # Whoever is left is served to the end: nobody holds up anybody for ever.
        for _ in range(1000):
            if all(call.task.done() for call in calls):
                break
            for call in calls:
                if call.done:
                    call.done[-1].set()
            await asyncio.sleep(0)
        assert all(call.task.done() for call in calls)
        for call in calls:
            assert call.task.cancelled() or len(call.done) == len(call.sizes)
        assert (queue.admitted, queue._running, len(queue._tickets)) == (0, 0, 0)
        assert not any(queue._lines)
        assert all(1 <= seconds <= 600 for seconds in refused)
        assert not queue._held

    asyncio.run(main())


def fill(queue: FairQueue, caller: str, units: int = 1, priority: int = INTERACTIVE) -> list[Ticket]:
    """Admits calls until one is refused."""
    tickets = []
    while True:
        try:
            tickets.append(queue.admit(units, caller, priority))
        except QueueFullError:
            return tickets


def test_alone_a_caller_may_use_everything() -> None:
    assert len(fill(FairQueue(LIMIT, WINDOW), "a")) == LIMIT


@pytest.mark.parametrize("callers", [2, 3, 5])
def test_each_of_k_callers_gets_its_part(callers: int) -> None:
    """One holds everything; as its calls end the others come back, and the hog never gets ahead again."""
    queue = FairQueue(LIMIT, WINDOW)
    hog = fill(queue, "hog")
    others = {f"guest-{number}": 0 for number in range(callers - 1)}
    for caller in others:
        assert fill(queue, caller) == []
    for _ in range(4 * LIMIT):
        hog.pop().release()
        hog += fill(queue, "hog")  # it tries first, every time
        for caller in others:
            others[caller] += len(fill(queue, caller))
        if min(others.values()) >= LIMIT // callers:
            return
    pytest.fail(f"others got {others}")


def test_a_share_is_not_passed_while_others_are_there() -> None:
    queue = FairQueue(LIMIT, WINDOW, caller_share=0.25)
    with queue.admit(1, "other"):
        assert len(fill(queue, "a")) == LIMIT // 4


def test_a_call_larger_than_its_share_gets_its_turn() -> None:
    """Two callers, each with calls larger than half the queue: neither keeps the other out for ever."""
    queue = FairQueue(LIMIT, WINDOW)
    admitted: Counter[str] = Counter()
    inside = queue.admit(20, "a")
    for _ in range(10):
        inside_before = inside
        for caller in ("a", "b"):
            try:
                ticket = queue.admit(20, caller)
            except QueueFullError:
                continue
            admitted[caller] += 1
            inside = ticket
        if inside is inside_before:
            inside.release()
    assert min(admitted["a"], admitted["b"]) >= 2


def test_batch_work_of_a_caller_leaves_its_own_calls_room() -> None:
    queue = FairQueue(LIMIT, WINDOW)
    batch = fill(queue, "a", priority=BATCH)
    assert fill(queue, "a") == []
    for ticket in batch[: LIMIT // 2]:
        ticket.release()
    assert fill(queue, "a", priority=BATCH) == []
    assert len(fill(queue, "a")) == LIMIT // 2


def test_retry_after_is_that_of_the_callers_own_position() -> None:
    queue = FairQueue(LIMIT, WINDOW)
    queue.seconds_per_unit = 10
    fill(queue, "hog")

    def refused(caller: str, units: int) -> int:
        with pytest.raises(QueueFullError) as full:
            queue.admit(units, caller)
        return full.value.retry_after

    assert refused("guest", 1) == 10  # the next place
    assert refused("guest", 8) == 80
    for ticket in list(queue._tickets)[:12]:
        ticket.release(done=False)
    guest = queue.admit(4, "guest")
    # Of its own 12, one has to leave, and the guest is served as much meanwhile.
    assert refused("hog", 1) == 20
    guest.release()


async def order_of(queue: FairQueue, waiting: list[tuple[str, str, int, int]]) -> list[str]:
    """Names in the order in which they start, each being done before the next may."""
    order: list[str] = []

    async def run(name: str, caller: str, units: int, priority: int) -> None:
        await queue.start(units, caller, priority)
        order.append(name)
        await asyncio.sleep(0)
        queue.finish(units)

    await queue.start(queue.window)
    tasks = [asyncio.ensure_future(run(*entry)) for entry in waiting]
    await asyncio.sleep(0)
    queue.finish(queue.window)
    await asyncio.gather(*tasks)
    return order


def test_interactive_runs_before_batch_and_batch_keeps_its_share() -> None:
    entries = [(f"batch-{n}", "a", 1, BATCH) for n in range(20)]
    entries += [(f"call-{n}", "a", 1, INTERACTIVE) for n in range(20)]
    order = asyncio.run(order_of(FairQueue(100, 1, batch_share=0.2), entries))
    both = order[: order.index("call-19")]
    assert order[0] == "call-0"
    for end in range(len(both)):
        batch = sum(name.startswith("batch") for name in both[:end])
        assert abs(batch - 0.2 * end) <= 1
    assert len(order) == 40


def test_callers_take_turns() -> None:
    entries = [(f"hog-{n}", "hog", 1, INTERACTIVE) for n in range(30)]
    entries += [(f"guest-{n}", "guest", 1, INTERACTIVE) for n in range(5)]
    order = asyncio.run(order_of(FairQueue(100, 1), entries))
    assert max(order.index(f"guest-{n}") for n in range(5)) <= 10
