"""What a family of GANs is: typed settings, networks, optimisers, and one optimisation step.

To add a family: its networks in `training/networks/`, a subclass of `Family` in a file of its own here, a
line in `table.py`, a preset in `training/presets/`. Data, devices, precision, distribution, gradient
accumulation, checkpoints, logs and pictures come from the loop; metrics and export follow from `kind`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config import Layout, RunConfig
from training.data.mirror import Mirror
from training.engine import Batch, Engine
from training.errors import GantrainError
from training.pixels import image_grid

C = TypeVar("C", bound=RunConfig)
Kind = Literal["generator", "translator", "upscaler"]
State = Mapping[str, Any]


class TransferError(GantrainError):
    """The weights a run was to start from do not fit its networks."""


class MappingHalf(Protocol):
    """The half of a generator that turns latents into styles; N samples at a time."""

    z_dim: int
    w_dim: int
    num_ws: int
    c_dim: int  # classes of a conditional generator, else 0
    w_avg: Tensor  # what truncation pulls towards, [w_dim]

    def ws(self, z: Tensor, label: Tensor | None) -> Tensor:
        """From z [N, z_dim] and one-hot labels [N, c_dim] FP32 to untruncated ws [N, num_ws, w_dim]."""


class SynthesisHalf(Protocol):
    """The half of a generator that turns styles into images; N samples at a time."""

    resolution: int

    def constant_noise(self) -> list[Tensor]:
        """The model's own noise, [1, 1, R, R] for each layer that takes noise; empty if none does."""

    def __call__(self, ws: Tensor, noise: list[Tensor] | None) -> Tensor:
        """From ws [N, num_ws, w_dim] and noise [N or 1, 1, R, R] a layer to [N, 3, H, W] in about [−1, 1]."""


@runtime_checkable
class MovableSynthesis(Protocol):
    """A synthesis half that can turn and move what it draws before there are pixels."""

    def moved(self, ws: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """Images of ws [N, num_ws, w_dim], [N, 3, H, W], with the content turned and then moved.

        `rotation` is in degrees, counter-clockwise [N, 1]; `translation` in fractions of the image, to the
        right and down [N, 2]. They mean what `--rotate` and `--translate` of NVIDIA's `gen_images.py` mean.
        """


class GeneratorNetwork(Protocol):
    """What the network of a generator's `Deployable` looks like; the graphs of export/ need no more."""

    mapping: MappingHalf
    synthesis: SynthesisHalf


@dataclass(frozen=True)
class Deployable:
    """A trained network as it is to be served.

    Attributes:
        name: Public name.
        title: What it makes, for people.
        network: In evaluation mode, on the CPU. For a generator: a `GeneratorNetwork`; for a
            translator: [N, 3, H, W] in [−1, 1] → the same; for an upscaler: [N, 3, H, W] in [0, 1] →
            [N, 3, scale·H, scale·W] in [0, 1].
        source: Side of a paired or unpaired sample that a translator takes, `A` or `B`.
        card: What the family knows of it for the model card: sizes, policies, classes.
    """

    name: str
    title: str
    network: nn.Module
    source: Literal["A", "B"] = "A"
    card: dict[str, Any] = field(default_factory=dict)


class Family(ABC, Generic[C]):
    """The networks and optimisers of one run.

    A constructor fills `networks` with everything that is saved (averages included, each passed through
    `engine.prepare`) and `optimizers`, whose parameter groups keep their learning rates; the loop scales
    them by the schedule.

    Args:
        config: The run's configuration.
        engine: What steps run on.
        classes: Names of the dataset's classes; empty if it has no labels.
    """

    Config: ClassVar[type[RunConfig]]
    kind: ClassVar[Kind]
    layout: ClassVar[Layout]

    def __init__(self, config: C, engine: Engine, classes: tuple[str, ...] = ()) -> None:
        self.config = config
        self.engine = engine
        self.classes = classes
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.notes: list[str] = []  # what is worth telling when a run starts

    @abstractmethod
    def step(self, batch: Batch, step: int) -> None:
        """Optimises every network once.

        Args:
            batch: This process's share of the step's samples, by name, on the engine's device: UINT8 images
                [n, 3, H, W] (`image`, or `A` and `B`, or what `transform` made) and INT64 `label` [n].
            step: Number of this step, from 0.
        """

    @abstractmethod
    def preview(self, batch: Batch) -> Tensor:
        """What the run can do by now, as a table of pictures.

        Args:
            batch: The same few held-out samples each time.

        Returns:
            Images in [−1, 1] of one size, [rows, columns, 3, H, W], on any device.
        """

    @classmethod
    @abstractmethod
    def deployables(cls, config: C, classes: tuple[str, ...], state: State) -> list[Deployable]:
        """The networks to be served, out of the state of a checkpoint."""

    @classmethod
    def transform(cls, config: C) -> Transform | None:
        """What is done to each training sample before it is shown, if anything; runs in data workers."""
        return Mirror() if config.data.mirror else None

    @classmethod
    def heldout_transform(cls, config: C) -> Transform | None:
        """What is done to each held-out sample of the pictures of progress; by default as in training."""
        return cls.transform(config)

    def extra_state(self) -> dict[str, Any]:
        """What a resumed run needs besides networks and optimisers: tensors and plain values."""
        return {}

    def load_extra_state(self, state: State) -> None:
        """Takes up what `extra_state` gave."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs from here, as tensors and plain values."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "extra": self.extra_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Takes up the state of a checkpoint of this run."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.load_extra_state(state["extra"])

    def transfer(self, state: State) -> str:
        """Starts from another run's weights, wherever name and shape agree.

        Args:
            state: The family state of that run's checkpoint.

        Returns:
            What was taken, for the log.

        Raises:
            TransferError: If nothing fits.
        """
        taken = total = 0
        for name, network in self.networks.items():
            mine = network.state_dict()
            theirs = state["networks"].get(name, {})
            fitting = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
            network.load_state_dict({**mine, **fitting})
            taken, total = taken + len(fitting), total + len(mine)
        if not taken:
            raise TransferError("nothing of these weights fits the networks of this run")
        return f"{taken} of {total} tensors"


class Transform(Protocol):
    """Changes a training sample: crops, flips, degrades. Must be picklable, for data workers."""

    def __call__(self, sample: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """A new sample; `rng` is the sample's own source of random numbers."""


def picture(images: Tensor) -> NDArray[np.uint8]:
    """One picture of many: [rows, columns, 3, H, W] in [−1, 1] → UINT8 [rows·H, columns·W, 3]."""
    return image_grid(images.flatten(0, 1), columns=images.shape[1])
