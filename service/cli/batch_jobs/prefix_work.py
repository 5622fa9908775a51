"""A batch of what the server finds below a prefix: one job, watched or fetched from."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from service.cli.batch_jobs.outcome import Failure
from service.cli.batch_jobs.state import Part
from service.cli.batch_jobs.units import Unit
from service.cli.batch_jobs.work import ANSWER_SECONDS, StoppedError, Work
from service.client import Job, JobItem, ProblemError
from service.jobs.safe_names import UnsafeNameError, safe_name

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Prefix:
    """Images that the server finds by itself.

    Attributes:
        url: Of the prefix.
        pattern: Only those that match.
    """

    url: str
    pattern: str | None


class PrefixWork(Work):
    """Makes images of what the server finds."""

    async def run(self, part: Part, prefix: Prefix, *, retry: bool) -> None:
        """Makes images of what the server finds.

        Args:
            part: Of an earlier run, or new.
            prefix: Where it looks.
            retry: Whether failed images of a job that has ended are tried anew.

        Raises:
            StoppedError: Something keeps all of them from being made.
        """
        await self.until_trouble([self._carry_out_prefix(part, prefix, retry)])

    async def _carry_out_prefix(self, part: Part, prefix: Prefix, retry: bool) -> None:
        if part not in self.state.parts:
            self.state.parts.append(part)
        job = await self._prefix_job(part, prefix)
        self.outcome.jobs.append(job.id)
        if retry and job.ended and (job.counts.failed or job.counts.cancelled):
            job = await self.client.retry_job(job.id)
        before = job.counts.succeeded if self.folder is None else 0
        if self.folder is None:
            job = await self._watch(job)
            self.outcome.kept = before
            self.outcome.made = job.counts.succeeded - before
        else:
            job = await self._fetch_all(part, job)
        async with aclosing(self.client.job_items(job.id, state="failed")) as items:
            async for item in items:
                failure = Failure(item.name, item.problem or {}, job.id, item.n)
                self.outcome.failures.append(failure)
                self.watcher.failed(failure)
        self.outcome.cancelled = job.counts.cancelled
        if job.problem is not None:
            await self.drop(part)
            raise StoppedError(f"The job {job.id} failed: {Failure('', job.problem).reason}.", passes=False)
        part.ended = True
        await self.save()

    async def _prefix_job(self, part: Part, prefix: Prefix) -> Job:
        """The job of an earlier run, if there is one still, or a new one."""
        if part.id is not None:
            try:
                return await self.client.job(part.id)
            except ProblemError as error:
                if error.status not in (404, 410):
                    raise
            if part.ended:
                raise StoppedError(
                    "This batch has ended, and the server has deleted its job since; --overwrite makes all of"
                    " it anew.",
                    passes=False,
                )
            fresh = Part.of(None)
            part.key, part.begun, part.id = fresh.key, fresh.begun, None
        await self.save()
        recipe = self.recipe
        found = prefix.url if prefix.pattern is None else (prefix.url, prefix.pattern)
        try:
            job = await self.client.create_job(
                recipe.operation,
                recipe.model,
                parameters=recipe.parameters,
                prefixes=[found],
                naming=recipe.naming,
                destination=recipe.destination,
                priority=recipe.priority,
                idempotency_key=part.key,
                wait=ANSWER_SECONDS,
            )
        except ProblemError as error:
            await self.forget_if_refused(part, error)
            raise
        part.id = job.id
        await self.save()
        return job

    async def _watch(self, job: Job) -> Job:
        """Waits for the end of a job whose results go elsewhere."""
        while True:
            self.watcher.total(job.counts.total)
            self.watcher.done(job.counts.done)
            if job.ended:
                return job
            await asyncio.sleep(_POLL_SECONDS)
            job = await self.client.job(job.id)

    async def _fetch_all(self, part: Part, job: Job) -> Job:
        """Fetches what a job makes of what it finds."""
        fetching: set[asyncio.Task[None]] = set()
        told: set[int] = set()
        try:
            async with aclosing(self.client.job_events(job.id)) as events:
                async for event in events:
                    if event.job is not None:
                        self.watcher.total(event.job.counts.total)
                    item = event.item
                    if item is None or not item.ended or item.n in told:
                        continue
                    told.add(item.n)
                    if item.output is not None:
                        await self.take(part, _unit_of(item), item, fetching)
                    else:
                        self.settle()
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
        return await self.client.job(job.id)


def _unit_of(item: JobItem) -> Unit:
    """An image that the server found; its name is not to be trusted."""
    assert item.output is not None
    try:
        return Unit(item.name, None, safe_name(item.output.name))
    except UnsafeNameError as error:
        raise StoppedError(f"The server calls a result {item.output.name!r}: {error}.") from error
