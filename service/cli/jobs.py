"""`ganserve jobs`: looks at batch jobs of a running server, and ends, repeats, fetches or deletes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timezone
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.cli.asking import connected, fail, sentence, writing_to
from service.cli.options import DEFAULT_URL, Overwrite, Url

if TYPE_CHECKING:
    from service.client import Client, Job, JobItem

app = typer.Typer(
    help="Look at batch jobs of a running server, and cancel, retry, fetch or delete them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_PAGE = 100

Row = TypeVar("Row")


class StateOption(str, Enum):
    """Of a job, or of an item."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


Id = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]
Ids = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print all that the server says, as JSON lines.")]
Limit = Annotated[int, typer.Option("--limit", "-n", help="How many at most; 0 for all.", min=0)]


def _examples(*lines: str) -> str:
    title = "Example" if len(lines) == 1 else "Examples"
    return "\n\n".join((f"[bold]{title}[/bold]", *(f"  {line}" for line in lines)))


@app.command(
    "list",
    epilog=_examples(
        "ganserve jobs list", "ganserve jobs list --state running", "ganserve jobs list --json -n 0"
    ),
)
def list_jobs(
    state: Annotated[
        StateOption | None, typer.Option(help="Only those in this state.", show_default="any")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="Only those of this API key; needs the scope admin.", show_default="your own"),
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List jobs, the newest first."""
    with connected(url) as client:
        found = client.jobs(
            state=None if state is None else state.value, owner=owner, page=min(limit or _PAGE, _PAGE)
        )
        with closing(found):
            jobs = islice(found, limit or None)
            if as_json:
                for job in jobs:
                    print(json.dumps(job.report))
                return
            rows = [_row(job) for job in jobs]
    _print_columns(("Job", "State", "Done", "Failed", "Operation", "Model", "Made", "Owner"), rows)


@app.command(epilog=_examples("ganserve jobs show job_0193526e8a3f9c51d07be2a4f618"))
def show(job: Id, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a job: what it was asked, and how far it is."""
    with connected(url) as client:
        found = client.job(job)
    if as_json:
        print(json.dumps(found.report))
        return
    counts = found.counts
    of = f"{counts.total:,}" if found.listed else f"{counts.total:,} or more"
    lines = {
        "Job": found.id,
        "State": f"{found.state}, being cancelled" if found.cancelling and not found.ended else found.state,
        "Items": f"{counts.succeeded:,} of {of} succeeded, {counts.failed:,} failed, "
        f"{counts.cancelled:,} cancelled, {counts.running:,} run, {counts.queued:,} wait",
        "Operation": f"{found.operation} with {found.model}",
        "Parameters": json.dumps(found.report.get("parameters", {}), ensure_ascii=False),
        "Priority": found.priority,
        "Made": _time(found.created_at),
        "Started": _time(found.started_at),
        "Ended": _time(found.ended_at),
        "Kept until": _time(found.expires_at),
        "Results": found.destination or f"ganserve jobs download {found.id} OUT",
        "Metadata": json.dumps(dict(found.metadata), ensure_ascii=False) if found.metadata else "",
        "Problem": _reason(found),
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<10}  {text}")


@app.command(
    epilog=_examples(
        "ganserve jobs items job_0193526e8a3f9c51d07be2a4f618 --state failed",
        "ganserve jobs items job_0193526e8a3f9c51d07be2a4f618 -n 0 --json | jq -r .output.pixels_sha256",
    )
)
def items(
    job: Id,
    state: Annotated[
        StateOption | None, typer.Option(help="Only those in this state.", show_default="any")
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the items of a job, and why those failed that did."""
    with connected(url) as client:
        found = client.job_items(
            job, state=None if state is None else state.value, page=min(limit or _PAGE, _PAGE)
        )
        with closing(found):
            listed = islice(found, limit or None)
            if as_json:
                for item in listed:
                    print(json.dumps(item.report))
                return
            rows = [(str(i.n), i.state, str(i.attempts), i.name, _became(i)) for i in listed]
    _print_columns(("N", "State", "Attempts", "Name", "Result"), rows)


@app.command(epilog=_examples("ganserve jobs watch job_0193526e8a3f9c51d07be2a4f618"))
def watch(job: Id, url: Url = DEFAULT_URL) -> None:
    """Show how far a job is until it has ended.

    The exit code is 1 if something of it failed or was cancelled. Ctrl-C leaves the job as it is.
    """
    from service.cli.progress import progress_bar

    with connected(url) as client:
        found = client.job(job)
        try:
            with progress_bar() as progress, closing(client.job_events(job, items=False)) as events:
                task = progress.add_task(found.model, total=None)
                for event in events:
                    if event.job is not None:
                        found = event.job
                        counts = found.counts
                        progress.update(
                            task, total=counts.total or None, completed=counts.done, failed=counts.failed
                        )
            found = client.job(job)
        except KeyboardInterrupt:
            print(f"{job} goes on; `ganserve jobs cancel {job}` stops it.", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None
    print(_told(found))
    if found.counts.failed or found.counts.cancelled or found.state != "succeeded":
        raise typer.Exit(1)


@app.command(epilog=_examples("ganserve jobs cancel job_0193526e8a3f9c51d07be2a4f618"))
def cancel(jobs: Ids, url: Url = DEFAULT_URL) -> None:
    """Stop jobs: what runs stops soon, and what is done is kept."""
    _each(jobs, url, lambda client, job: f"{_told(client.cancel_job(job))}")


@app.command(epilog=_examples("ganserve jobs retry job_0193526e8a3f9c51d07be2a4f618"))
def retry(jobs: Ids, url: Url = DEFAULT_URL) -> None:
    """Try failed and cancelled items of jobs that have ended anew."""
    _each(jobs, url, lambda client, job: f"{_told(client.retry_job(job))}")


@app.command(epilog=_examples("ganserve jobs delete job_0193526e8a3f9c51d07be2a4f618"))
def delete(jobs: Ids, url: Url = DEFAULT_URL) -> None:
    """Delete jobs that have ended, with the files that are kept with them."""

    def one(client: Client, job: str) -> str:
        client.delete_job(job)
        return f"{job} is deleted."

    _each(jobs, url, one)


@app.command(
    epilog=_examples(
        "ganserve jobs download job_0193526e8a3f9c51d07be2a4f618 results",
        "ganserve jobs download job_0193526e8a3f9c51d07be2a4f618 results.zip",
    )
)
def download(
    job: Id,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder for the results; or a .zip that holds all.", show_default=False
        ),
    ],
    overwrite: Overwrite = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Fetch what a job has made so far: into a folder, or as one zip archive.

    Files that are there already are kept, so that a command that was stopped goes on when it is repeated.
    """
    if out.suffix.lower() == ".zip":
        from service.cli.asking import already_there

        if already_there(out, overwrite=overwrite):
            return
        with connected(url) as client, writing_to(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            saved = client.job_archive(job, out)
        print(f"{saved.path} ({saved.size / 1e6:,.1f} MB)")
        return
    import asyncio

    from service.cli.job_download import fetch_all
    from service.client import AsyncClient, ClientError

    async def fetch() -> tuple[int, int]:
        async with AsyncClient(url) as client:
            return await fetch_all(client, job, out, overwrite=overwrite)

    try:
        fetched, kept = asyncio.run(fetch())
    except ClientError as error:
        fail(sentence(url, error))
    except OSError as error:
        fail(f"Cannot write to {out}: {error.strerror or error}.")
    except ValueError as error:
        fail(f"{error}.")
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on.", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    from service.cli.asking import summary

    print(summary(fetched, kept, out))


def _each(jobs: Sequence[str], url: str, action: Callable[[Client, str], str]) -> None:
    """Does something with each job; one that cannot be done does not keep the others from it."""
    from service.client import ProblemError

    wrong = False
    with connected(url) as client:
        for job in jobs:
            try:
                print(action(client, job), flush=True)
            except ProblemError as error:
                if error.status not in (404, 409, 410):
                    raise
                wrong = True
                print(f"{job}: {sentence(url, error)}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)


def _told(job: Job) -> str:
    """A job in one line."""
    counts = job.counts
    text = f"{job.id} is {'being cancelled' if job.cancelling and not job.ended else job.state}"
    text += f": {counts.succeeded:,} of {counts.total:,} succeeded"
    if counts.failed:
        text += f", {counts.failed:,} failed"
    if counts.cancelled:
        text += f", {counts.cancelled:,} cancelled"
    reason = _reason(job)
    return f"{text}. {reason}." if reason else f"{text}."


def _reason(job: Job) -> str:
    from service.client.job_results import reason_of

    return reason_of(job.problem)


def _row(job: Job) -> tuple[str, ...]:
    counts = job.counts
    return (
        job.id,
        "cancelling" if job.cancelling and not job.ended else job.state,
        f"{counts.done:,}/{counts.total:,}{'' if job.listed else '+'}",
        f"{counts.failed:,}" if counts.failed else "",
        job.operation,
        job.model,
        _time(job.created_at),
        str(job.report.get("owner") or ""),
    )


def _became(item: JobItem) -> str:
    if item.output is None:
        return item.reason
    output = item.output
    return f"{output.url or output.name} {output.width}×{output.height}"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _print_columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be: an id that was shortened identifies nothing."""
    table = [titles, *rows]
    used = [n for n, _ in enumerate(titles) if any(row[n] for row in rows) or not rows]
    widths = {n: max(len(row[n]) for row in table) for n in used}
    for row in table:
        print("  ".join(f"{row[n]:{widths[n]}}" for n in used).rstrip())
