"""Jobs as a gateway has them: asked for in threads of their own, while the database comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from types import TracebackType
from typing import Final, TypeVar

import sqlalchemy as sa
import structlog
from typing_extensions import Self

from service.jobs.database import DatabaseAwayError, DatabaseSetupError
from service.jobs.item_store import ItemStore
from service.jobs.job_store import JobStore
from service.jobs.setup import check_artifacts, open_database, open_places
from service.jobs.storage import StorageError
from service.jobs.upload_store import UploadStore
from service.jobs.worker_store import WorkerStore
from service.jobs.workflows import WorkflowClient
from service.settings import Settings

log = structlog.get_logger(__name__)

_THREADS: Final = 8
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_START_SECONDS: Final = 5.0
# After a call that waited in vain, so that those that wait for its thread do not each wait as long.
_AWAY_SECONDS: Final = 1.0

Result = TypeVar("Result")


class JobDesk:
    """The database and the files of jobs. As a context manager it sees to the tables, until they are there.

    Attributes:
        jobs: Whole jobs.
        items: Their items.
        workers: Who does them.
        uploads: Files that are being sent.
        places: Where files are.
        workflows: Queues jobs.
    """

    def __init__(self, settings: Settings) -> None:
        """Wires the parts; nothing is asked of database and storage.

        Args:
            settings: Where they are.

        Raises:
            DatabaseSetupError: The URL of the database is that of something else.
            StorageUrlError: The URL of the artifacts is that of something else.
            StorageError: The environment has settings for S3 that cannot be.
        """
        self._database = open_database(settings)
        self.places = open_places(settings)
        self.jobs = JobStore(self._database)
        self.items = ItemStore(self._database)
        self.workers = WorkerStore(self._database)
        self.uploads = UploadStore(self._database)
        self.workflows = WorkflowClient(self._database)
        # Others than those in which images are encoded: a database that is away would keep all of them.
        self._threads = ThreadPoolExecutor(_THREADS, "jobs")
        self._migrating: asyncio.Task[None] | None = None
        self._ready = False
        self._tried = asyncio.Event()
        self._away_until = 0.0

    async def __aenter__(self) -> Self:
        self._migrating = asyncio.create_task(self._migrate())
        # So that a gateway that says it is ready takes jobs, too, unless the database keeps it from that.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._tried.wait(), _START_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._migrating is not None:
            self._migrating.cancel()
            await asyncio.gather(self._migrating, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.workflows.close()
        self._database.close()

    async def ask(self, call: Callable[[], Result]) -> Result:
        """Makes a call of one of the stores, which block.

        Args:
            call: What to do.

        Returns:
            What it returned.

        Raises:
            DatabaseAwayError: The database is away, or has no tables yet.
        """
        if not self._ready:
            raise DatabaseAwayError("the tables of jobs are not there yet")
        if monotonic() < self._away_until:
            raise DatabaseAwayError("the database did not answer a moment ago")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (DatabaseAwayError, sa.exc.OperationalError) as error:
            self._away_until = monotonic() + _AWAY_SECONDS
            log.warning("the database of jobs is away", reason=str(error)[:300])
            if isinstance(error, DatabaseAwayError):
                raise
            raise DatabaseAwayError(str(error)) from error

    async def _migrate(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._database.migrate)
            except (DatabaseAwayError, DatabaseSetupError) as error:
                log.warning("no jobs are taken: the database cannot be used", reason=str(error))
            except Exception:
                log.exception("no jobs are taken: the tables cannot be made")
            else:
                self._ready = True
                self._tried.set()
                break
            self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            await check_artifacts(self.places.artifacts)
        except StorageError as error:
            log.warning("no files are taken for jobs", reason=error.reason)
