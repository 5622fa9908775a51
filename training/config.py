"""What every run is configured by. Each family adds sections of its own; all are typed and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Layout = Literal["images", "paired", "unpaired"]


class Section(BaseModel):
    """Settings that belong together; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(Section):
    """Which images are learnt from."""

    recipe: str = Field(description="Name of the dataset, as `gantrain prepare` made it.")
    resolution: int = Field(ge=8, le=1024, description="Side of an image in pixels.")
    mirror: bool = Field(False, description="Whether half the images are shown mirrored left to right.")
    workers: int = Field(0, ge=0, description="Processes that decode images ahead of the training.")
    path: str | None = Field(
        None, description="Where the dataset lies, if `gantrain prepare` did not make it: folder or zip."
    )

    def folder(self, root: Path) -> Path:
        """Where the dataset lies, given the folder that prepared datasets lie in."""
        return Path(self.path) if self.path is not None else root / f"{self.recipe}-{self.resolution}"


class OptimizationConfig(Section):
    """How long is learnt, in which steps; families add learning rates and weights of losses."""

    batch: int = Field(32, gt=0, description="Images a step, over all processes.")
    accumulate: int = Field(1, gt=0, description="Parts a step is computed in, which saves memory.")
    kimg: float = Field(gt=0, description="Thousands of training images shown in all.")
    lr_decay_kimg: float = Field(
        0.0, ge=0, description="Learning rates fall linearly to zero over the last so many kimg."
    )


class ComputeConfig(Section):
    """How the arithmetic is done."""

    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Type that networks compute in.")
    compile: bool = Field(False, description="Whether networks are compiled with torch.compile.")


class SnapshotConfig(Section):
    """What is kept of a run on its way."""

    kimg: float = Field(10.0, gt=0, description="Thousands of images between two checkpoints.")
    keep_kimg: float = Field(
        0.0, ge=0, description="Keep a checkpoint for good every so many kimg; 0 keeps the latest alone."
    )


class RunConfig(Section):
    """Everything that decides what a run learns; families derive from this."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Public name of the model.")
    title: str = Field(description="What it makes, for people.")
    family: str = Field("stylegan2", description="Which kind of GAN.")
    seed: int = Field(0, ge=0, description="Seed of weights, latents, noise and sampling.")
    init_from: str | None = Field(
        None, description="Run or checkpoint whose weights the run starts from (transfer learning)."
    )
    data: DataConfig
    optimization: OptimizationConfig
    compute: ComputeConfig = ComputeConfig()
    snapshots: SnapshotConfig = SnapshotConfig()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return round(self.optimization.kimg * 1000 / self.optimization.batch)
