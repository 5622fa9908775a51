"""Spans of requests to Triton: one for each attempt, and one that calls share and are linked to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.cards import TritonModel
from service.joining import JoinedInference
from service.telemetry.inference_spans import Metadata, request_to_triton
from service.telemetry.tracing import span
from service.triton import InferenceError, Triton, TritonChangedError
from tests.triton_process import free_ports

MODEL = TritonModel("toy-synthesis", "1", 4, 1, {}, {}, {})


class Sender:
    """Runs batches when it is told to, each in the span that `Triton.infer` makes."""

    def __init__(self) -> None:
        self.metadata: list[Metadata | None] = []
        self.go = asyncio.Event()
        self.fails_with: list[Exception] = []

    async def infer(
        self, model: TritonModel, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> np.ndarray:
        with request_to_triton(model.name, model.version, len(inputs["x"])) as metadata:
            self.metadata.append(metadata)
            await self.go.wait()
            if self.fails_with:
                raise self.fails_with.pop(0)
        return inputs["x"]


class Calls:
    """Calls of one model, each within a span of its own as a request is."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.joined = JoinedInference(self.sender)

    def start(self, number: int, *, traced: bool = True) -> asyncio.Task[Any]:
        async def call() -> None:
            with span("job.item", item=number) if traced else contextlib.nullcontext():
                inputs = {"x": np.full((1, 1), number, np.float32)}
                await self.joined.infer(MODEL, inputs, "y", 60, at_a_time=1)

        return asyncio.ensure_future(call())

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def joined_calls(self, *traced: bool) -> list[asyncio.Task[Any]]:
        """One call that is under way, and others that wait and will go together."""
        first = self.start(0, traced=False)
        await self.settle()
        others = [self.start(number, traced=kept) for number, kept in enumerate(traced, 1)]
        await self.settle()
        self.sender.go.set()
        await self.settle()
        assert first.done()
        return others


@pytest.fixture
def named(spans: InMemorySpanExporter) -> Any:
    """The finished spans of a name."""

    def of(name: str) -> list[ReadableSpan]:
        return [each for each in spans.get_finished_spans() if each.name == name]

    return of


def parents(calls: Calls) -> list[str | None]:
    """The `traceparent` that each request was sent with, but for its flags."""
    return [None if sent is None else dict(sent)["traceparent"][:52] for sent in calls.sender.metadata]


def linked(each: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in each.links}


def test_a_lone_call_is_the_parent_of_its_request(named: Any) -> None:
    async def main() -> None:
        calls = Calls()
        calls.sender.go.set()
        await calls.start(1)
        (item,), (infer,) = named("job.item"), named("infer")
        assert (infer.parent, infer.kind) == (item.context, trace.SpanKind.CLIENT)
        assert not infer.links
        ids = f"{infer.context.trace_id:032x}-{infer.context.span_id:016x}"
        assert parents(calls) == [f"00-{ids}"]
        assert infer.attributes["rpc.response.status_code"] == "OK"
        assert infer.attributes["ganserve.triton_model"] == "toy-synthesis"
        assert not named("queue")

    asyncio.run(main())


def test_a_call_that_is_cancelled_has_not_failed(named: Any) -> None:
    async def main() -> None:
        calls = Calls()
        call = calls.start(1)
        await calls.settle()
        call.cancel()
        await calls.settle()
        for each in (*named("infer"), *named("job.item")):
            assert each.attributes["ganserve.cancelled"] is True
            assert each.status.status_code is trace.StatusCode.UNSET
        assert len(named("infer")) == 1

    asyncio.run(main())


def test_a_shared_request_is_linked_to_every_call_and_they_to_it(named: Any) -> None:
    async def main() -> None:
        calls = Calls()
        await asyncio.gather(*await calls.joined_calls(True, False, True))
        items, parts = named("job.item"), named("infer")
        (shared,) = named("infer.joined")
        assert {part.parent.span_id for part in parts} == {item.context.span_id for item in items}
        assert len(parts) == 2
        assert linked(shared) == {part.context.span_id for part in parts}
        assert [linked(part) for part in parts] == [{shared.context.span_id}] * 2
        assert shared.parent == parts[0].context
        assert (shared.attributes["ganserve.rows"], shared.attributes["ganserve.calls"]) == (3, 3)
        assert all(part.attributes["ganserve.joined"] for part in parts)
        # Each trace says how long the call waited for the request before it.
        assert {waited.parent.span_id for waited in named("queue")} == {
            item.context.span_id for item in items
        }
        ids = f"{shared.context.trace_id:032x}-{shared.context.span_id:016x}"
        assert parents(calls) == [None, f"00-{ids}"]

    asyncio.run(main())


def test_who_leaves_a_shared_request_ends_its_part_alone(named: Any) -> None:
    async def leaving() -> None:
        calls = Calls()
        blocking = calls.start(0, traced=False)
        await calls.settle()
        leaver, other = calls.start(1), calls.start(2)
        await calls.settle()
        calls.sender.go.set()
        await asyncio.sleep(0)
        calls.sender.go.clear()
        await blocking
        await calls.settle()  # both are under way now
        leaver.cancel()
        await calls.settle()
        (part,) = named("infer")
        assert part.attributes["ganserve.cancelled"] is True
        assert part.status.status_code is trace.StatusCode.UNSET
        assert not named("infer.joined")
        calls.sender.go.set()
        await other
        assert len(named("infer")) == 2
        assert named("infer.joined")[0].status.status_code is trace.StatusCode.UNSET

    asyncio.run(leaving())


def test_a_shared_request_that_fails_is_followed_by_one_for_each(named: Any) -> None:
    async def main() -> None:
        calls = Calls()
        first = calls.start(0, traced=False)
        await calls.settle()
        others = [calls.start(1), calls.start(2)]
        await calls.settle()
        calls.sender.go.set()
        await first
        calls.sender.fails_with = [InferenceError("too much")]
        await asyncio.gather(*others)
        parts = named("infer")
        failed = [part for part in parts if part.status.status_code is trace.StatusCode.ERROR]
        assert (len(parts), len(failed)) == (4, 2)
        assert {part.attributes["error.type"] for part in failed} == {"InferenceError"}
        repeated = [part for part in parts if part not in failed]
        assert all(part.kind is trace.SpanKind.CLIENT and not part.links for part in repeated)
        assert {part.parent.span_id for part in repeated} == {
            item.context.span_id for item in named("job.item")
        }

    asyncio.run(main())


def test_a_call_in_no_trace_that_is_sent_after_another_ones_belongs_to_none(named: Any) -> None:
    async def main() -> None:
        calls = Calls()
        traced = calls.start(1)
        await calls.settle()
        other = calls.start(2, traced=False)  # sent by the task that carried out the first
        await calls.settle()
        calls.sender.go.set()
        await asyncio.gather(traced, other)
        assert len(named("infer")) == 1
        assert calls.sender.metadata[1] is None

    asyncio.run(main())


def test_a_triton_that_is_away_is_a_failed_span(named: Any) -> None:
    async def main() -> None:
        triton = Triton(f"127.0.0.1:{free_ports(1)[0]}", 1 << 20)
        with span("job.item"), pytest.raises(TritonChangedError):
            await triton.infer(MODEL, {"ws": np.zeros((2, 1), np.float32)}, "images", 5)
        await triton.close()

    asyncio.run(main())
    (infer,) = named("infer")
    assert infer.status.status_code is trace.StatusCode.ERROR
    assert infer.attributes["error.type"] == grpc.StatusCode.UNAVAILABLE.name
    assert infer.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert (infer.attributes["rpc.system.name"], infer.attributes["ganserve.rows"]) == ("grpc", 2)
