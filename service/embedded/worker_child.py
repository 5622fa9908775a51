"""The worker of `ganserve up`: started once all is ready, and again whenever it has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from service.embedded.child import ChildProcess

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# A worker that ran for so long was sound: the next crash is its first again.
_STEADY_SECONDS = 60.0


async def keep_running(
    start: Callable[[], Awaitable[ChildProcess]],
    forget: Callable[[ChildProcess], None],
    say: Callable[[str], None],
) -> NoReturn:
    """Runs a worker until this is cancelled, which leaves the worker to whoever cancels.

    The end of a worker stops nothing else: batch jobs are kept in the database, and the next worker takes
    them up. Pauses between starts double up to half a minute.

    Args:
        start: Starts one; an OSError says that it cannot be started now.
        forget: Told of one that has ended, and of which nothing is left.
        say: Prints a message.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        began = time.monotonic()
        try:
            worker = await start()
        except OSError as error:
            reason = f"The worker cannot be started: {error.strerror or error}."
        else:
            await asyncio.wait({worker.ended})
            await worker.stop(0)  # what it may have started
            forget(worker)
            reason = f"{worker.name} {worker.how_it_ended()}. {worker.last_output()}"
        if time.monotonic() - began >= _STEADY_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        say(f"{reason}\nStarting it again in {pause:g} s; batch jobs wait, everything else goes on.")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
