"""How often somebody may call: moving windows, counted in memory or in Redis, by the `limits` library.

"100/minute" means: never more than 100 in any 60 seconds. A window that moves tells, unlike one that starts
anew every minute, exactly when the next call will be let in.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MovingWindowSupport, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError, StorageError

MAX_AMOUNT: Final = 100_000  # of one rate: every call of the window is remembered
_MAX_WINDOWS: Final = 100_000
_SWEPT_AT_A_TIME: Final = 8
# After the shared storage failed, how long nobody waits for it again.
_AWAY_SECONDS: Final = 1.0

log = structlog.get_logger("ganserve.rates")


class StorageAwayError(Exception):
    """Rates are counted in a shared storage, it does not answer, and no other count is to stand in for it."""


class StorageSettingError(Exception):
    """The shared storage cannot be used as it is set; the message says why, without the URL's password."""


@dataclass(frozen=True)
class Verdict:
    """What became of one call.

    Attributes:
        allowed: Whether it may go on.
        limit: Calls that any window may hold.
        window: Length of the window in seconds.
        remaining: Calls that this window still takes.
        reset: Seconds until a call leaves the window, and so another one may come.
    """

    allowed: bool
    limit: int
    window: int
    remaining: int
    reset: float

    @property
    def retry_after(self) -> int:
        """Whole seconds after which a call will be let in."""
        return max(1, math.ceil(self.reset))


def checked_rate(text: str) -> str:
    """Checks a rate in the notation of `limits`, such as `100/minute`, `5 per second` or `1000/2 hours`.

    Args:
        text: The rate.

    Returns:
        The text, as it was.

    Raises:
        ValueError: If it is not such a rate, or is one of zero calls or of too many.
    """
    try:
        item = parse(text)
    except ValueError:
        raise ValueError("a rate is written as 100/minute, 5 per second or 1000/2 hours") from None
    if not 1 <= item.amount <= MAX_AMOUNT or item.get_expiry() < 1:
        raise ValueError(f"a rate allows 1 to {MAX_AMOUNT} calls")
    return text


class MemoryWindows(Storage, MovingWindowSupport):
    """Moving windows in the memory of this process, for `limits`.

    The library's own starts a task and a thread at every call in order to forget. Here each call forgets what
    has left its own window and looks at a few others, so its cost does not grow with the number of callers.
    """

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._windows: OrderedDict[str, tuple[int, deque[float]]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """None that memory could raise."""
        return ()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts `amount` calls unless the window of `expiry` seconds would then hold more than `limit`."""
        now = time.monotonic()
        self._forget(now)
        entries = self._window(key, expiry, now)
        if len(entries) + amount > limit:
            return False
        entries.extend([now] * amount)
        self._windows[key] = (expiry, entries)
        self._windows.move_to_end(key)
        if len(self._windows) > _MAX_WINDOWS:
            self._windows.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest call of the window was, as `time.time` has it, and how many there are."""
        now = time.monotonic()
        entries = self._window(key, expiry, now)
        return time.time() - (now - entries[0] if entries else 0), len(entries)

    async def clear(self, key: str) -> None:
        """Forgets one window."""
        self._windows.pop(key, None)

    async def reset(self) -> int:
        """Forgets all windows; returns how many there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def check(self) -> bool:
        """Memory is always there."""
        return True

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Part of every storage, for fixed windows, which nobody here uses."""
        raise TypeError("this storage keeps moving windows only")

    async def get(self, key: str) -> int:
        """As `incr`."""
        raise TypeError("this storage keeps moving windows only")

    async def get_expiry(self, key: str) -> float:
        """As `incr`."""
        raise TypeError("this storage keeps moving windows only")

    def _window(self, key: str, expiry: int, now: float) -> deque[float]:
        _, entries = self._windows.get(key, (expiry, deque[float]()))
        while entries and entries[0] <= now - expiry:
            entries.popleft()
        return entries

    def _forget(self, now: float) -> None:
        """Drops windows whose last call is too long ago, those first that were used least lately."""
        for _ in range(min(_SWEPT_AT_A_TIME, len(self._windows))):
            key, (expiry, entries) = next(iter(self._windows.items()))
            if entries and entries[-1] > now - expiry:
                # One of a long window must not keep all those behind it.
                self._windows.move_to_end(key)
            else:
                del self._windows[key]


class RateLimiter:
    """Counts calls where the settings say, and knows what to do while that place is away."""

    def __init__(
        self,
        storage: str = "memory",
        *,
        timeout: float = 0.25,
        fallback: Literal["local", "refuse"] = "local",
    ) -> None:
        """Connects lazily.

        Args:
            storage: `memory`, or the URL of a Redis: `redis://`, `rediss://` or `redis+unix://`.
            timeout: Longest wait for Redis at one call, in seconds.
            fallback: While Redis is away: `local` counts in this process, `refuse` refuses.

        Raises:
            StorageSettingError: The URL is none of those, or the Redis client is not installed.
        """
        self._local = MovingWindowRateLimiter(MemoryWindows())
        self._timeout = timeout
        self._fallback = fallback
        self._away_until = -math.inf
        self._is_away = False
        self._storage = None if storage in ("memory", "memory://") else _redis(storage, timeout)
        self._shared = None if self._storage is None else MovingWindowRateLimiter(self._storage)

    async def hit(self, rate: RateLimitItem, holder: str) -> Verdict:
        """Counts one call.

        Args:
            rate: How often the holder may call.
            holder: Whose calls are counted together.

        Returns:
            Whether the call may go on, and how much is left.

        Raises:
            StorageAwayError: Redis does not answer, and `fallback` is `refuse`.
        """
        if self._shared is None:
            return await _hit(self._local, rate, holder)
        if time.monotonic() >= self._away_until:
            try:
                verdict = await asyncio.wait_for(_hit(self._shared, rate, holder), self._timeout)
            except (StorageError, OSError, asyncio.TimeoutError) as error:
                self._away_until = time.monotonic() + _AWAY_SECONDS
                if not self._is_away:
                    self._is_away = True
                    log.error("rate limit storage is away", error=type(error).__name__, then=self._fallback)
            else:
                if self._is_away:
                    self._is_away = False
                    log.info("rate limit storage is back")
                return verdict
        if self._fallback == "refuse":
            raise StorageAwayError
        return await _hit(self._local, rate, holder)

    async def close(self) -> None:
        """Closes the connections to Redis."""
        if self._storage is not None:
            await self._storage.bridge.storage.aclose()


async def _hit(limiter: MovingWindowRateLimiter, rate: RateLimitItem, holder: str) -> Verdict:
    allowed = await limiter.hit(rate, holder)
    stats = await limiter.get_window_stats(rate, holder)
    reset = max(0.0, stats.reset_time - time.time())
    return Verdict(allowed, rate.amount, rate.get_expiry(), max(0, stats.remaining), reset)


def _redis(url: str, timeout: float) -> Any:
    scheme = url.partition("://")[0]
    if scheme not in ("redis", "rediss", "redis+unix"):
        raise StorageSettingError(
            "GANSERVE_RATE_LIMIT_STORAGE is memory, or a URL that starts with redis://, rediss:// or redis+unix://."
        )
    try:
        from limits.aio.storage import RedisStorage
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="ganserve",
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # handed on to redis-py, which takes objects
        )
    except (ImportError, ConfigurationError):
        raise StorageSettingError(
            "GANSERVE_RATE_LIMIT_STORAGE names a Redis, and the client for it is not installed: "
            "pip install 'ganserve[redis]'."
        ) from None
    except ValueError:
        raise StorageSettingError(
            "GANSERVE_RATE_LIMIT_STORAGE is not a URL that Redis' client reads."
        ) from None
