"""The training loop of every family, from top to bottom."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console

from training.checkpoint import LATEST, Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from training.config import RunConfig
from training.data.datasets import Dataset, open_dataset
from training.data.loader import batches
from training.data.progress import reading
from training.engine import Batch, DeviceError, Engine, processes, this_rank
from training.errors import GantrainError
from training.families.base import Family
from training.families.table import FAMILIES
from training.run_log import RunLog
from training.telemetry import Exposition, Telemetry, telemetry

LOG_EVERY = 20  # steps between two lines of stats.jsonl
PREVIEW_SAMPLES = 8


class RunExistsError(GantrainError):
    """A run folder holds another run, or holds this one and resuming was not asked for."""


def train(
    config: RunConfig,
    data: Path,
    run: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    device: str | None = None,
    console: Console | None = None,
    command: str | None = None,
    metrics: Exposition | None = None,
) -> Checkpoint:
    """Trains until `config.optimization.kimg`, a stop signal, or a time limit, and leaves a checkpoint.

    Started by torchrun, all its processes share each batch, and the first one writes.

    Args:
        config: What to learn, and how.
        data: Folder of the dataset.
        run: Folder of the run: `config.json`, `stats.jsonl`, TensorBoard events, `snapshot-*.png` and
            `checkpoint.pt`.
        resume: Go on from the folder's checkpoint.
        max_minutes: Stop after this long, with a checkpoint.
        device: `cpu`, `cuda` or `cuda:N`; None takes a GPU if there is one.
        console: Where progress is shown.
        command: What was typed, for the model card.
        metrics: Where the first process makes metrics available to Prometheus, if it shall.

    Returns:
        The last checkpoint.

    Raises:
        DatasetError: If the dataset cannot be used.
        CheckpointError: If the checkpoint to resume or to start from cannot be used.
        DeviceError: If the device is missing, or the processes cannot share a batch.
        DivergedError: If a loss is no longer finite.
        RunExistsError: If the folder holds a run and `resume` is false.
        SamplerError: If the batch is larger than the dataset.
        TelemetryError: If metrics cannot be made available there.
    """
    console = console or Console()
    with processes(device), ExitStack() as stack:
        exposed = None
        if metrics is not None and this_rank() == 0:
            exposed = stack.enter_context(telemetry(config, run, metrics, console))
        return _train(config, data, run, resume, max_minutes, device, console, command, exposed)


def _train(
    config: RunConfig,
    data: Path,
    run: Path,
    resume: bool,
    max_minutes: float | None,
    device: str | None,
    console: Console,
    command: str | None,
    metrics: Telemetry | None,
) -> Checkpoint:
    o = config.optimization
    engine = Engine(
        config.seed,
        device=device,
        precision=config.compute.precision,
        accumulate=o.accumulate,
        compile_networks=config.compute.compile,
    )
    if o.batch % (engine.world_size * o.accumulate):
        raise DeviceError(
            f"optimization.batch={o.batch} does not divide into {engine.world_size} processes times "
            f"optimization.accumulate={o.accumulate}"
        )
    latest = run / LATEST
    if latest.exists() and not resume:
        raise RunExistsError(f"{run} holds a run; resume it with --resume or name another folder")
    saved = load_checkpoint(latest) if resume else None
    if resume and engine.is_main:
        for unfinished in run.glob(f".{LATEST}.*"):  # a kill fell into writing them
            unfinished.unlink()
    if saved is not None and saved.config != config:
        raise CheckpointError(f"{latest} was trained with another configuration, see {run}/config.json")

    family_type = FAMILIES[config.family]
    with reading(console if engine.is_main else None) as progress:
        dataset, held_out_set = (
            open_dataset(
                data, family_type.layout, split, resolution=config.data.resolution, progress=progress
            )
            for split in ("train", "heldout")
        )
    torch.manual_seed(config.seed)  # initial weights: the same on every process
    family = family_type(config, engine, dataset.classes)
    if engine.is_main:
        for note in [*dataset.notes, *family.notes]:
            console.print(f"note: {note}", highlight=False)
    step, seconds = 0, 0.0
    if saved is not None:
        family.load_state_dict(saved.family)
        engine.load_state_dict(saved.engine)
        step, seconds = saved.step, saved.seconds
    else:
        _seed_libraries(config.seed * 1_000_003 + engine.rank)
        if config.init_from is not None:
            taken = family.transfer(load_checkpoint(Path(config.init_from)).family)
            console.print(f"starting from {config.init_from}: {taken}")

    total_steps = config.total_steps
    snapshot_steps = max(round(config.snapshots.kimg * 1000 / o.batch), 1)
    keep_steps = round(config.snapshots.keep_kimg * 1000 / o.batch)
    started = time.monotonic() - seconds
    deadline = None if max_minutes is None else time.monotonic() + max_minutes * 60
    held_out = _preview_batch(config, held_out_set, engine)

    def checkpoint() -> Checkpoint:
        log.nonfinite(engine.take_nonfinite())
        engine.check_reports()  # a run that has diverged must not replace its last good checkpoint
        result = Checkpoint(
            config=config,
            classes=family.classes,
            step=step,
            family=family.state_dict(),
            engine=engine.state_dict(),
            seconds=time.monotonic() - started,
            device=_describe(engine),
            command=command,
        )
        if engine.is_main:
            save_checkpoint(latest, result)
            if keep_steps and step % keep_steps == 0:
                kept = run / f"checkpoint-{result.kimg:010.3f}.pt"
                kept.unlink(missing_ok=True)
                os.link(latest, kept)  # both names of one file, so keeping it costs no copy
            log.saved()
            log.picture(step, family.preview(held_out))
        return result

    stream = batches(
        dataset,
        batch=o.batch,
        seed=config.seed,
        first_step=step,
        part=engine.part,
        workers=config.data.workers,
        transform=family_type.transform(config),
        pin_memory=engine.device.type == "cuda",
    )
    if metrics is not None:
        metrics.begin(step, engine.device)
    with (
        closing(stream),
        _stop_signals() as stopped,
        RunLog(
            run,
            config,
            console,
            first_step=step,
            total_steps=total_steps,
            main=engine.is_main,
            metrics=metrics,
        ) as log,
    ):
        while step < total_steps:
            asked = time.monotonic()
            batch = {name: value.to(engine.device, non_blocking=True) for name, value in next(stream).items()}
            log.waited(time.monotonic() - asked)
            rates = _set_learning_rates(family, lr_factor(step * o.batch / 1000, o.kimg, o.lr_decay_kimg))
            family.step(batch, step)
            step += 1
            if step % LOG_EVERY == 0:
                log.nonfinite(engine.take_nonfinite())
                log.line(step, {**engine.take_reports(), **rates}, time.monotonic() - started)
            log.progress(step, time.monotonic() - asked)
            if engine.any(stopped() or (deadline is not None and time.monotonic() >= deadline)):
                break
            if step % snapshot_steps == 0 and step < total_steps:
                checkpoint()
        return checkpoint()


def describe_networks(config: RunConfig, data: Path) -> str:
    """The sizes of a run's networks, one a line.

    Args:
        config: What to learn, and how.
        data: Folder of the dataset, whose number of classes matters to some; it may be missing.
    """
    classes: tuple[str, ...] = ("?",)
    if data.exists():
        classes = open_dataset(
            data, FAMILIES[config.family].layout, "heldout", resolution=config.data.resolution
        ).classes
    networks = FAMILIES[config.family](config, Engine(0, device="cpu"), classes).networks
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    return "\n".join(f"{name:8} {size / 1e6:9.3f} M parameters" for name, size in sizes.items())


def lr_factor(kimg: float, total_kimg: float, decay_kimg: float) -> float:
    """Share of the learning rate at a point of the run: one, then falling linearly to zero at its end."""
    return 1.0 if decay_kimg == 0 else max(0.0, min(1.0, (total_kimg - kimg) / decay_kimg))


def _set_learning_rates(family: Family[Any], factor: float) -> dict[str, float]:
    """Sets them, and gives each optimiser's as `lr/<name>` for the log."""
    rates = {}
    for name, optimizer in family.optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = rates[f"lr/{name}"] = group.setdefault("initial_lr", group["lr"]) * factor
    return rates


def _seed_libraries(seed: int) -> None:
    """Seeds what layers and libraries draw from by themselves (dropout), otherwise on every process."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _preview_batch(config: RunConfig, held_out: Dataset, engine: Engine) -> Batch:
    """A few held-out samples, the same for every snapshot of every run of a dataset."""
    n = min(PREVIEW_SAMPLES, len(held_out))
    transform = FAMILIES[config.family].heldout_transform(config)
    with closing(batches(held_out, batch=n, seed=0, transform=transform)) as stream:
        return {name: value.to(engine.device) for name, value in next(stream).items()}


def _describe(engine: Engine) -> str:
    if engine.device.type == "cuda":
        name = torch.cuda.get_device_name(engine.device)
        return f"{engine.world_size} × {name}"
    return f"CPU, {torch.get_num_threads() * engine.world_size} threads"


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
