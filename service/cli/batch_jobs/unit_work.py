"""A batch of files or seeds: jobs are made of them, followed, and made again where that is of use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Any

from service.cli.batch_jobs.state import Part
from service.cli.batch_jobs.units import Unit, parts
from service.cli.batch_jobs.work import ANSWER_SECONDS, StoppedError, Work
from service.client import Job, JobItem, ProblemError


class UnitWork(Work):
    """Makes images of files or seeds."""

    async def run(
        self, begun: Iterable[tuple[Part, list[Unit | None]]], pending: Sequence[Unit], at_a_time: int
    ) -> None:
        """Makes images of files or seeds.

        Args:
            begun: Jobs of an earlier run, with those of their images that are still wanted.
            pending: Images that are in none of them.
            at_a_time: How many jobs are under way at a time.

        Raises:
            StoppedError: Something keeps all of them from being made.
        """
        new = ((self._part(units), list[Unit | None](units)) for units in parts(pending))
        waiting = chain(begun, new)

        async def work(waiting: Iterator[tuple[Part, list[Unit | None]]]) -> None:
            for part, units in waiting:
                await self._carry_out(part, units)

        await self.until_trouble([work(waiting) for _ in range(at_a_time)])

    def _part(self, units: Sequence[Unit]) -> Part:
        part = Part.of(units)
        self.state.parts.append(part)
        return part

    async def _carry_out(self, part: Part, units: list[Unit | None]) -> None:
        """Sees one job through, in several if the server wants less at a time."""
        if part.id is not None:
            self.outcome.jobs.append(part.id)
        elif not await self._send(part, units):
            return
        try:
            await self._follow(part, units)
        except ProblemError as error:
            if error.status not in (404, 410):
                raise
            # It was deleted, or its time was over; what it had not given is asked for anew.
            await self.drop(part)
            left = [unit for unit in units if unit is not None and not self.state.is_settled(unit)]
            if left:
                await self._carry_out(self._part(left), list(left))

    async def _send(self, part: Part, units: list[Unit | None]) -> bool:
        """Makes the job; False if others were made in its place, or none is left to make."""
        wanted = [unit for unit in units if unit is not None]
        await self.save()
        failed: list[Unit] = []
        pieces: list[list[Unit]] = []
        problem: Mapping[str, Any] = {}
        try:
            job = await self._create(part, wanted)
        except OSError as error:
            failed = [unit for unit in wanted if error.filename in (unit.source, str(unit.source))]
            if not failed:
                raise StoppedError(f"Cannot read the images: {error.strerror or error}.") from error
            problem = {"title": "The file cannot be read", "detail": error.strerror or str(error)}
            pieces = [[unit for unit in wanted if unit not in failed]]
        except ProblemError as error:
            if error.status == 409 and part.key in self.old_keys:
                pieces = [wanted]  # the earlier run had it made otherwise: a new key, then
            elif error.status == 413 and len(wanted) > 1:
                half = len(wanted) // 2
                pieces = [wanted[:half], wanted[half:]]
            elif error.status == 413:
                failed, problem = wanted, error.body
            else:
                await self.forget_if_refused(part, error)
                raise
        else:
            part.id = job.id
            self.outcome.jobs.append(job.id)
            await self.save()
            return True
        await self.drop(part)
        for unit in failed:
            self.fail(unit, problem, None, None)
        for piece in pieces:
            if piece:
                await self._carry_out(self._part(piece), list(piece))
        return False

    async def _create(self, part: Part, units: Sequence[Unit]) -> Job:
        recipe = self.recipe
        files = [(unit.name, unit.source) for unit in units if unit.source is not None]
        seeds = [int(unit.name) for unit in units if unit.source is None]
        consecutive = bool(seeds) and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
        return await self.client.create_job(
            recipe.operation,
            recipe.model,
            parameters=recipe.parameters,
            files=files,
            seeds=None if not seeds else range(seeds[0], seeds[0] + len(seeds)) if consecutive else seeds,
            naming=recipe.naming,
            destination=recipe.destination,
            priority=recipe.priority,
            idempotency_key=part.key,
            wait=ANSWER_SECONDS,
        )

    async def _follow(self, part: Part, units: list[Unit | None]) -> None:
        """Fetches what a job makes, as it is made, and writes down how it went."""
        assert part.id is not None
        told: set[int] = set()
        cancelled: list[Unit] = []
        fetching: set[asyncio.Task[None]] = set()

        async def take(item: JobItem) -> None:
            unit = units[item.n] if item.n < len(units) else None
            if unit is None or item.n in told or not item.ended:
                return
            told.add(item.n)
            if item.state == "succeeded":
                await self.take(part, unit, item, fetching)
            elif item.state == "failed":
                self.fail(unit, item.problem or {}, part.id, item.n)
            else:
                cancelled.append(unit)

        try:
            async with aclosing(self.client.job_events(part.id)) as events:
                async for event in events:
                    if event.item is not None:
                        await take(event.item)
            if len(told) < sum(unit is not None for unit in units):
                async with aclosing(self.client.job_items(part.id)) as items:
                    async for item in items:
                        await take(item)
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
        job = await self.client.job(part.id)
        for n, unit in enumerate(units):
            if unit is not None and n not in told:
                if job.problem is None:
                    cancelled.append(unit)
                else:
                    self.fail(unit, job.problem, part.id, n)
        await self.drop(part)
        if cancelled and part.key in self.old_keys:
            # By an earlier run, or since: this run is asked to make them.
            await self._carry_out(self._part(cancelled), list(cancelled))
        else:
            self.outcome.cancelled += len(cancelled)
            for _ in cancelled:
                self.settle()
