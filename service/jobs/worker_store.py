"""Workers in the database: who is there, and who has not been heard of."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.tables import WORKERS
from service.telemetry.jobs import Workforce

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

    def register(self, worker: str, concurrency: int) -> int:
        """A worker begins.

        Args:
            worker: Its name.
            concurrency: Items it does at a time.

        Returns:
            Since when it is there, which tells it from others that take its name later.
        """

        def work(connection: sa.Connection) -> int:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.id == worker))
            since: int = connection.execute(
                sa.insert(WORKERS)
                .values(
                    id=worker,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    concurrency=concurrency,
                    state="running",
                    started_at=self._database.now,
                    seen_at=self._database.now,
                )
                .returning(WORKERS.c.started_at)
            ).scalar_one()
            return since

        return self._database.run(work)

    def beat(self, worker: str, state: str, patience: float, since: int | None = None) -> bool:
        """A worker is still there.

        Args:
            worker: Its name.
            state: `running`, `draining` or `stopped`.
            patience: For how long the database may be away.
            since: What `register` returned; None for whoever has the name.

        Returns:
            Whether others still think so, too; one that was given up has lost its work to them, one whose
            name was taken to the worker that has it.

        Raises:
            DatabaseAwayError: It was away for longer.
        """
        query = (
            sa.update(WORKERS)
            .where(WORKERS.c.id == worker, WORKERS.c.state != "lost")
            .values(seen_at=self._database.now, state=state)
        )
        if since is not None:
            query = query.where(WORKERS.c.started_at == since)
        return bool(
            self._database.run(lambda connection: connection.execute(query).rowcount, patience=patience)
        )

    def holder(self, worker: str) -> Worker | None:
        """Who has a name now; None if nobody has."""
        return next((known for known in self.all() if known.id == worker), None)

    def give_up(self, lease: float) -> list[str]:
        """Gives up workers that were not heard of.

        Args:
            lease: Seconds of silence after which a worker is lost.

        Returns:
            All that are lost or have stopped, and are not forgotten yet; what they left pending is to be done
            by others. One that is returned again and again left nothing.
        """

        def work(connection: sa.Connection) -> list[str]:
            silent = self._database.now - WORKERS.c.seen_at
            connection.execute(
                sa.update(WORKERS)
                .where(WORKERS.c.state.in_(["running", "draining"]), silent > int(lease * 1000))
                .values(state="lost")
            )
            query = sa.select(WORKERS.c.id).where(WORKERS.c.state.in_(["lost", "stopped"]))
            return list(connection.execute(query).scalars())

        return self._database.run(work)

    def forget(self, workers: Sequence[str]) -> None:
        """Forgets workers that are no more and left nothing, but for those of the last day.

        One that was frozen, and goes on after the others gave it up, learns of that from its row.

        Args:
            workers: Some that `give_up` returned.
        """
        if not workers:
            return
        silent = self._database.now - WORKERS.c.seen_at
        query = sa.delete(WORKERS).where(
            WORKERS.c.id.in_(list(workers)),
            WORKERS.c.state.in_(["lost", "stopped"]),
            silent > _FORGOTTEN_AFTER_SECONDS * 1000,
        )
        self._database.run(lambda connection: connection.execute(query))

    def all(self) -> list[Worker]:
        """Every worker that is known, the newest first."""
        seen = (self._database.now - WORKERS.c.seen_at).label("silent")
        query = sa.select(WORKERS, seen).order_by(WORKERS.c.started_at.desc())
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [
            Worker(row["id"], row["host"], row["pid"], row["concurrency"], row["state"], row["silent"] / 1000)
            for row in rows
        ]

    def workforce(self, lease: float) -> Workforce:
        """How many workers there are.

        Args:
            lease: Seconds of silence after which a worker counts as lost, whether or not others have noticed.
        """
        workers = self.all()

        def are(*states: str, silent: bool = False) -> list[Worker]:
            return [w for w in workers if w.state in states and (w.seen_seconds > lease) is silent]

        running = are("running")
        lost = are("running", "draining", silent=True) + [w for w in workers if w.state == "lost"]
        return Workforce(
            running=len(running),
            draining=len(are("draining")),
            lost=sum(worker.seen_seconds < _FORGOTTEN_AFTER_SECONDS for worker in lost),
            concurrency=sum(worker.concurrency for worker in running),
        )

    def concurrency(self) -> int:
        """Items that all workers together do at a time."""
        query = sa.select(sa.func.coalesce(sa.func.sum(WORKERS.c.concurrency), 0)).where(
            WORKERS.c.state == "running"
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))
