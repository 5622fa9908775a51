"""Streams end at their deadline, whatever the client does, and give back what they hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from service.api.calls import streaming
from service.api.calls.streaming import _closed, _ClosingResponse, _Stream
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


async def slow_to_leave(places: list[str], seconds: float) -> AsyncGenerator[bytes, None]:
    """Takes its time when a step of it is cancelled, as a call does that is with Triton."""
    places.append("held")
    try:
        await asyncio.Event().wait()
        yield b"event"
    finally:
        await asyncio.sleep(seconds)
        places.clear()


def test_closing_waits_for_a_step_that_was_cancelled_and_still_runs() -> None:
    async def scenario() -> None:
        places: list[str] = []
        events = slow_to_leave(places, 0.05)
        step = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.01)
        step.cancel()
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already running"):
            await events.aclose()
        assert places == ["held"]
        await _closed(events)
        assert places == []
        assert step.cancelled()
        await _closed(events)  # a second time does nothing

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_step_that_never_ends_is_a_fault_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_CLOSING_ATTEMPTS", 3)

    async def scenario() -> None:
        step = asyncio.ensure_future(anext(events := slow_to_leave([], 60)))
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="does not end"):
            await _closed(events)
        for _ in range(2):  # out of its wait, and out of its farewell
            step.cancel()
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scenario(), 10))


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_stream_that_the_server_cuts_off_says_so_if_somebody_reads(reads_on: bool) -> None:
    async def scenario() -> None:
        places: list[str] = []
        events = held(places)
        begun = _Stream(None, await anext(events), events)  # type: ignore[arg-type]  # of no model
        response = _ClosingResponse(events, begun, perf_counter() + 60)
        scope: dict[str, Any] = {"type": "http", "path": "/here", "asgi": {"spec_version": "2.3"}}
        attach_record(scope, RequestRecord("id"))
        sent: list[Any] = []
        full = asyncio.Event()

        async def send(message: Any) -> None:
            if len(sent) == 3 and not (full.is_set() and reads_on):
                full.set()
                await asyncio.Event().wait()  # until it is cancelled
            sent.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        answering = asyncio.ensure_future(response(scope, receive, send))
        await full.wait()
        answering.cancel()
        await answering  # it ends, rather than being cut off
        assert places == []
        assert record_of(scope).outcome == "shutting-down"
        assert [message.get("body") for message in sent[1:3]] == [b"event", b"event"]
        if reads_on:
            assert not sent[-1]["more_body"]
            name, data, *_ = sent[-1]["body"].decode().split("\n")
            assert name == "event: error"
            problem = json.loads(data.removeprefix("data: "))
            assert (problem["type"], problem["status"]) == ("/problems/shutting-down", 503)
            assert (problem["instance"], problem["request_id"]) == ("/here", "id")
        else:
            assert len(sent) == 3

    asyncio.run(asyncio.wait_for(scenario(), 10))
