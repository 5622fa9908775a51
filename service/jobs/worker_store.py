"""Workers in the database: who is there, and who has not been heard of."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.tables import WORKERS

_FORGOTTEN_AFTER_SECONDS: Final = 86_400


@dataclass(frozen=True)
class Worker:
    """A worker, or one that was.

    Attributes:
        id: Its name.
        host: Where it runs.
        pid: Its process there.
        concurrency: Items it does at a time.
        state: `running`, `draining`, `stopped` or `lost`.
        seen_seconds: Since it was last heard of.
    """

    id: str
    host: str
    pid: int
    concurrency: int
    state: str
    seen_seconds: float


class WorkerStore:
    """Heartbeats; every call is one transaction, and blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: str, concurrency: int) -> None:
        """A worker begins.

        Args:
            worker: Its name.
            concurrency: Items it does at a time.
        """

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.id == worker))
            connection.execute(
                sa.insert(WORKERS).values(
                    id=worker,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    concurrency=concurrency,
                    state="running",
                    started_at=self._database.now,
                    seen_at=self._database.now,
                )
            )

        self._database.run(work)

    def beat(self, worker: str, state: str, patience: float) -> bool:
        """A worker is still there.

        Args:
            worker: Its name.
            state: `running`, `draining` or `stopped`.
            patience: For how long the database may be away.

        Returns:
            Whether others still think so, too; one that was given up has lost its work to them.

        Raises:
            DatabaseAwayError: It was away for longer.
        """
        query = (
            sa.update(WORKERS)
            .where(WORKERS.c.id == worker, WORKERS.c.state != "lost")
            .values(seen_at=self._database.now, state=state)
        )
        return bool(
            self._database.run(lambda connection: connection.execute(query).rowcount, patience=patience)
        )

    def give_up(self, lease: float) -> list[str]:
        """Gives up workers that were not heard of, and forgets those of yesterday.

        Args:
            lease: Seconds of silence after which a worker is lost.

        Returns:
            All that are lost or have stopped; what they left pending is to be done by others. One that is
            returned again and again left nothing.
        """

        def work(connection: sa.Connection) -> list[str]:
            silent = self._database.now - WORKERS.c.seen_at
            connection.execute(
                sa.update(WORKERS)
                .where(WORKERS.c.state.in_(["running", "draining"]), silent > int(lease * 1000))
                .values(state="lost")
            )
            connection.execute(
                sa.delete(WORKERS).where(
                    WORKERS.c.state.in_(["lost", "stopped"]), silent > _FORGOTTEN_AFTER_SECONDS * 1000
                )
            )
            query = sa.select(WORKERS.c.id).where(WORKERS.c.state.in_(["lost", "stopped"]))
            return list(connection.execute(query).scalars())

        return self._database.run(work)

    def all(self) -> list[Worker]:
        """Every worker that is known, the newest first."""
        seen = (self._database.now - WORKERS.c.seen_at).label("silent")
        query = sa.select(WORKERS, seen).order_by(WORKERS.c.started_at.desc())
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [
            Worker(row["id"], row["host"], row["pid"], row["concurrency"], row["state"], row["silent"] / 1000)
            for row in rows
        ]

    def concurrency(self) -> int:
        """Items that all workers together do at a time."""
        query = sa.select(sa.func.coalesce(sa.func.sum(WORKERS.c.concurrency), 0)).where(
            WORKERS.c.state == "running"
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))
