import asyncio
import socket
import time

import pytest
from limits import parse

from service import rates
from service.rates import MemoryWindows, RateLimiter, StorageAwayError, StorageSettingError, checked_rate


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(rates.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(rates.time, "time", lambda: self.now + 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def hit(limiter: RateLimiter, rate: str = "3/minute", holder: str = "a") -> rates.Verdict:
    return asyncio.run(limiter.hit(parse(rate), holder))


def test_no_window_ever_holds_more(clock: Clock) -> None:
    limiter = RateLimiter()
    for second, remaining in ((0, 2), (10, 1), (50, 0)):
        clock.now = 1000 + second
        verdict = hit(limiter)
        assert (verdict.allowed, verdict.remaining) == (True, remaining)
    clock.now = 1055
    refused = hit(limiter)
    assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 0, 5)
    clock.now = 1059.9
    assert hit(limiter).retry_after == 1  # never 0, which would ask to come at once
    clock.now = 1060
    assert hit(limiter).allowed  # the first has left; a window that starts anew would take three
    assert not hit(limiter).allowed
    assert hit(limiter).retry_after == 10


def test_the_time_told_is_exactly_when_the_next_call_is_let_in(clock: Clock) -> None:
    limiter = RateLimiter()
    for step in range(40):
        clock.now += 0.37 * (step % 7)
        if not (verdict := hit(limiter, "4/10 seconds")).allowed:
            clock.now += verdict.reset - 0.001
            assert not hit(limiter, "4/10 seconds").allowed
            clock.now += 0.002
            assert hit(limiter, "4/10 seconds").allowed


def test_holders_are_counted_apart(clock: Clock) -> None:
    limiter = RateLimiter()
    assert hit(limiter, "1/minute", "a").allowed
    assert hit(limiter, "1/minute", "b").allowed
    assert not hit(limiter, "1/minute", "a").allowed


def test_memory_forgets_those_who_stay_away(clock: Clock) -> None:
    async def visit() -> int:
        windows = MemoryWindows()
        await windows.acquire_entry("long", 5, 3600)
        for number in range(500):
            await windows.acquire_entry(f"visitor-{number}", 5, 60)
        clock.now += 120
        for _ in range(100):
            await windows.acquire_entry("me", 1000, 60)
        return len(windows._windows)

    assert asyncio.run(visit()) == 2  # me, and the one with the long window


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(rates, "_MAX_WINDOWS", 50)

    async def visit() -> int:
        windows = MemoryWindows()
        for number in range(500):
            await windows.acquire_entry(f"visitor-{number}", 5, 60)
        return len(windows._windows)

    assert asyncio.run(visit()) == 50


@pytest.mark.parametrize("text", ["100/minute", "5 per second", "1000/2 hours", "1/day"])
def test_rates(text: str) -> None:
    assert checked_rate(text) == text


@pytest.mark.parametrize("text", ["", "fast", "0/minute", "-1/minute", "1000000/day", "1"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="a rate"):
        checked_rate(text)


@pytest.mark.parametrize("url", ["memcached://localhost", "localhost:6379", "redis:/x"])
def test_a_storage_that_is_none(url: str) -> None:
    with pytest.raises(StorageSettingError, match="GANSERVE_RATE_LIMIT_STORAGE"):
        RateLimiter(url)


@pytest.mark.parametrize("silent", [True, False])
def test_a_redis_that_is_away_is_not_waited_for(silent: bool) -> None:
    """Neither where nothing listens, nor where something listens and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"redis://:pass-word@127.0.0.1:{listener.getsockname()[1]}"
        if silent:
            listener.listen()

        async def calls(fallback: str) -> float:
            limiter = RateLimiter(url, timeout=0.6, fallback=fallback)
            started = time.monotonic()
            for allowed in (True, True, False):  # counted here meanwhile
                if fallback == "local":
                    assert (await limiter.hit(parse("2/minute"), "a")).allowed == allowed
                else:
                    with pytest.raises(StorageAwayError):
                        await limiter.hit(parse("2/minute"), "a")
            await limiter.close()
            return time.monotonic() - started

        for fallback in ("local", "refuse"):
            assert asyncio.run(calls(fallback)) < 1.1  # one wait, not three
