"""Streams end at their deadline, whatever the client does, and give back what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from service.api.calls.streaming import _ClosingResponse, _Stream
from service.telemetry.records import RequestRecord, attach_record, record_of


async def held(places: list[str]) -> AsyncGenerator[bytes, None]:
    """Holds a place for as long as it is open."""
    places.append("held")
    try:
        while True:
            yield b"event"
    finally:
        places.clear()


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_client_that_stops_reading_loses_its_place_at_the_deadline(spec_version: str) -> None:
    async def scenario() -> None:
        places: list[str] = []
        events = held(places)
        begun = _Stream(None, await anext(events), events)  # type: ignore[arg-type]  # of no model
        response = _ClosingResponse(events, begun, perf_counter() - 0.8)
        scope: dict[str, Any] = {"type": "http", "asgi": {"spec_version": spec_version}}
        attach_record(scope, RequestRecord("id"))
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 5:  # what the sockets between them can hold
                await asyncio.Event().wait()

        async def receive() -> Any:
            await asyncio.Event().wait()

        assert places == ["held"]
        with pytest.raises(ClientDisconnect):
            await response(scope, receive, send)
        assert places == []
        assert len(sent) == 5
        assert record_of(scope).outcome == "deadline-exceeded"

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_client_that_is_gone_before_the_first_byte_holds_nothing() -> None:
    async def scenario() -> None:
        places: list[str] = []
        events = held(places)
        begun = _Stream(None, await anext(events), events)  # type: ignore[arg-type]  # of no model
        response = _ClosingResponse(events, begun, perf_counter() + 60)
        scope: dict[str, Any] = {"type": "http", "asgi": {"spec_version": "2.4"}}
        attach_record(scope, RequestRecord("id"))

        async def send(message: Any) -> None:
            raise OSError

        with pytest.raises(ClientDisconnect):
            await response(scope, asyncio.Event().wait, send)
        assert places == []

    asyncio.run(asyncio.wait_for(scenario(), 10))
