"""Checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.config import RunConfig
from training.config_files import parse_config
from training.errors import GantrainError
from training.files import atomic_write

LATEST = "checkpoint.pt"


class CheckpointError(GantrainError):
    """A checkpoint cannot be used; the message says which file and why."""


@dataclass
class Checkpoint:
    """A run at one step.

    Attributes:
        config: The run's configuration.
        classes: Names of the dataset's classes; empty if it has no labels.
        step: Optimisation steps done.
        family: State of networks, optimisers and whatever else the family keeps.
        engine: State of every random generator.
        seconds: Training time so far.
        device: What it was trained on, such as `CPU, 2 threads`.
        command: What was typed to train it; None if it was started otherwise.
    """

    config: RunConfig
    classes: tuple[str, ...]
    step: int
    family: dict[str, Any]
    engine: dict[str, Any]
    seconds: float
    device: str
    command: str | None = None

    @property
    def kimg(self) -> float:
        """Thousands of training images shown."""
        return self.step * self.config.optimization.batch / 1000


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, whole or not at all."""
    with atomic_write(path) as f:
        torch.save(
            {
                "format": 2,
                "config": checkpoint.config.model_dump_json(),
                "classes": list(checkpoint.classes),
                "step": checkpoint.step,
                "family": checkpoint.family,
                "engine": checkpoint.engine,
                "seconds": checkpoint.seconds,
                "device": checkpoint.device,
                "command": checkpoint.command,
            },
            f,
        )


def find_checkpoint(path: Path) -> Path:
    """The latest checkpoint of a run folder, or the checkpoint file itself.

    Raises:
        CheckpointError: If there is neither.
    """
    found = path / LATEST if path.is_dir() else path
    if not found.is_file():
        raise CheckpointError(f"no checkpoint at {found}; `gantrain train` makes one")
    return found


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint without executing anything in it.

    Args:
        path: A run folder, or a checkpoint file.

    Raises:
        CheckpointError: If the file is missing, broken or not a checkpoint of this package.
    """
    file = find_checkpoint(path)
    try:
        data = torch.load(file, map_location="cpu", weights_only=True)
        if data["format"] != 2:
            raise CheckpointError(f"format {data['format']}, while this version reads 2")
        return Checkpoint(
            config=parse_config(json.loads(data["config"])),
            classes=tuple(data["classes"]),
            step=data["step"],
            family=data["family"],
            engine=data["engine"],
            seconds=data["seconds"],
            device=data["device"],
            command=data.get("command"),  # which older checkpoints lack
        )
    except Exception as error:  # torch.load raises many types for a broken file
        raise CheckpointError(f"{file} is not a checkpoint of this package: {error}") from error
