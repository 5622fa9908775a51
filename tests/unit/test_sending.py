"""Batches of images, where the server is not needed: failures, and when to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.cli.inputs import Planned
from service.cli.sending import Outcome, run
from service.client import AsyncClient, File, ProblemError, UnreachableError

URL = "http://ganserve.test"


def batch(tmp_path: Path, errors: dict[str, Exception], jobs: int = 2) -> tuple[Outcome, list, list]:
    """Sends `0` to `9`; those that `errors` names fail."""
    planned = [Planned(tmp_path / str(n), tmp_path / "out" / f"{n}.png") for n in range(10)]
    outcome, messages, tried = Outcome(), [], []

    async def send(client: AsyncClient, path: Path) -> File:
        tried.append(path.name)
        await asyncio.sleep(0)
        if path.name in errors:
            raise errors[path.name]
        return File(bytes=path.name.encode(), media_type="image/png", model_digest="d", pixels_sha256="p")

    asyncio.run(run(URL, planned, send, jobs, outcome, messages.append, lambda: None))
    return outcome, messages, tried


def problem(status: int) -> ProblemError:
    return ProblemError(status, {"title": "It is not so", "detail": "Really not."}, "")


@pytest.mark.parametrize("jobs", [1, 3, 64])
def test_a_failure_is_told_and_the_run_goes_on(tmp_path: Path, jobs: int) -> None:
    errors = {"3": problem(422), "5": FileNotFoundError(2, "No such file or directory")}
    outcome, messages, tried = batch(tmp_path, errors, jobs)
    assert sorted(tried) == list("0123456789")
    assert sorted(messages) == [
        f"{tmp_path / '3'}: It is not so. Really not.",
        f"{tmp_path / '5'}: No such file or directory.",
    ]
    assert {path.name for path in outcome.failed} == {"3", "5"}
    assert {path.name for path in outcome.written} == {f"{n}.png" for n in (0, 1, 2, 4, 6, 7, 8, 9)}
    assert (tmp_path / "out/9.png").read_bytes() == b"9"
    assert outcome.stopped is None


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (problem(401), "It is not so. Really not."),
        (problem(404), "It is not so. Really not."),
        (problem(503), "It is not so. Really not."),
        (UnreachableError("gone"), f"ganserve at {URL} did not answer: gone."),
    ],
)
def test_what_every_image_would_meet_ends_the_run(tmp_path: Path, error: Exception, sentence: str) -> None:
    outcome, messages, tried = batch(tmp_path, {"3": error})
    assert outcome.stopped == sentence
    assert messages == []
    assert outcome.failed == []
    assert "9" not in tried


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    outcome, _, tried = batch(tmp_path, {})
    assert outcome.stopped is not None
    assert outcome.stopped.startswith(f"Cannot write {tmp_path / 'out'}")
    assert "9" not in tried


def test_no_more_are_under_way_than_wanted(tmp_path: Path) -> None:
    planned = [Planned(tmp_path / str(n), tmp_path / f"{n}.png") for n in range(9)]
    under_way, most = 0, 0

    async def send(client: AsyncClient, path: Path) -> File:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return File(bytes=b"", media_type="image/png", model_digest="d", pixels_sha256="p")

    asyncio.run(run(URL, planned, send, 4, Outcome(), print, lambda: None))
    assert most == 4
