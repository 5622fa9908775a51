"""What waits to be done and who does it, as gateways and workers show it to whoever watches and scales."""

from __future__ import annotations

from service.jobs.item_store import ItemStore
from service.jobs.worker_store import WorkerStore
from service.telemetry.jobs import Backlog, Standing


def standing_of(items: ItemStore, workers: WorkerStore, lease: float) -> Standing:
    """The work that waits, by operation, and the workers. Blocks.

    Args:
        items: Of the database.
        workers: Of the same.
        lease: Seconds of silence after which a worker counts as lost.

    Raises:
        DatabaseAwayError: It is away.
    """
    backlogs = [
        Backlog(
            found.operation,
            found.pending - found.running,
            found.running,
            found.oldest_seconds if found.pending > found.running else 0.0,
            found.jobs,
            found.unlisted,
            found.stalled_seconds,
        )
        for found in items.backlog()
    ]
    return Standing(backlogs, workers.workforce(lease))
