"""One `ganserve batch` command from its options to its exit code."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from service.cli.asking import check_model, fail

if TYPE_CHECKING:
    from service.cli.batch_jobs.outcome import Failure, Outcome, Watcher
    from service.cli.batch_jobs.prefix_work import Prefix
    from service.cli.batch_jobs.resuming import Remaining
    from service.cli.batch_jobs.state import Part, State
    from service.cli.batch_jobs.units import Unit
    from service.cli.batch_jobs.work import Recipe

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Manner:
    """How a batch is carried out, whatever it makes.

    Attributes:
        url: Of the gateway.
        at_a_time: Jobs under way at a time.
        retry_failed: Try images again that could not be made.
        overwrite: Make everything anew.
        cancel_on_interrupt: Stop jobs on the server when the command is interrupted.
        dry_run: Say what would be done.
        quiet: Print nothing but what went wrong.
        as_json: Print the outcome as JSON.
        report: File for what failed.
    """

    url: str
    at_a_time: int
    retry_failed: bool
    overwrite: bool
    cancel_on_interrupt: bool
    dry_run: bool
    quiet: bool
    as_json: bool
    report: Path | None


@dataclass(frozen=True)
class Order:
    """A batch that is asked for.

    Attributes:
        kind: What the model has to be.
        recipe: What is done with each image.
        source: Where the images come from, as typed; what seeds there are is not part of it.
        find: Finds the images; None if the server does.
        prefix: Where the server finds them.
        out: Where results go, as typed.
        folder: The same, if it is on this machine.
    """

    kind: str
    recipe: Recipe
    source: str
    find: Callable[[], list[Unit]] | None
    prefix: Prefix | None
    out: str
    folder: Path | None

    def settings(self) -> dict[str, Any]:
        """What decides the results."""
        recipe = self.recipe
        return {
            "input": self.source,
            "operation": recipe.operation,
            "model": recipe.model,
            "parameters": {name: v for name, v in recipe.parameters.items() if v is not None},
            "naming": recipe.naming,
            "destination": recipe.destination,
            "pattern": None if self.prefix is None else self.prefix.pattern,
        }


def execute(order: Order, manner: Manner) -> None:
    """Carries a batch out, says how it went, and ends the command.

    Args:
        order: What is asked for.
        manner: How it is carried out.

    Raises:
        typer.Exit: 1 if something could not be made, 130 if it was interrupted.
    """
    from service.cli.batch_jobs.outcome import Outcome
    from service.cli.batch_jobs.state import OtherBatchError, State, alone, read_state, state_path
    from service.jobs.naming import PatternError

    try:
        units = [] if order.find is None else order.find()
    except PatternError as error:
        raise typer.BadParameter(str(error), param_hint="--naming") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="IN") from None
    except OSError as error:
        fail(f"Cannot read {order.source}: {error.strerror or error}.")
    path = state_path(order.source, order.out, order.folder)
    try:
        fresh = State(path, order.settings())
        if manner.dry_run:
            state = fresh if manner.overwrite else read_state(path, fresh.settings)
            _say_what_would_be(order, units, state, manner)
            return
        check_model(manner.url, order.recipe.model, order.kind)
        with alone(path) as staging:
            state = fresh if manner.overwrite else read_state(path, fresh.settings)
            outcome = Outcome()
            interrupted = _run(order, manner, units, state, outcome, staging)
            # Only now do no threads write it any more.
            if state.is_empty():
                path.unlink(missing_ok=True)
            else:
                state.save()
    except OtherBatchError as error:
        raise typer.BadParameter(str(error), param_hint="OUT") from None
    except OSError as error:
        fail(f"Cannot write to {path.parent}: {error.strerror or error}.")
    if interrupted:
        _say_how_to_go_on(manner, state)
    _say_how_it_went(order, manner, outcome)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if not outcome.complete:
        raise typer.Exit(1)


def _run(
    order: Order, manner: Manner, units: Sequence[Unit], state: State, outcome: Outcome, staging: Path
) -> bool:
    """Does the work; whether it was interrupted."""
    from service.cli.batch_jobs.resuming import remaining
    from service.cli.batch_jobs.work import StoppedError

    left = remaining(units, state, order.folder, retry_failed=manner.retry_failed) if units else None
    if left is not None:
        outcome.kept = left.kept
        outcome.failures += left.failures
        outcome.failed_before = len(left.failures)
        if not left.count:
            return False
    began = time.monotonic()
    try:
        with _watching(order, manner, outcome) as watcher:
            if left is not None:
                watcher.total(left.count)
            asyncio.run(_work(order, manner, left, state, outcome, watcher, staging))
    except StoppedError as error:
        outcome.stopped, outcome.passes = str(error), error.passes
    except KeyboardInterrupt:
        outcome.stopped = "Interrupted."
        return True
    finally:
        outcome.seconds = time.monotonic() - began
    return False


async def _work(
    order: Order,
    manner: Manner,
    left: Remaining | None,
    state: State,
    outcome: Outcome,
    watcher: Watcher,
    staging: Path,
) -> None:
    from service.cli.batch_jobs.prefix_work import PrefixWork
    from service.cli.batch_jobs.state import Part
    from service.cli.batch_jobs.unit_work import UnitWork
    from service.cli.batch_jobs.work import RETRY_SECONDS
    from service.client import AsyncClient

    async with AsyncClient(manner.url, retry_seconds=RETRY_SECONDS) as client:
        given = (client, order.recipe, state, outcome, watcher)
        if left is not None:
            units = UnitWork(*given, folder=order.folder, staging=staging)
            await units.run(left.begun, left.pending, manner.at_a_time)
        elif order.prefix is not None:
            part = state.parts[0] if state.parts else Part.of(None)
            prefix = PrefixWork(*given, folder=order.folder, staging=staging)
            await prefix.run(part, order.prefix, retry=manner.retry_failed)


def _say_what_would_be(order: Order, units: Sequence[Unit], state: State, manner: Manner) -> None:
    from service.cli.batch_jobs.resuming import remaining
    from service.cli.batch_jobs.units import parts

    if order.find is None:
        print(f"One job would be made, of what the server finds below {order.source}.")
        return
    left = remaining(units, state, order.folder, retry_failed=manner.retry_failed)
    size = sum(unit.size for unit in left.pending)
    text = f"{len(left.pending):,} {'image' if len(left.pending) == 1 else 'images'}"
    if size:
        text += f" ({size / 1e6:,.1f} MB)"
    jobs = sum(1 for _ in parts(left.pending))
    text += f" would be sent in {jobs:,} {'job' if jobs == 1 else 'jobs'}"
    if left.begun:
        text += f", {left.count - len(left.pending):,} are under way in {len(left.begun):,} already"
    if left.kept:
        text += f", {left.kept:,} {'is' if left.kept == 1 else 'are'} there already"
    if left.failures:
        text += f", {len(left.failures):,} failed before (--retry-failed tries them again)"
    print(f"{text}.")


def _say_how_to_go_on(manner: Manner, state: State) -> None:
    parts = [part for part in state.parts if not part.ended]
    jobs = [part.id for part in parts if part.id is not None]
    if manner.cancel_on_interrupt:
        _cancel(manner.url, parts)
    elif jobs:
        go = "1 job goes" if len(jobs) == 1 else f"{len(jobs)} jobs go"
        print(
            f"Interrupted. {go} on on the server, and the same command takes up where this one was. To stop "
            f"them: ganserve jobs cancel {' '.join(jobs)}",
            file=sys.stderr,
        )
        return
    print("Interrupted. The same command takes up where this one was.", file=sys.stderr)


def _cancel(url: str, parts: Sequence[Part]) -> None:
    from service.client import Client, ClientError

    with Client(url, retry_seconds=5, timeout=10) as client:
        for part in parts:
            try:
                if part.id is not None:
                    made = [client.cancel_job(part.id)]
                else:  # it may have been made just before its answer could be read
                    made = [client.cancel_job(job.id) for job in client.jobs(idempotency_key=part.key)]
            except ClientError as error:
                print(f"{part.id or 'A job'} could not be cancelled: {error}.", file=sys.stderr)
            else:
                for job in made:
                    print(f"{job.id} is cancelled.", file=sys.stderr)


def _say_how_it_went(order: Order, manner: Manner, outcome: Outcome) -> None:
    if manner.report is not None:
        from service.files import write_atomically

        failures = [failure.report() for failure in outcome.failures]
        try:
            write_atomically(manner.report, f"{json.dumps(failures, indent=1)}\n".encode())
        except OSError as error:
            print(f"Cannot write {manner.report}: {error.strerror or error}.", file=sys.stderr)
    if manner.as_json:
        print(json.dumps(outcome.report()))
        return
    if outcome.failures:
        _print_failures(outcome.failures, manner)
        if outcome.failed_before and not manner.retry_failed:
            print("Some failed in an earlier run; --retry-failed tries them again.", file=sys.stderr)
    if outcome.stopped not in (None, "Interrupted."):
        more = " The same command goes on." if outcome.passes else ""
        print(f"{outcome.stopped}{more}", file=sys.stderr)
    if not manner.quiet:
        print(outcome.sentence(order.out))


def _print_failures(failures: Sequence[Failure], manner: Manner) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Failed", "Why", box=None, pad_edge=False)
    for failure in failures[:_FAILURES_SHOWN]:
        table.add_row(Text(failure.name, overflow="fold"), Text(failure.reason, overflow="fold"))
    console = Console(stderr=True)
    console.print(table)
    more = len(failures) - _FAILURES_SHOWN
    if more > 0:
        where = f"{manner.report} has them all" if manner.report else "--report FILE writes them all"
        console.print(f"… and {more:,} more; {where}.", highlight=False, markup=False)


@dataclass
class _Silent:
    """Watches nothing."""

    def total(self, count: int) -> None:
        """Nothing is shown."""

    def done(self, count: int) -> None:
        """Nothing is shown."""

    def failed(self, failure: Failure) -> None:
        """Nothing is shown."""


@contextmanager
def _watching(order: Order, manner: Manner, outcome: Outcome) -> Iterator[Watcher]:
    if manner.quiet or manner.as_json:
        yield _Silent()
        return
    from service.cli.progress import progress_bar

    with progress_bar() as progress:
        task = progress.add_task(order.recipe.model, total=None)

        class Bar:
            def total(self, count: int) -> None:
                progress.update(task, total=count or None)

            def done(self, count: int) -> None:
                progress.update(task, completed=count)

            def failed(self, failure: Failure) -> None:
                progress.update(task, failed=len(outcome.failures))

        yield Bar()
