"""What is encoded in a thread for a client that has left ends early."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.api.answers import rendering
from service.api.answers.rendering import Picture, render_json, render_zip
from service.concurrency import AbandonedError, in_thread, stop_if_abandoned
from service.images import animation
from service.images.animation import encode_animation
from service.images.apng import encode_apng
from service.images.comparison import compare
from service.images.encode import encode
from service.images.metadata import read_metadata

PIXELS = np.zeros((32, 32, 3), np.uint8)


async def abandoned_after(steps: int, work: Callable[[Callable[[], None]], Any]) -> tuple[int, bool]:
    """Runs work whose steps call what it is given, and leaves at one of them.

    Returns:
        How many steps it made, and whether it ended since nobody waited.
    """
    made, early = 0, False
    reached, left, ended = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        nonlocal made
        made += 1
        if made == steps:
            reached.set()
            assert left.wait(5)

    def run() -> None:
        nonlocal early
        try:
            work(step)
        except AbandonedError:
            early = True
        finally:
            ended.set()

    running = asyncio.ensure_future(in_thread(run))
    assert await asyncio.to_thread(reached.wait, 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left.set()
    assert await asyncio.to_thread(ended.wait, 5)
    return made, early


class Model:
    name = "toy"
    digest = "0" * 64


@pytest.mark.parametrize("render", [render_zip, render_json])
def test_files_of_an_answer(render: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def work(step: Callable[[], None]) -> None:
        def counted(*arguments: Any, **options: Any) -> bytes:
            step()
            return encode(*arguments, **options)

        monkeypatch.setattr(rendering, "encode", counted)
        render(Model, [Picture(PIXELS, str(index), {}) for index in range(50)], "png", None)

    assert asyncio.run(abandoned_after(3, work)) == (3, True)


class Frames(list[np.ndarray]):
    """Frames that tell when one is looked at in turn."""

    step: Callable[[], None]

    def __iter__(self) -> Any:
        for frame in super().__iter__():
            self.step()
            yield frame


@pytest.mark.parametrize("kind", ["apng", "gif", "mp4"])
def test_frames_of_an_animation(kind: Any) -> None:
    if kind not in animation.available_formats():
        kind = "apng"

    def work(step: Callable[[], None]) -> None:
        frames = Frames([PIXELS] * 50)
        frames.step = step
        encode_animation(frames, kind, 10, loop=True, recipe={})

    assert asyncio.run(abandoned_after(4, work)) == (4, True)


def test_nothing_changes_for_work_that_somebody_waits_for() -> None:
    async def scenario() -> None:
        assert await in_thread(lambda a, b: (stop_if_abandoned(), a + b)[1], 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)
        await asyncio.to_thread(stop_if_abandoned)  # of work of its own

    asyncio.run(scenario())
    stop_if_abandoned()
    assert encode_apng([PIXELS, PIXELS], 10, loop=True, texts=())
    file = encode(PIXELS, "jpeg", {}, 50)
    assert compare(PIXELS, PIXELS, file, read_metadata(file)).match == "exact"


def test_threads_are_few() -> None:
    """What the README says of Python's own pool."""
    most, running, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1

    async def scenario() -> None:
        await asyncio.gather(*(in_thread(work) for _ in range(100)))

    asyncio.run(scenario())
    assert most <= 32
