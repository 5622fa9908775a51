"""Calls of a model that wait at the same moment become one request to Triton.

A request costs Triton, gRPC and the gateway about a millisecond, whatever is in it, and rows do not depend on
what else is in their batch. So only a few requests of a model are under way at a time, and what comes
meanwhile goes into the next together. Nobody waits for company: who finds a request to spare is sent at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.cards import TritonModel
from service.telemetry.inference_spans import CallTrace, request_for
from service.triton import InferenceError, TritonDeadlineError, TritonError

Inputs = Mapping[str, NDArray[Any]]


class Infers(Protocol):
    """What runs a batch: `service.triton.Triton`."""

    async def infer(self, model: TritonModel, inputs: Inputs, output: str, timeout: float, /) -> NDArray[Any]:
        """Runs one batch; see there."""


class JoinedInference:
    """Runs batches, together with those of others where they wait for the same model.

    A call that is cancelled or late leaves alone: what it was sent with goes on, and a request is cancelled
    when nobody waits for any of it. A request that fails for what is in it is repeated call by call, so that
    each has an outcome of its own.
    """

    def __init__(self, triton: Infers) -> None:
        """Starts empty.

        Args:
            triton: What the joined requests are sent to.
        """
        self._triton = triton
        self._lanes: dict[tuple[str, ...], _Lane] = {}

    async def infer(
        self, model: TritonModel, inputs: Inputs, output: str, timeout: float, *, at_a_time: int
    ) -> Answer:
        """Runs some rows.

        Args:
            model: The model, and its version.
            inputs: As for `Triton.infer`; each row is computed on its own.
            output: Name of the output wanted.
            timeout: In seconds, for these rows; those of others have their own.
            at_a_time: Requests of this model under way at a time; what waits is spread over so many.

        Returns:
            The rows of the output, and when they were sent.

        Raises:
            TritonError: One of its kinds, see `Triton.infer`.
        """
        key = (model.name, model.version, output, *inputs)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._triton, model, output, lambda: self._lanes.pop(key, None))
        lane.at_a_time = at_a_time
        call = _Call(inputs, len(next(iter(inputs.values()))), perf_counter() + timeout)
        timer = call.answer.get_loop().call_later(timeout, call.is_late)
        lane.push(call)
        try:
            return await call.answer
        except BaseException as error:
            call.trace.end_part(error)
            raise
        finally:
            call.trace.end_part()
            timer.cancel()
            lane.leave(call)
            if call.answer.done() and not call.answer.cancelled():
                call.answer.exception()  # seen, also by a caller that was cancelled in this very moment


@dataclass(frozen=True, eq=False)
class Answer:
    """Rows that were computed.

    Attributes:
        rows: The output, read-only, batch axis first.
        sent: When they were sent to Triton, on the clock of `time.perf_counter`.
    """

    rows: NDArray[Any]
    sent: float


@dataclass(eq=False)
class _Call:
    """Rows that somebody waits for."""

    inputs: Inputs
    rows: int
    deadline: float
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    batch: _Batch | None = None
    trace: CallTrace = field(default_factory=CallTrace)
    looks: int = 0

    def is_late(self) -> None:
        """Its time is over."""
        self.fail(TritonDeadlineError("it was not done in time"))

    def succeed(self, answer: Answer) -> None:
        """Answers, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Answers with an error, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False)
class _Batch:
    """A request that is under way."""

    calls: list[_Call]
    task: asyncio.Task[None] | None = None


class _Lane:
    """What waits for one model, and what is under way."""

    def __init__(self, triton: Infers, model: TritonModel, output: str, on_empty: Any) -> None:
        self._triton = triton
        self._model = model
        self._output = output
        self._on_empty = on_empty
        self.at_a_time = 1
        self._waiting: deque[_Call] = deque()
        self._running: set[_Batch] = set()
        self._scheduled = False
        self._looks = 0

    def push(self, call: _Call) -> None:
        call.looks = self._looks
        self._waiting.append(call)
        self._schedule()

    def leave(self, call: _Call) -> None:
        """The call has its answer, or nobody waits for it any more."""
        batch = call.batch
        if batch is None:
            if call in self._waiting:
                self._waiting.remove(call)
                self._schedule()
        elif batch.task is not None and all(other.answer.done() for other in batch.calls):
            batch.task.cancel()  # nothing happens if it is done

    def _schedule(self) -> None:
        """Looks at what waits as soon as everything has arrived that has come already."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        self._looks += 1
        while self._waiting and len(self._running) < self.at_a_time:
            batch = _Batch(self._next())
            for call in batch.calls:
                call.batch = batch
                if self._looks > call.looks + 1:  # others were sent before
                    call.trace.waited()
            self._running.add(batch)
            batch.task = asyncio.ensure_future(self._run(batch.calls))
            # Not a `finally` of the task: one that is cancelled before its first step never gets there.
            batch.task.add_done_callback(partial(self._is_over, batch))
        if not self._waiting and not self._running:
            self._on_empty()

    def _next(self) -> list[_Call]:
        """From the front of the line as much as a request should carry: an even part of all that is there."""
        to_do = sum(call.rows for call in self._waiting)
        to_do += sum(call.rows for batch in self._running for call in batch.calls)
        most = min(self._model.max_batch_size, -(-to_do // self.at_a_time))
        calls = [self._waiting.popleft()]
        rows = calls[0].rows
        while self._waiting and rows + self._waiting[0].rows <= most:
            calls.append(self._waiting.popleft())
            rows += calls[-1].rows
        return calls

    def _is_over(self, batch: _Batch, _: asyncio.Task[None]) -> None:
        self._running.discard(batch)
        for call in batch.calls:  # only where the task was cancelled, and then by nobody who waits
            call.answer.cancel()
        self._schedule()

    async def _run(self, calls: Sequence[_Call]) -> None:
        rows = sum(call.rows for call in calls)
        sent = perf_counter()
        try:
            remaining = max(call.deadline for call in calls) - sent
            with request_for([(call.trace, call.rows) for call in calls], self._model.name):
                output = await self._triton.infer(self._model, _joined(calls), self._output, remaining)
                if len(output) != rows:
                    raise InferenceError(f"{len(output)} rows came back for {rows}")
        except InferenceError as error:
            if len(calls) == 1:
                calls[0].fail(error)
                return
            # One of them may be to blame, or all of them together be too much.
            waited_for = [call for call in calls if not call.answer.done()]
            await asyncio.gather(*(self._run([call]) for call in waited_for))
        except TritonError as error:
            for call in calls:
                call.fail(type(error)(str(error)))  # an exception belongs to one traceback
        except Exception as error:
            for call in calls:
                call.fail(error)
        else:
            start = 0
            for call in calls:
                call.succeed(Answer(output[start : start + call.rows], sent))
                start += call.rows


def _joined(calls: Sequence[_Call]) -> Inputs:
    if len(calls) == 1:
        return calls[0].inputs
    return {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}
