"""Many images sent to the server, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.asking import sentence
from service.cli.inputs import Planned

if TYPE_CHECKING:
    from service.client import AsyncClient, File

# A batch has time: an overloaded or restarting server is waited for longer than by somebody who looks on.
_RETRY_SECONDS = 120.0
# Problems of the key, the model or the server: the next image would meet them too.
_OF_EVERY_IMAGE = frozenset((401, 403, 404, 429, 503))

Send = Callable[["AsyncClient", Path], Awaitable["File"]]
"""Sends one image and returns the result."""


@dataclass
class Outcome:
    """How a batch went.

    Attributes:
        written: Results on disk.
        failed: Images that the server refused, or that could not be read.
        stopped: Why no more were tried; None if all were.
    """

    written: list[Path] = field(default_factory=list)
    failed: list[Path] = field(default_factory=list)
    stopped: str | None = None


class _StopError(Exception):
    """Nothing more is to be tried."""


async def run(
    url: str,
    planned: Sequence[Planned],
    send: Send,
    jobs: int,
    outcome: Outcome,
    on_failure: Callable[[str], None],
    on_done: Callable[[], None],
) -> None:
    """Sends all images; one that fails does not keep the others back.

    Args:
        url: Of the gateway.
        planned: What is sent, and where results go.
        send: How.
        jobs: How many are under way at a time.
        outcome: Kept up to date, so that it is right even when this is cancelled. Results are written whole.
        on_failure: Told one line for each image that failed.
        on_done: Called after each image.
    """
    from service.client import AsyncClient, ClientError, ProblemError

    async def one(client: AsyncClient, item: Planned) -> None:
        try:
            result = await send(client, item.source)
        except OSError as error:
            outcome.failed.append(item.source)
            on_failure(f"{_shown(item.source)}: {error.strerror or error}.")
        except ClientError as error:
            if not isinstance(error, ProblemError) or error.status in _OF_EVERY_IMAGE:
                raise _StopError(sentence(url, error)) from error
            outcome.failed.append(item.source)
            on_failure(f"{_shown(item.source)}: {sentence(url, error)}")
        else:
            try:
                # In a thread, where Ctrl-C does not reach it.
                await asyncio.to_thread(_write, result, item.output, outcome)
            except OSError as error:
                raise _StopError(f"Cannot write {item.output}: {error.strerror or error}.") from error
        on_done()

    async def work(client: AsyncClient, items: Iterator[Planned]) -> None:
        for item in items:
            await one(client, item)

    async with AsyncClient(url, retry_seconds=_RETRY_SECONDS) as client:
        items = iter(planned)
        workers = [asyncio.ensure_future(work(client, items)) for _ in range(min(jobs, len(planned)))]
        try:
            await asyncio.gather(*workers)
        except _StopError as error:
            outcome.stopped = str(error)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


def _shown(path: Path) -> Path:
    """As somebody would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _write(result: File, path: Path, outcome: Outcome) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    result.save(path)
    outcome.written.append(path)
