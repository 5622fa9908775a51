"""What nobody needs any more: jobs whose time is over, and files that belong to no job."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Final

import structlog

from service.jobs.database import DatabaseAwayError
from service.jobs.job_store import JobStore
from service.jobs.places import Places
from service.jobs.storage import StorageError
from service.jobs.upload_store import UploadStore
from service.jobs.workflows import WorkflowClient

log = structlog.get_logger(__name__)

_SMALLEST_INTERVAL: Final = 1.0
# Looking for what killed processes left of objects walks through all folders.
_PARTS_INTERVAL: Final = 3600.0


class Housekeeper:
    """Deletes, in every worker; what two of them delete at a time is deleted once."""

    def __init__(
        self,
        jobs: JobStore,
        uploads: UploadStore,
        places: Places,
        client: WorkflowClient,
        *,
        interval: float,
        grace: float,
    ) -> None:
        """Deletes nothing yet.

        Args:
            jobs: Jobs.
            uploads: Files that are being sent.
            places: Their files.
            client: Their workflows.
            interval: Seconds between two rounds.
            grace: Seconds after which an upload that nobody speaks of is abandoned.
        """
        self._jobs = jobs
        self._uploads = uploads
        self._places = places
        self._client = client
        self._interval = max(interval, _SMALLEST_INTERVAL)
        self._grace = grace

    async def keep(self) -> None:
        """Deletes until it is cancelled."""
        parts = monotonic()
        while True:
            try:
                await self.expired()
                await self.orphans()
                if monotonic() >= parts:
                    await self._places.artifacts.clean_up(self._grace)
                    parts = monotonic() + _PARTS_INTERVAL
            except (DatabaseAwayError, StorageError) as error:
                log.warning("housekeeping is put off", reason=str(error))
            except Exception:
                log.exception("housekeeping failed")
            # Workers that started together do not go on doing this together.
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))  # noqa: S311

    async def expired(self) -> int:
        """Deletes jobs whose time is over: files first, so that what remains after a crash is found again.

        Returns:
            How many.
        """
        deleted = after = 0
        while found := await asyncio.to_thread(self._jobs.expired, after):
            for key, job_id in found:
                after = key
                if (files := await self._files_deleted(job_id)) is None:
                    continue
                await self._client.forget_all(job_id)
                await asyncio.to_thread(self._jobs.delete, key)
                log.info("job deleted", job=job_id, files=files)
                deleted += 1
        return deleted

    async def orphans(self) -> int:
        """Deletes files that were sent for jobs that were never made, as when the gateway died meanwhile.

        Returns:
            Of how many jobs.
        """
        deleted, after = 0, ""
        while found := await asyncio.to_thread(self._uploads.abandoned, self._grace, after):
            for job_id in found:
                after = job_id
                if (files := await self._files_deleted(job_id)) is None:
                    continue
                await asyncio.to_thread(self._uploads.forget, job_id)
                log.info("upload without job deleted", job=job_id, files=files)
                deleted += 1
        return deleted

    async def _files_deleted(self, job_id: str) -> int | None:
        """How many files were deleted; None if not all could be, which holds up no other job."""
        try:
            return await self._places.delete(job_id)
        except StorageError as error:
            log.warning("files of a job cannot be deleted", job=job_id, reason=error.reason)
            return None
