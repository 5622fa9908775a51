"""Listing of a job's sources while storage comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from service.api.errors.problems import ProblemError
from service.jobs import listing
from service.jobs.area import Kind, StorageError, StoredObject
from service.jobs.listing import Lister
from service.jobs.records import PrefixSource


class Flaky:
    """A folder of ten files whose storage fails after each page."""

    def __init__(self, kind: Kind, failures: int) -> None:
        self.kind = kind
        self.failures = failures

    async def list_pages(self, after: str | None = None) -> AsyncGenerator[list[StoredObject], None]:
        start = 0 if after is None else int(after[0]) + 1
        for n in range(start, 10):
            if self.failures:
                self.failures -= 1
                raise StorageError("The storage does not answer", self.kind)
            yield [StoredObject(f"{n}.png", 1, datetime.now(timezone.utc))]


class Jobs:
    """Collects what is listed."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.listed = False

    def cursor(self, job: Any) -> tuple[str, int]:
        return "", 0

    def cancelling(self, keys: list[int]) -> set[int]:
        return set()

    def add_page(self, job: Any, listed: int, items: list[Any], cursor: str, last: bool) -> bool:
        self.names += [item.name for item in items]
        self.listed = last
        return True


def listed(area: Flaky, patience: float) -> Jobs:
    jobs, source = Jobs(), PrefixSource(url="s3://bucket/in")
    places = SimpleNamespace(area=lambda url: SimpleNamespace(list_pages=_one(area)))
    job = SimpleNamespace(id="job_1", key=1, spec=SimpleNamespace(sources=(source,)))
    asyncio.run(Lister(jobs, places, 100, patience).run(job))  # type: ignore[arg-type]  # as much as it asks
    return jobs


def _one(area: Flaky) -> Any:
    return lambda after, page: area.list_pages(after)


def test_storage_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(listing, "_LONGEST_PAUSE", 0.001)
    jobs = listed(Flaky("unavailable", 20), patience=60)
    assert jobs.names == [f"{n}.png" for n in range(10)]
    assert jobs.listed


@pytest.mark.parametrize(
    ("kind", "slug"), [("unavailable", "storage-unavailable"), ("missing", "input-unreadable")]
)
def test_but_not_for_ever(kind: Kind, slug: str) -> None:
    with pytest.raises(ProblemError) as refused:
        listed(Flaky(kind, 1000), patience=0.01)
    assert refused.value.problem.slug == slug
