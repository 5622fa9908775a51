"""Checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.config import RunConfig, parse_config
from training.errors import GantrainError
from training.files import atomic_write


class CheckpointError(GantrainError):
    """A checkpoint cannot be used; the message says which file and why."""


@dataclass
class Checkpoint:
    """A run at one step.

    Attributes:
        config: The run's configuration.
        step: Optimisation steps done.
        model: State of networks and optimisers.
        rng: State of the run's random generator.
        seconds: Training time so far.
    """

    config: RunConfig
    step: int
    model: dict[str, Any]
    rng: torch.Tensor
    seconds: float

    @property
    def kimg(self) -> float:
        """Thousands of real images shown."""
        return self.step * self.config.optimization.batch / 1000


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, whole or not at all."""
    with atomic_write(path) as f:
        torch.save(
            {
                "format": 1,
                "config": checkpoint.config.model_dump_json(),
                "step": checkpoint.step,
                "model": checkpoint.model,
                "rng": checkpoint.rng,
                "seconds": checkpoint.seconds,
            },
            f,
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint without executing anything in it.

    Raises:
        CheckpointError: If the file is missing, broken or not a checkpoint of this package.
    """
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(
            config=parse_config(json.loads(data["config"])),
            step=data["step"],
            model=data["model"],
            rng=data["rng"],
            seconds=data["seconds"],
        )
    except Exception as error:  # torch.load raises many types for a broken file
        raise CheckpointError(f"{path} is not a checkpoint of this package: {error}") from error
