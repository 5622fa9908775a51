"""What a run writes down, and shows, while it trains."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from training.config import RunConfig
from training.families.base import picture
from training.files import atomic_write
from training.telemetry import Telemetry

STATS = "stats.jsonl"


class RunLog:
    """`config.json`, `stats.jsonl`, TensorBoard events, pictures, metrics and the live progress of one run.

    Args:
        run: The run's folder, made if missing.
        config: Written beside the run.
        console: Where progress is shown.
        first_step: Where the run goes on; lines of later steps, left by a run that was killed, are dropped.
        total_steps: Where it ends.
        main: Whether this process writes; the others stay silent.
        metrics: Told what is written down, if anybody asked for metrics.
    """

    def __init__(
        self,
        run: Path,
        config: RunConfig,
        console: Console,
        *,
        first_step: int,
        total_steps: int,
        main: bool = True,
        metrics: Telemetry | None = None,
    ) -> None:
        self.run = run
        self.batch = config.optimization.batch
        self.main = main
        self.metrics = metrics
        self._waited = 0.0
        self._nonfinite = 0
        self._last_line = (first_step, time.monotonic())
        if not main:
            return
        run.mkdir(parents=True, exist_ok=True)
        with atomic_write(run / "config.json") as f:
            f.write(config.model_dump_json(indent=2).encode() + b"\n")
        _drop_lines_after(run / STATS, first_step)
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=first_step)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(config.name, total=total_steps, completed=first_step, note="")

    def __enter__(self) -> RunLog:
        if self.main:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.main:
            self._bar.stop()
            self._board.close()

    def waited(self, seconds: float) -> None:
        """Adds to the time that steps waited for data."""
        self._waited += seconds
        if self.metrics is not None:
            self.metrics.data_wait.inc(seconds)

    def nonfinite(self, steps: int) -> None:
        """Adds to the optimiser steps whose gradients were not finite."""
        self._nonfinite += steps
        if self.metrics is not None:
            self.metrics.nonfinite_steps.inc(steps)

    def line(self, step: int, stats: dict[str, float], seconds: float) -> None:
        """Writes the figures of the steps since the last line.

        Args:
            step: Steps done.
            stats: Means of what the family reported, and learning rates.
            seconds: Training time of the run so far.
        """
        last_step, last_time = self._last_line
        now = time.monotonic()
        spent = max(now - last_time, 1e-9)
        stats = {
            **stats,
            "step": step,
            "kimg": step * self.batch / 1000,
            "seconds": seconds,
            "images_per_second": (step - last_step) * self.batch / spent,
            "data_share": self._waited / spent,
            "nonfinite_steps": self._nonfinite,
        }
        self._last_line, self._waited, self._nonfinite = (step, now), 0.0, 0
        if not self.main:
            return
        with (self.run / STATS).open("a") as file:
            file.write(json.dumps(stats) + "\n")
        for name, value in stats.items():
            if name not in ("step", "kimg"):
                self._board.add_scalar(name, value, step)
        if self.metrics is not None:
            self.metrics.line(stats)
        figures = [
            f"{name.removeprefix('loss/')} {value:.3g}"
            for name, value in stats.items()
            if name.startswith("loss/") or name == "ada/p"
        ]
        note = [f"{stats['kimg']:.1f} kimg", f"{stats['images_per_second']:.1f} images/s", *figures]
        self._bar.update(self._task, note=" · ".join(note))

    def progress(self, step: int, seconds: float) -> None:
        """Moves the progress bar.

        Args:
            step: Steps done.
            seconds: Time of the last one, waiting for its data and writing of it included.
        """
        if self.main:
            self._bar.update(self._task, completed=step)
        if self.metrics is not None:
            self.metrics.step(seconds)

    def saved(self) -> None:
        """Notes that a checkpoint was written now."""
        if self.metrics is not None:
            self.metrics.saved()

    def picture(self, step: int, images: Tensor) -> None:
        """Saves a table of images, [rows, columns, 3, H, W] in [−1, 1], as `snapshot-<kimg>.png`."""
        if not self.main:
            return
        pixels = picture(images)
        kimg = step * self.batch / 1000
        with atomic_write(self.run / f"snapshot-{kimg:09.2f}.png") as f:
            Image.fromarray(pixels).save(f, "PNG")
        self._board.add_image("snapshot", torch.from_numpy(pixels), step, dataformats="HWC")
        self._board.flush()


def _drop_lines_after(path: Path, step: int) -> None:
    """Keeps the lines up to a step, so that a resumed run has each step's figures once."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text().splitlines():
        try:
            if json.loads(text)["step"] <= step:
                kept.append(text)
        except (ValueError, KeyError):
            continue  # a line cut off by a kill
    with atomic_write(path) as f:
        f.write("".join(f"{text}\n" for text in kept).encode())
