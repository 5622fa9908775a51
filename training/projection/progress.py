"""How far a projection is, and what came of it, on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.projection.files import PICTURE, REQUEST
from training.projection.pictures import Progress as Report
from training.projection.pictures import Projected


@contextmanager
def searching(console: Console, steps: int) -> Iterator[Report]:
    """A callback that shows a bar for each picture, with the least loss so far."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[Path, TaskID] = {}

        def tell(picture: Path, done: int, loss: float) -> None:
            if picture not in tasks:
                tasks[picture] = bars.add_task(picture.name, total=steps, loss="")
            bars.update(tasks[picture], completed=done, loss=f"{loss:.4f}")

        yield tell


def report(console: Console, done: Sequence[Projected], wanted: int) -> None:
    """Prints the figures of each picture, and how to have it made by the gateway.

    Args:
        console: Where to.
        done: What was projected.
        wanted: How many pictures there were.
    """
    for one in done:
        before, after = one.report["start"], one.report["found"]
        words = [f"PSNR {before['psnr']:.1f} → {after['psnr']:.1f} dB"]
        if "distance" in after:
            words.insert(0, f"distance {before['distance']:.3f} → {after['distance']:.3f}")
        if "ssim" in after:
            words.append(f"SSIM {before['ssim']:.2f} → {after['ssim']:.2f}")
        if own := one.report.get("with_own_noise"):
            words.append(f"with its own noise, which is not served, {own['psnr']:.1f} dB")
        text = f"{one.picture.name}: {', '.join(words)}; {one.found.steps} steps, {one.found.seconds:.0f} s"
        stopped = "; stopped early, the best so far is kept" if one.found.stopped else ""
        console.print(
            f"{text}{stopped}; {one.folder / PICTURE}", highlight=False, markup=False, soft_wrap=True
        )
    if len(done) < wanted:
        console.print(f"not begun: {wanted - len(done)} of {wanted} pictures", highlight=False)
    if not done:
        return
    last = done[-1]
    if not last.report["model"]["served"]:
        console.print(
            f"once it is exported as {last.report['model']['name']!r}, have it made by the gateway:"
        )
    else:
        console.print("have it made by the gateway:")
    request = shlex.quote(f"@{last.folder / REQUEST}")
    console.print(
        f"curl -s localhost:8080/v1/generate -H 'accept: image/png' -H 'content-type: application/json' "
        f"-d {request} -o image.png",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
