"""What a worker writes about its items, many items at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import structlog

from service.jobs.database import DatabaseAwayError
from service.jobs.item_store import Claim, ItemStore
from service.jobs.records import Finished

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 0.5
# What comes within this time is written together: fewer transactions, while other items are computed.
_GATHER_SECONDS = 0.01


class Ledger:
    """Collects what items have to say while one transaction is written, and writes it with the next.

    A transaction costs about as much for sixteen items as for one, and waits for the disk once. While the
    database is away everything waits here; nothing is lost, since items begin and end only once it is
    written.
    """

    def __init__(self, items: ItemStore, worker: str) -> None:
        """Empty.

        Args:
            items: Where it is written.
            worker: Whose items they are.
        """
        self._items = items
        self.worker = worker
        self._claims: list[tuple[Claim, asyncio.Future[bool]]] = []
        self._ends: dict[int, list[tuple[Finished, asyncio.Future[bool]]]] = defaultdict(list)
        self._something = asyncio.Event()

    async def claim(self, claims: Sequence[Claim]) -> list[bool]:
        """Notes that attempts begin, and returns when that is written.

        Returns:
            Whether each began; not if its item is somebody else's by now.
        """
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[bool]] = [loop.create_future() for _ in claims]
        self._claims += zip(claims, futures, strict=True)
        self._something.set()
        return await asyncio.gather(*futures)

    async def finish(self, job: int, end: Finished) -> bool:
        """Notes how an attempt ended, and returns when that is written.

        Args:
            job: Key of the job.
            end: How it ended.

        Returns:
            Whether it counted; not if the item meanwhile became somebody else's.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ends[job].append((end, future))
        self._something.set()
        return await future

    async def write(self) -> None:
        """Writes until it is cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            await asyncio.sleep(_GATHER_SECONDS)
            claims, self._claims = self._claims, []
            ends, self._ends = self._ends, defaultdict(list)
            claims = [entry for entry in claims if not entry[1].done()]  # some were stopped meanwhile
            if claims or ends:
                await self._record(claims, ends)

    async def _record(
        self,
        claims: list[tuple[Claim, asyncio.Future[bool]]],
        ends: dict[int, list[tuple[Finished, asyncio.Future[bool]]]],
    ) -> None:
        wanted = [claim for claim, _ in claims]
        ended = {job: [end for end, _ in of_job] for job, of_job in ends.items()}
        while True:
            try:
                begun, accepted = await asyncio.to_thread(self._items.record, wanted, ended, self.worker)
                break
            except DatabaseAwayError as error:
                log.warning("the database is away", reason=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
        for claim, future in claims:
            if not future.done():
                future.set_result(claim in begun)
        for job, of_job in ends.items():
            for end, future in of_job:
                if not future.done():
                    future.set_result(end.n in accepted[job])
