"""Images a second of one optimisation step of each family, beside reference implementations, in turns.

    python -m tests.benchmarks.training                           everything
    python -m tests.benchmarks.training pix2pix-256 dcgan-64      some of it
    python -m tests.benchmarks.training --stylegan ~/stylegan2-ada-pytorch --pix2pix ~/pix2pix

With a path, the networks and losses of that clone are stepped at the same sizes, in a process of their own.
The plain loop steps our networks and losses without our engine: `zero_grad`, `backward`, `step`, the default
memory format, and no accumulation, distribution, reports or checks of gradients; it says what these add.
On a CPU networks are smaller than published (training_cases.py); `--full` takes the published sizes.

Waiting for data is the share of the time of real steps that is spent in the real loader, on a dataset made
up in the layout of the family; like a training run, it is decoded once and kept in memory, unless
`--from-files` lets it be decoded as it is used.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.made_up_data import write_dataset
from tests.benchmarks.reference_process import ReferenceImplementationError, ReferenceProcess, timed
from tests.benchmarks.training_cases import CASES, Case
from training.config import RunConfig
from training.data.datasets import Dataset, open_dataset
from training.data.loader import batches
from training.data.store import RAM_LIMIT
from training.engine import Batch, Engine
from training.families.base import Family
from training.families.table import FAMILIES

IMAGES = 64  # of a made-up dataset
LEAST_SECONDS = 0.25  # that one timing lasts
DATA_SECONDS = 3.0  # that steps with the real loader last
REFERENCES = {"stylegan": "stylegan_reference", "pix2pix": "pix2pix_reference"}

Seconds = Callable[[int, int], float]
"""Does the step of a number so many times, and says how long one took."""


class PlainEngine(Engine):
    """What a training script of a page does in place of our engine."""

    def prepare(self, network: nn.Module) -> nn.Module:
        """Moves a network to the device, and nothing more."""
        return network.to(self.device)

    def minimize(
        self,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[Batch], Tensor],
        batch: Batch,
        *,
        through: Sequence[nn.Module] = (),
    ) -> None:
        """One step down the gradient of the whole batch's loss."""
        optimizer.zero_grad()
        with self.autocast():
            loss = loss_of(batch)
        loss.backward()
        optimizer.step()

    def report(self, name: str, value: Tensor | float) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Row:
    """Images a second of one contender.

    Attributes:
        name: Whose.
        rates: One figure for each round.
    """

    name: str
    rates: list[float]

    @property
    def median(self) -> float:
        """The middle of all rounds."""
        return statistics.median(self.rates)


def measure(case: Case, options: argparse.Namespace) -> None:
    """Prints the table of one case."""
    config = case.config(small=options.small)
    family_type = FAMILIES[config.family]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_dataset(Path(folder), family_type.layout, config.data.resolution, IMAGES)
        dataset = open_dataset(
            Path(folder), family_type.layout, "train", resolution=config.data.resolution,
            ram_limit=0 if options.from_files else RAM_LIMIT,
        )  # fmt: skip
        ours = _family(config, Engine, options.device)
        batch = _first_batch(ours, dataset)
        contenders: dict[str, Seconds] = {
            "gantrain": _stepper(ours, batch, options.cpu_time),
            "plain PyTorch loop": _stepper(
                _family(config, PlainEngine, options.device), batch, options.cpu_time
            ),
        }
        path = getattr(options, case.reference or "", None)
        if path is not None:
            settings = {
                "config": config.model_dump(),
                "device": options.device,
                "threads": options.threads,
                "cpu_time": options.cpu_time,
            }
            try:
                process = ReferenceProcess(REFERENCES[case.reference or ""], path, settings)
                stack.callback(process.close)
                contenders[process.description] = process.seconds
            except ReferenceImplementationError as error:
                print(f"(no reference from {path}: {error})", file=sys.stderr)
        rows = list(_in_turns(contenders, case.steps, config.optimization.batch, options.rounds))
        shares = {n: _waiting(ours, dataset, n) for n in (0, 2)}
    sizes = ", ".join(f"{name} {_millions(net):.1f} M" for name, net in _trained(ours).items())
    print(
        f"\n{case.title}, batch {config.optimization.batch}, {config.compute.precision}; {sizes} parameters"
    )
    _show(rows)
    print("  waiting for data: " + ", ".join(f"{s:.1%} with {n} workers" for n, s in shares.items()))
    sys.stdout.flush()


def _family(config: RunConfig, engine: type[Engine], device: str) -> Family[Any]:
    torch.manual_seed(config.seed)
    made = engine(config.seed, device=device, precision=config.compute.precision)
    return FAMILIES[config.family](config, made)


def _trained(family: Family[Any]) -> Mapping[str, nn.Module]:
    return {name: net for name, net in family.networks.items() if not name.endswith("_ema")}


def _millions(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def _first_batch(family: Family[Any], dataset: Dataset) -> Batch:
    with closing(_stream(family, dataset, 0)) as stream:
        return {name: value.to(family.engine.device) for name, value in next(stream).items()}


def _stream(family: Family[Any], dataset: Dataset, workers: int) -> Any:
    """The loader as the loop opens it."""
    config = family.config
    return batches(
        dataset,
        batch=config.optimization.batch,
        seed=config.seed,
        workers=workers,
        transform=family.transform(config),
        pin_memory=family.engine.device.type == "cuda",
    )


def _stepper(family: Family[Any], batch: Batch, cpu_time: bool) -> Seconds:
    device = str(family.engine.device)
    return lambda step, repeats: timed(partial(family.step, batch, step), repeats, device, cpu_time=cpu_time)


def _in_turns(
    contenders: Mapping[str, Seconds], steps: Sequence[tuple[int, float]], batch: int, rounds: int
) -> Iterator[Row]:
    """Times contenders in turns, round by round, so that a slow spell of the machine hits all alike."""
    repeats = {}
    for seconds in contenders.values():
        for number, _ in steps:
            seconds(number, 1)  # memory, kernels and plans of a first time
    for number, _ in steps:
        slowest = max(seconds(number, 1) for seconds in contenders.values())
        repeats[number] = max(1, round(LEAST_SECONDS / slowest))
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    for _ in range(rounds):
        for name, seconds in order:
            mean = sum(share * seconds(number, repeats[number]) for number, share in steps)
            rates[name].append(batch / mean)
        order.reverse()
    for name, values in rates.items():
        yield Row(name, values)


def _waiting(family: Family[Any], dataset: Dataset, workers: int) -> float:
    """The share of time that steps wait for the loader, once its workers run."""
    on_gpu = family.engine.device.type == "cuda"
    waited = 0.0
    with closing(_stream(family, dataset, workers)) as stream:
        next(stream)
        started = time.perf_counter()
        step = 0
        while step < 3 or time.perf_counter() - started < DATA_SECONDS:
            asked = time.perf_counter()
            batch = {name: value.to(family.engine.device) for name, value in next(stream).items()}
            waited += time.perf_counter() - asked
            step += 1
            family.step(batch, 16 * step + 1)  # numbers without regularisation
            if on_gpu:
                torch.cuda.synchronize()
        return waited / (time.perf_counter() - started)


def _show(rows: Sequence[Row]) -> None:
    """Prints a table: the first row is ours, the others beside how many times faster ours is."""
    print(f"  {'images a second':32} {'median':>8} {'slowest':>8} {'fastest':>8} {'gantrain is':>13}")
    for row in rows:
        ratio = "" if row is rows[0] else f"{rows[0].median / row.median:.2f} × it"
        print(f"  {row.name:32} {row.median:8.2f} {min(row.rates):8.2f} {max(row.rates):8.2f} {ratio:>13}")


def _hardware(device: str, threads: int) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {threads} threads of {os.cpu_count()} cores"


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)}; default all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that medians are taken over")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--full", action="store_true", help="published sizes on a CPU too")
    parser.add_argument("--from-files", action="store_true", help="decode images as they are used")
    parser.add_argument(
        "--cpu-time", action="store_true", help="images a second of CPU time, on a machine that others use"
    )
    parser.add_argument("--stylegan", type=Path, help="clone of stylegan2-ada-pytorch or stylegan3")
    parser.add_argument("--pix2pix", type=Path, help="clone of pytorch-CycleGAN-and-pix2pix")
    options = parser.parse_args()
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    options.small = options.device == "cpu" and not options.full
    torch.set_num_threads(options.threads)
    print(f"{_hardware(options.device, options.threads)}; torch {torch.__version__}")
    if options.cpu_time:
        print("seconds of CPU time, which others on the machine take nothing of")
    started = time.perf_counter()
    for name in options.cases or CASES:
        measure(CASES[name], options)
    print(f"\n{time.perf_counter() - started:.0f} seconds in all")


if __name__ == "__main__":
    main()
