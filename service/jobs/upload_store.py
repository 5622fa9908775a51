"""Files that are being sent for a job that is not made yet, so that none is left behind by a dead gateway."""

from __future__ import annotations

import sqlalchemy as sa

from service.jobs.database import Database
from service.jobs.tables import UPLOADS


class UploadStore:
    """Says which uploads are under way; every call is one transaction, and blocks.

    Making the job ends the upload in the same transaction. One that ends otherwise is forgotten once its
    files are deleted, by the gateway or, when nobody has touched it for long, by a worker.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, job_id: str) -> None:
        """Before the first file is stored.

        Args:
            job_id: Under which the files are.
        """

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.id == job_id))
            connection.execute(
                sa.insert(UPLOADS).values(id=job_id, touched_at=self._database.now, abandoned=False)
            )

        self._database.run(work)

    def touch(self, job_id: str) -> bool:
        """Every now and then while files come.

        Returns:
            Whether it is still under way; otherwise its files are being deleted.
        """
        ours = (UPLOADS.c.id == job_id, ~UPLOADS.c.abandoned)
        query = sa.update(UPLOADS).where(*ours).values(touched_at=self._database.now)
        return bool(self._database.run(lambda connection: connection.execute(query).rowcount))

    def forget(self, job_id: str) -> None:
        """After its files were deleted."""
        query = sa.delete(UPLOADS).where(UPLOADS.c.id == job_id)
        self._database.run(lambda connection: connection.execute(query))

    def abandoned(self, grace: float, after: str = "", limit: int = 100) -> list[str]:
        """Uploads that nobody has touched for so many seconds; they can no more become jobs.

        Args:
            grace: Seconds.
            after: Only names that come after this one.
            limit: At most so many.

        Returns:
            Job names under which there may be files, in their order.
        """
        silent = UPLOADS.c.touched_at < self._database.now - int(grace * 1000)

        def work(connection: sa.Connection) -> list[str]:
            connection.execute(sa.update(UPLOADS).where(silent).values(abandoned=True))
            query = sa.select(UPLOADS.c.id).where(UPLOADS.c.abandoned, UPLOADS.c.id > after)
            query = query.order_by(UPLOADS.c.id).limit(limit)
            return list(connection.execute(query).scalars())

        return self._database.run(work)
