"""The training loop, from top to bottom."""

from __future__ import annotations

import json
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from training.config import RunConfig
from training.data.archive import read_archive
from training.errors import GantrainError
from training.families.stylegan import StyleGAN2
from training.files import atomic_write
from training.pixels import image_grid, to_unit_range
from training.sampler import EpochSampler

CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 50  # steps between two lines of stats.jsonl


class RunExistsError(GantrainError):
    """A run folder holds another run, or holds this one and resuming was not asked for."""


def train(
    config: RunConfig,
    data: Path,
    run: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    console: Console | None = None,
) -> Checkpoint:
    """Trains until `config.optimization.kimg`, a stop signal, or a time limit, and leaves a checkpoint.

    Args:
        config: What to learn, and how.
        data: The training archive.
        run: Folder of the run: `config.json`, `stats.jsonl`, `fakes-*.png` and `checkpoint.pt`.
        resume: Go on from the folder's checkpoint.
        max_minutes: Stop after this long, with a checkpoint.
        console: Where progress is shown.

    Returns:
        The last checkpoint.

    Raises:
        ArchiveError: If the dataset cannot be used.
        CheckpointError: If the checkpoint to resume from cannot be used.
        RunExistsError: If the folder holds a run and `resume` is false.
        SamplerError: If the batch is larger than the dataset.
    """
    console = console or Console()
    o = config.optimization
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint_path = run / CHECKPOINT
    if checkpoint_path.exists() and not resume:
        raise RunExistsError(f"{run} holds a run; resume it with --resume or name another folder")

    dataset = torch.from_numpy(read_archive(data, config.data.resolution)).permute(0, 3, 1, 2)  # [N, 3, R, R]
    sampler = EpochSampler(len(dataset), o.batch, config.seed)
    torch.manual_seed(config.seed)
    rng = torch.Generator().manual_seed(config.seed)
    model = StyleGAN2(config, device)
    step, seconds = 0, 0.0
    if resume:
        saved = load_checkpoint(checkpoint_path)
        if saved.config != config:
            raise CheckpointError(
                f"{checkpoint_path} was trained with another configuration, see {run}/config.json"
            )
        model.load_state_dict(saved.model)
        rng.set_state(saved.rng)
        step, seconds = saved.step, saved.seconds

    run.mkdir(parents=True, exist_ok=True)
    with atomic_write(run / "config.json") as f:
        f.write(config.model_dump_json(indent=2).encode() + b"\n")
    # The same latents in every snapshot, so that pictures of one run can be compared.
    preview_z = torch.randn(32, config.generator.z_dim, generator=torch.Generator().manual_seed(0)).to(device)

    total_steps = round(o.kimg * 1000 / o.batch)
    snapshot_steps = max(round(config.snapshot_kimg * 1000 / o.batch), 1)
    started = time.monotonic() - seconds
    deadline = None if max_minutes is None else time.monotonic() + max_minutes * 60
    sums: dict[str, list[float]] = defaultdict(list)

    def snapshot() -> Checkpoint:
        checkpoint = Checkpoint(config, step, model.state_dict(), rng.get_state(), time.monotonic() - started)
        save_checkpoint(checkpoint_path, checkpoint)
        with torch.no_grad():
            grid = image_grid(model.G_ema(preview_z), columns=8)
        with atomic_write(run / f"fakes-{round(checkpoint.kimg):06d}.png") as f:
            Image.fromarray(grid).save(f, "PNG")
        return checkpoint

    with _stop_signals() as stopped, _progress(console) as progress:
        task = progress.add_task("training", total=total_steps, completed=step, note="")
        while step < total_steps:
            reals = to_unit_range(dataset[sampler(step)])
            stats = model.step(reals, step, rng)
            step += 1
            for name, value in stats.items():
                sums[name].append(value)
            if step % LOG_EVERY == 0:
                line = {name: sum(values) / len(values) for name, values in sums.items()}
                sums.clear()
                line |= {"step": step, "kimg": step * o.batch / 1000, "seconds": time.monotonic() - started}
                with (run / "stats.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                rate = step * o.batch / line["seconds"]
                progress.update(
                    task,
                    note=f"{line['kimg']:.1f} kimg · {rate:.1f} images/s · "
                    f"G {line['loss/G']:.2f} · D {line['loss/D']:.2f}",
                )
            progress.update(task, completed=step)
            if stopped() or (deadline is not None and time.monotonic() >= deadline):
                break
            if step % snapshot_steps == 0 and step < total_steps:
                snapshot()
    return snapshot()


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM end the loop after the step at hand, so that a checkpoint is written."""
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    previous = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
