"""Several pieces of work at once: all of them or none, in order with a bounded lead, or in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

Result = TypeVar("Result")

_abandoned: ContextVar[threading.Event | None] = ContextVar("abandoned", default=None)


class AbandonedError(Exception):
    """Nobody waits for this work any more."""


async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs work in a thread. A thread cannot be cancelled, but work that asks can end early.

    Args:
        work: Calls `stop_if_abandoned` now and then, as between two images.
        arguments: Its arguments.

    Returns:
        What it returned.
    """
    abandoned = threading.Event()
    token = _abandoned.set(abandoned)  # the thread gets a copy of this context
    try:
        return await asyncio.to_thread(work, *arguments)
    except asyncio.CancelledError:
        abandoned.set()
        raise
    finally:
        _abandoned.reset(token)


def stop_if_abandoned() -> None:
    """Ends work in a thread whose caller was cancelled; elsewhere it does nothing.

    Raises:
        AbandonedError: Nobody waits for it.
    """
    abandoned = _abandoned.get()
    if abandoned is not None and abandoned.is_set():
        raise AbandonedError


async def all_or_none(works: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Awaits all of them; when one fails or the caller is cancelled, the others are cancelled as well.

    Args:
        works: One or more coroutines.

    Returns:
        Their results, in order.
    """
    if len(works) == 1:
        return [await works[0]]  # the common case, which needs no task of its own
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()  # raises what the first to fail raised
        return [task.result() for task in tasks]
    finally:
        await _cancel(tasks)


async def in_order(works: Iterable[Coroutine[Any, Any, Result]], ahead: int) -> AsyncGenerator[Result, None]:
    """Results one after the other, with up to `ahead` pieces of work under way.

    Close the generator (`contextlib.aclosing`) when leaving it early: what is under way is cancelled then.

    Args:
        works: Coroutines, drawn only when it is their turn to begin.
        ahead: At least 1.

    Yields:
        The results, in the order of the works.
    """
    under_way: deque[asyncio.Future[Result]] = deque()
    remaining = iter(works)
    try:
        while True:
            while len(under_way) < ahead and (work := next(remaining, None)) is not None:
                under_way.append(asyncio.ensure_future(work))
            if not under_way:
                return
            result = await under_way[0]
            under_way.popleft()
            yield result
    finally:
        await _cancel(under_way)


async def _cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
