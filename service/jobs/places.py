"""Where the files of jobs are: what an item is read from, and where its output goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from service.api.errors.problems import ProblemError
from service.jobs.allowed import NotAllowedError, area_below
from service.jobs.archives import read_entry
from service.jobs.produced import Produced
from service.jobs.records import Item, Job, StoredObject, UploadedFile, ZipEntry
from service.jobs.storage import DEFAULT_TIMEOUT_SECONDS, Area, ObjectTooLargeError, StorageError
from service.jobs.zip_records import EntryError
from service.jobs.zip_records import ZipEntry as ArchiveEntry

log = structlog.get_logger(__name__)

INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"

_SMALL: Final = 1 << 20

_AREAS_KEPT: Final = 256


class Places:
    """Files of jobs: a folder of artifacts for each, prefixes that the operator allowed, destinations.

    | below `<artifacts>/<job>/` | what |
    |---|---|
    | `inputs/…` | files and archives that were sent |
    | `outputs/…` | what was made, unless the job names a destination |
    """

    def __init__(
        self,
        artifacts: Area,
        max_input_bytes: int,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Opens nothing yet.

        Args:
            artifacts: The area of all jobs' artifacts.
            max_input_bytes: Largest image file.
            inputs: URLs below which jobs may read.
            outputs: URLs below which jobs may write.
            timeout_seconds: Longest wait for one answer of S3.
        """
        self._inputs = inputs
        self._outputs = outputs
        self._timeout = timeout_seconds
        self.artifacts = artifacts
        self.max_input_bytes = max_input_bytes
        self._areas: dict[tuple[str, Sequence[str]], Area] = {}

    def of(self, job_id: str) -> Area:
        """The artifacts of a job."""
        return self.artifacts.below(job_id)

    def outputs(self, job: Job) -> Area:
        """Where the outputs of a job are.

        Raises:
            StorageError: The operator does not allow that place any more.
        """
        if job.spec.destination is not None:
            return self._area(job.spec.destination, self._outputs)
        return self.of(job.id).below(OUTPUTS)

    def area(self, url: str) -> Area:
        """The area that a job reads from; no link in it leads out of what is allowed.

        Raises:
            StorageError: The operator does not allow it any more.
        """
        return self._area(url, self._inputs)

    def _area(self, url: str, allowed: Sequence[str]) -> Area:
        area = self._areas.get((url, allowed))
        if area is None:
            try:
                area = area_below(url, allowed, self._timeout)
            except NotAllowedError as error:
                raise StorageError(str(error), "refused") from None
            if len(self._areas) >= _AREAS_KEPT:
                self._areas.clear()
            self._areas[(url, allowed)] = area
        return area

    async def read(self, job: Job, item: Item) -> bytes:
        """The file of an item.

        Args:
            job: The job.
            item: Not one that is generated.

        Returns:
            All of it.

        Raises:
            ProblemError: It is not there, not what it was said to be, or too large.
            StorageError: Storage is away; the same may succeed later.
        """
        source = item.source
        try:
            if isinstance(source, ZipEntry):
                entry = ArchiveEntry(
                    item.name,
                    source.offset,
                    source.compressed_size,
                    source.size,
                    source.method,
                    source.crc,
                )
                return await read_entry(self.of(job.id), source.object, entry, self.max_input_bytes)
            if isinstance(source, UploadedFile):
                return await self.of(job.id).get(source.object, self.max_input_bytes)
            if isinstance(source, StoredObject):
                return await self.area(source.prefix).get(source.name, self.max_input_bytes)
        except ObjectTooLargeError as error:
            raise ProblemError(
                "input-too-large",
                f"The file has {error.size} bytes; {error.limit} are read at most.",
                limit_bytes=error.limit,
            ) from None
        except EntryError as error:
            slug = "input-too-large" if error.kind == "too-large" else "input-unreadable"
            raise ProblemError(slug, error.detail) from None
        except StorageError as error:
            if error.retryable:
                raise
            raise ProblemError("input-unreadable", error.reason) from None
        raise TypeError(f"nothing is read for {source.kind}")

    async def write(self, job: Job, item: Item, made: Produced) -> int:
        """Stores the output of an item, whole or not at all.

        Args:
            job: The job.
            item: The item.
            made: What was made; stays open.

        Returns:
            Its size in bytes.

        Raises:
            ProblemError: Storage refuses it for good.
            StorageError: Storage is away or full; the same may succeed later.
        """
        made.file.seek(0)
        # One that is small is in memory, and stored in one go; each step of a larger one waits for a thread.
        content = made.file.read() if made.size <= _SMALL else made.file
        try:
            return await self.outputs(job).put(
                item.output_name, content, attributes={"Content-Type": made.media_type}
            )
        except StorageError as error:
            if error.retryable:
                raise
            raise ProblemError("output-refused", error.reason) from None

    async def delete_outputs(self, job: Job, names: Sequence[str]) -> None:
        """Deletes outputs of items that do not count; what cannot be deleted now goes with the job."""
        try:
            await self.outputs(job).delete(names)
        except StorageError as error:
            log.warning("outputs not deleted", job=job.id, count=len(names), reason=error.reason)

    async def delete(self, job_id: str) -> int:
        """Deletes all artifacts of a job.

        Returns:
            How many objects.

        Raises:
            StorageError: If not all could be.
        """
        return await self.of(job_id).delete_all()
