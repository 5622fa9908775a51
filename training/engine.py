"""What a family's step runs on: the device, the precision, and how one step's work is shared out.

A step's global batch is cut twice, always in strides: process r of W takes the images r, r + W, …, and of
those the k-th of K accumulated parts takes k, k + K, …. Random numbers are drawn for the whole batch and cut
the same way. So a step computes the same whatever W and K are, up to the order in which floats are added;
strides keep even the groups of the minibatch standard deviation together (networks/stylegan2.py).
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.errors import GantrainError

Precision = Literal["fp32", "bf16", "fp16"]
Batch = dict[str, Any]
"""Tensors, or lists of tensors, whose first axis is the image."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceError(GantrainError):
    """The device asked for is not there, or the processes cannot share the batch."""


class DivergedError(GantrainError):
    """A loss is no longer a finite number."""


class Engine:
    """Device, precision, distribution and random numbers of one process of a run.

    Args:
        seed: Seed of every random number of the run.
        device: `cpu`, `cuda` or `cuda:N`; None takes the GPU of this process if there is one.
        precision: `bf16` and `fp16` run networks under autocast; `fp16` also scales the loss.
        accumulate: Parts that a step's batch is computed in, to save memory.
        compile_networks: Whether `prepare` compiles networks.

    Raises:
        DeviceError: If the device is not there.
    """

    def __init__(
        self,
        seed: int,
        *,
        device: str | None = None,
        precision: Precision = "fp32",
        accumulate: int = 1,
        compile_networks: bool = False,
    ) -> None:
        self.rank = this_rank()
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        self.device = _device(device)
        self.precision = precision
        self.accumulate = accumulate
        self.compile_networks = compile_networks
        # Moves in step on every process, as each draws for the whole batch.
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.device))
        self._nonfinite = torch.zeros([], dtype=torch.int64, device=self.device)

    @property
    def part(self) -> slice:
        """Which images of a global batch are this process's."""
        return slice(self.rank, None, self.world_size)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def prepare(self, network: nn.Module) -> nn.Module:
        """Moves a network to the device in the memory format that it runs fastest in."""
        network = network.to(self.device, memory_format=self._memory_format(network))  # type: ignore[call-overload]
        if self.compile_networks:
            network.compile()  # in place, so that names of parameters stay what they are
        return network

    def _memory_format(self, network: nn.Module) -> torch.memory_format:
        """Convolutions run fastest on channels-last images; on a CPU instance normalisation copies those."""
        copies = any(isinstance(module, nn.InstanceNorm2d) for module in network.modules())
        return torch.contiguous_format if copies and self.device.type == "cpu" else torch.channels_last

    def randn(self, n: int, *shape: int) -> Tensor:
        """Standard normal numbers for this process's n images, [n, *shape]."""
        whole = torch.randn(n * self.world_size, *shape, generator=self.rng, device=self.device)
        return whole[self.part]

    def rand(self, n: int, *shape: int) -> Tensor:
        """Uniform numbers from [0, 1) for this process's n images, [n, *shape]."""
        whole = torch.rand(n * self.world_size, *shape, generator=self.rng, device=self.device)
        return whole[self.part]

    def randint(self, low: int, high: int, n: int, *shape: int) -> Tensor:
        """Integers from [low, high) for this process's n images, [n, *shape] INT64."""
        size = (n * self.world_size, *shape)
        return torch.randint(low, high, size, generator=self.rng, device=self.device)[self.part]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run at the run's precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])

    def split(self, batch: Batch) -> Iterator[Batch]:
        """The parts of this process's batch that are computed one after the other."""
        for k in range(self.accumulate):
            yield {name: _strided(value, k, self.accumulate) for name, value in batch.items()}

    def minimize(
        self,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[Batch], Tensor],
        batch: Batch,
        *,
        through: Sequence[nn.Module] = (),
    ) -> None:
        """Takes one step down the gradient of a loss.

        Args:
            optimizer: Of the parameters to move.
            loss_of: The mean loss of a part of the batch.
            batch: This process's images and random numbers.
            through: Networks that hand the gradient on and need none for their own parameters.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        with _frozen(through):
            for part in self.split(batch):
                with self.autocast():
                    loss = loss_of(part)
                self.scaler.scale(loss / self.accumulate).backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        self._average(gradients)
        # A norm is finite only if all are. It is counted on the device, so that nothing waits for it.
        self._nonfinite += ~torch.isfinite(nn.utils.get_total_norm(gradients))
        if not self.scaler.is_enabled():
            # Half-precision blocks may overflow once in a while; such a step must not end the run.
            for gradient in gradients:
                torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        self.scaler.step(optimizer)
        self.scaler.update()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.world_size == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value / self.world_size

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        if self.world_size == 1:
            return flag
        votes = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def report(self, name: str, value: Tensor | float) -> None:
        """Notes a figure of this step; the log shows its mean. Costs no synchronisation with the GPU."""
        value = torch.as_tensor(value, device=self.device).detach().float().mean()
        self._sums[name] += torch.stack([value, torch.ones_like(value)])

    def take_nonfinite(self) -> int:
        """Optimiser steps since the last call whose gradients held an infinity or NaN.

        Those too large to be squared are among them. They are replaced by finite ones; at `fp16` the step is
        left out.
        """
        count = int(self._nonfinite.item())
        self._nonfinite.zero_()
        return count

    def take_reports(self) -> dict[str, float]:
        """The mean of each figure since the last call, over all processes.

        Raises:
            DivergedError: If a loss is not finite.
        """
        means = self.check_reports()
        self._sums.clear()
        return means

    def check_reports(self) -> dict[str, float]:
        """What `take_reports` would give, without taking it.

        Raises:
            DivergedError: If a loss is not finite.
        """
        means = {}
        for name in sorted(self._sums):
            total, count = self.mean(self._sums[name]).tolist()
            means[name] = total / count
        wrong = [name for name, mean in means.items() if not np.isfinite(mean)]
        if wrong:
            raise DivergedError(
                f"{', '.join(wrong)} is not finite: the run has diverged; resume from its last checkpoint "
                "with a smaller learning rate, or a higher precision"
            )
        return means

    def state_dict(self) -> dict[str, Any]:
        """The state of every random generator, and of the loss scaling."""
        mine = _library_rng()
        everyone: list[Any] = [mine]
        if self.world_size > 1:
            everyone = [None] * self.world_size
            dist.all_gather_object(everyone, mine)
        return {"rng": self.rng.get_state(), "libraries": everyone, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the state of a checkpoint; a process that was not there then keeps its own numbers."""
        if state["rng"].shape == self.rng.get_state().shape:  # else the run moves between CPU and GPU
            self.rng.set_state(state["rng"])
        if self.rank < len(state["libraries"]):
            _set_library_rng(state["libraries"][self.rank])
        if self.scaler.is_enabled() and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])

    def _average(self, gradients: list[Tensor]) -> None:
        if self.world_size == 1 or not gradients:
            return
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


@contextlib.contextmanager
def processes(device: str | None) -> Iterator[None]:
    """Joins the processes that torchrun started, if it started any; leaves them at the end."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield
        return
    on_gpu = torch.cuda.is_available() and device != "cpu"
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def this_rank() -> int:
    """The number of this process among those of the run."""
    return dist.get_rank() if dist.is_initialized() else 0


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if name != "cpu" and not (name.startswith("cuda:") and torch.cuda.is_available()):
        raise DeviceError(f"no device {name!r} here; PyTorch sees {torch.cuda.device_count()} GPUs")
    device = torch.device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def _strided(value: Any, k: int, step: int) -> Any:
    if isinstance(value, list):
        return [_strided(item, k, step) for item in value]
    return value[k::step]


@contextlib.contextmanager
def _frozen(networks: Sequence[nn.Module]) -> Iterator[None]:
    trained = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _library_rng() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(words), gauss_next],
    }


def _set_library_rng(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
