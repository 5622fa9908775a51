"""How long the windows of rules are: as operators want them, or shortened so that a test need not wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Clock:
    """Durations in the form of Prometheus.

    Attributes:
        scale: What every duration is multiplied by.
        shortest: No window is shorter, in seconds: a rate needs two samples.
    """

    scale: float = 1.0
    shortest: int = 5

    def __call__(self, duration: str) -> str:
        """A duration by this clock.

        Args:
            duration: Such as `30m`.

        Returns:
            As it is, or in seconds if time is scaled.
        """
        if self.scale == 1.0:
            return duration
        seconds = int(duration[:-1]) * _SECONDS[duration[-1]] * self.scale
        return f"{max(self.shortest, round(seconds))}s"

    def hold(self, duration: str) -> str:
        """How long something has to last before it is an alert; may be nothing, unlike a window."""
        if self.scale == 1.0:
            return duration
        return f"{round(int(duration[:-1]) * _SECONDS[duration[-1]] * self.scale)}s"
