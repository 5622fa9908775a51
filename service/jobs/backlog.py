"""What waits to be done, as gateways and workers show it to whoever scales workers."""

from __future__ import annotations

from service.jobs.item_store import ItemStore
from service.telemetry.jobs import Backlog


def backlog_of(items: ItemStore) -> list[Backlog]:
    """The work that waits, by operation. Blocks.

    Args:
        items: Of the database.

    Raises:
        DatabaseAwayError: It is away.
    """
    return [
        Backlog(
            found.operation,
            found.pending - found.running,
            found.running,
            found.oldest_seconds if found.pending > found.running else 0.0,
        )
        for found in items.backlog()
    ]
