"""Triton's model processes: one for each model instance, which Triton does not start anew when it crashes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

_POLL_SECONDS = 0.5
_PROC = Path("/proc")
# Fields of /proc/<pid>/stat after the command's name in parentheses.
_STATE, _EXIT_STATUS = 0, 49


async def crash(triton: int) -> str:
    """Waits until a model process has crashed; its model then fails for good while Triton says it is ready.

    A model process that ends when its model is unloaded, or cannot be loaded, is collected by Triton at once.
    One that crashed is not.

    Args:
        triton: Process id of tritonserver.

    Returns:
        The end in words, such as `was killed by SIGKILL`.
    """
    before: set[int] = set()
    while True:
        ended = _ended_children(triton)
        for pid in sorted(before & ended.keys()):
            return _in_words(ended[pid])
        before = set(ended)
        await asyncio.sleep(_POLL_SECONDS)


def _ended_children(parent: int) -> dict[int, int]:
    """Wait status of each child that has ended and was not collected."""
    ended = {}
    for listing in _PROC.glob(f"{parent}/task/*/children"):
        try:
            children = [int(pid) for pid in listing.read_text().split()]
        except OSError:  # the thread has ended
            continue
        for pid in children:
            try:
                fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[_STATE] == "Z":
                ended[pid] = int(fields[_EXIT_STATUS])
    return ended


def _in_words(wait_status: int) -> str:
    number = wait_status & 0x7F
    if number:
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {wait_status >> 8}"
