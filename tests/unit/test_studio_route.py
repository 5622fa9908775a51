"""Where the studio is served, and where not."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from service.app import create_app
from service.settings import Settings


@pytest.mark.parametrize(("wanted", "status"), [(True, 200), (False, 404)])
def test_the_studio_is_there_where_it_is_wanted(wanted: bool, status: int) -> None:
    async def statuses() -> set[int]:
        transport = httpx.ASGITransport(create_app(Settings(studio=wanted)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return {(await client.get(path)).status_code for path in ("/", "/studio/main.js")}

    assert asyncio.run(statuses()) == {status}
