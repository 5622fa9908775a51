"""Which models the embedded Triton has loaded, so that a restart loads these and leaves the others alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

_ASK_EVERY_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Loading:
    """Which models Triton has been asked to load, by its own names.

    Attributes:
        wanted: Those that are loaded, and those that could not be.
        left_out: Those that were unloaded, or came into the repository since and were never loaded.
    """

    wanted: tuple[str, ...]
    left_out: tuple[str, ...]


def loading_of(index: Sequence[Mapping[str, Any]]) -> Loading:
    """What a repository index says of that.

    Args:
        index: As Triton answers; an entry a version.

    Returns:
        The names, in order; a model of which any version is wanted is wanted.
    """
    names = sorted({str(entry["name"]) for entry in index})
    wanted = {
        entry["name"]
        for entry in index
        if entry.get("state", "UNLOADING") != "UNLOADING" and entry.get("reason") != "unloaded"
    }
    return Loading(tuple(n for n in names if n in wanted), tuple(n for n in names if n not in wanted))


async def index_of(http: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    """Triton's repository index.

    Args:
        http: Whom to ask with.
        url: Of its HTTP endpoint.

    Returns:
        An entry a version.

    Raises:
        httpx.HTTPError: Triton does not answer.
        ValueError: The answer is not JSON.
    """
    response = await http.post(f"{url}/v2/repository/index")
    index: list[dict[str, Any]] = response.raise_for_status().json()
    return index


async def watched(http: httpx.AsyncClient, url: str) -> AsyncIterator[Loading]:
    """What is loaded, again and again.

    Args:
        http: Whom to ask with.
        url: Of Triton's HTTP endpoint.

    Yields:
        What Triton said, never while it shuts down: it unloads everything then, which nobody asked for.
    """
    while True:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            index = await index_of(http, url)
            if (await http.get(f"{url}/v2/health/ready")).status_code == httpx.codes.OK:
                yield loading_of(index)
        await asyncio.sleep(_ASK_EVERY_SECONDS)
