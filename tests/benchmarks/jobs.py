"""What batch jobs cost: beside raw gRPC, by the item, on disk, and while they grow.

    python -m tests.benchmarks.jobs                                     everything
    python -m tests.benchmarks.jobs overhead --items 600                one measurement
    python -m tests.benchmarks.jobs growth --sizes 100 1000 10000 100000

Triton, workers and PostgreSQL run as processes of their own. Rates of processes that share their cores with
others are rough, so what is compared takes turns, and CPU time is shown beside them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from service.memory import keep_freed_memory
from tests.benchmarks.job_parts import PARTS
from tests.benchmarks.job_stack import Done, MeasuredWorker, Stack, enlarging, generating
from tests.benchmarks.job_tiles import TileLoad
from tests.benchmarks.photographs import write_photographs
from tests.benchmarks.serving import SHIPPED
from tests.postgres_process import PostgresProcess
from tests.toy_image_models import write_toy_image_model
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

UPSCALER = "photo-x4"


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    photographs: int
    rounds: int
    items: int
    sizes: list[int]
    listed: int
    stored: int


def measure_throughput(options: Options) -> Iterator[str]:
    """A job of photographs, by one worker and by two, and the same tiles straight to Triton, in turns."""
    height, width = 320, 480
    with _folder() as folder, ExitStack() as stack:
        triton = _triton(stack, folder, [SHIPPED / UPSCALER])
        photographs = write_photographs(folder / "photographs", options.photographs, height, width)
        stacks = {
            f"job, {count} worker{'s' if count > 1 else ''}": stack.enter_context(
                Stack(triton, folder / f"{count}", workers=count)
            )
            for count in (1, 2)
        }
        tiles = TileLoad(triton.grpc_url, UPSCALER, photographs)
        spec = enlarging(UPSCALER, folder / "photographs")
        tiles.send(8)
        for workers in stacks.values():
            workers.run(enlarging(UPSCALER, _some(folder, photographs)))
        rates: dict[str, list[float]] = {"raw gRPC": [], **{name: [] for name in stacks}}
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in rates}
        for turn in range(options.rounds):
            for name in list(rates)[:: 1 if turn % 2 == 0 else -1]:
                if name in stacks:
                    done = stacks[name].run(spec)
                    rates[name].append(tiles.count / done.seconds)
                    spent[name].append((done.triton, done.workers))
                else:
                    before = next(iter(stacks.values())).cpu()[1]
                    seconds, own = tiles.send()
                    rates[name].append(tiles.count / seconds)
                    spent[name].append((next(iter(stacks.values())).cpu()[1] - before, own))
        shape = " × ".join(map(str, tiles.shape))
        yield (
            f"{UPSCALER}: {options.photographs} photographs of {width} × {height} in {tiles.count} tiles of"
            f" {shape}, JPEG to PNG; {options.rounds} turns; medians"
        )
        yield (
            f"  {'':18} {'tiles/s':>8} {'of raw':>7} {'Triton':>8} {'workers':>8}  tiles/s of each turn"
            " (Triton, workers: CPU ms a tile)"
        )
        base = rates["raw gRPC"]
        for name, values in rates.items():
            ratio = statistics.median(value / raw for value, raw in zip(values, base, strict=True))
            cpu = " ".join(
                f"{statistics.median(each[part] for each in spent[name]) / tiles.count * 1e3:8.1f}"
                for part in (0, 1)
            )
            each = " ".join(f"{value:.2f}" for value in values)
            yield f"  {name:18} {statistics.median(values):8.2f} {ratio:7.1%} {cpu}  {each}"
        yield "  of raw: the median of the turns' own ratios. A job takes from when it was made to its end."


def measure_overhead(options: Options) -> Iterator[str]:
    """What an item of a job of tiny images costs beside its inference, on SQLite and PostgreSQL."""
    with _folder() as folder, ExitStack() as stack:
        triton = _toy_triton(stack, folder)
        _write_tiny(folder / "tiny", options.items)
        server = stack.enter_context(_postgres())
        databases = {
            "SQLite": ("", None),
            "PostgreSQL": (server.create_database(), server.pid),
        }
        for database, (url, pid) in databases.items():
            with Stack(
                triton,
                folder / database,
                database_url=url,
                database_pid=pid,
                kind=MeasuredWorker,
            ) as workers:
                workers.run(generating("toy", 50))
                idle = workers.idle_rate()
                for spec in (enlarging("doubler", folder / "tiny"), generating("toy", options.items)):
                    before = _parts(workers)
                    done = workers.run(spec)
                    after = _parts(workers)
                    yield from _overhead(database, done, before, after, idle)


def _overhead(
    database: str,
    done: Done,
    before: dict[str, list[float]],
    after: dict[str, list[float]],
    idle: float,
) -> Iterator[str]:
    count = done.items
    yield (
        f"{database}: {done.job.spec.operation}, {count} images of 16 × 16, one worker with 4 at a time: "
        f"{done.seconds / count * 1e3:.1f} ms an item"
    )
    yield (
        f"  CPU ms an item: worker {(done.workers - idle * done.seconds) / count * 1e3:.2f}, Triton with its"
        f" model {done.triton / count * 1e3:.2f}, database server {done.database / count * 1e3:.2f};"
        f" idle, the worker takes {idle * 1e3:.0f} ms a second"
    )
    yield f"  {'of the worker':24} {'CPU ms':>8} {'wall ms':>8} {'calls':>8}  an item"
    for part in PARTS:
        cpu, wall, calls = (b - a for a, b in zip(before[part], after[part], strict=True))
        times = f"{wall / count * 1e3:8.2f} {calls / count:8.2f}" if calls else f"{'':8} {'':8}"
        yield f"  {part:24} {cpu / count * 1e3:8.2f} {times}".rstrip()


def measure_size(options: Options) -> Iterator[str]:
    """What items take in the database, before and after their workflows are forgotten."""
    count = options.stored
    with _folder() as folder, ExitStack() as stack:
        triton = _toy_triton(stack, folder)
        server = stack.enter_context(_postgres())
        yield f"database after a job of {count} generated images, MiB"
        yield f"  {'':12} {'before':>8} {'at its end':>11} {'forgotten':>10} {'for 10,000':>11}"
        for database, url in (("SQLite", ""), ("PostgreSQL", server.create_database())):
            with Stack(triton, folder / database, database_url=url) as workers:
                before = workers.size()
                done = workers.run(generating("toy", count))
                end = workers.size()
                workers.forget(done)
                after = workers.size(compact=True)
                each = (after - before) / count
                cells = f"{before / 2**20:8.2f} {end / 2**20:11.2f} {after / 2**20:10.2f}"
                yield f"  {database:12} {cells} {each * 10_000 / 2**20:11.2f}"


def measure_growth(options: Options) -> Iterator[str]:
    """The time an item takes in jobs from small to very large."""
    with _folder() as folder, ExitStack() as stack:
        triton = _toy_triton(stack, folder)
        workers = stack.enter_context(Stack(triton, folder / "growth"))
        workers.run(generating("toy", 50))
        yield "jobs of generated 16 × 16 images, one worker, SQLite"
        yield (
            f"  {'items':>8} {'seconds':>9} {'ms an item':>11} {'listed s':>9} {'CPU ms an item':>15}"
            f" {'of Triton':>10}"
        )
        for size in options.sizes:
            parts = _Parts(max(10_000, size // 10))
            done = workers.run(generating("toy", size), parts.progress)
            yield (
                f"  {size:8} {done.seconds:9.1f} {done.seconds / size * 1e3:11.2f} {done.listing:9.2f}"
                f" {done.workers / size * 1e3:15.2f} {done.triton / size * 1e3:10.2f}"
            )


class _Parts:
    """Prints what each so many items of a large job took, so that growth within it is seen as well."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._done, self._seconds, self._cpu = 0, 0.0, 0.0

    def progress(self, done: int, seconds: float, cpu: float) -> None:
        """See `Stack.run`."""
        count = done - self._done
        if count < self._each:
            return
        wall, spent = (seconds - self._seconds) / count * 1e3, (cpu - self._cpu) / count * 1e3
        print(f"           to {done:6}: {wall:9.2f} ms an item, {spent:.2f} ms of CPU", flush=True)
        self._done, self._seconds, self._cpu = done, seconds, cpu


def measure_listing(options: Options) -> Iterator[str]:
    """How long until a job knows all objects below a prefix, and all seeds."""
    with _folder() as folder, ExitStack() as stack:
        triton = _toy_triton(stack, folder)
        source = folder / "many"
        source.mkdir()
        for number in range(options.listed):
            (source / f"image-{number:07}.png").touch()
        server = stack.enter_context(_postgres())
        yield f"until {options.listed} items are listed"
        yield f"  {'':24} {'seconds':>8} {'items/s':>8} {'CPU µs an item':>15}"
        for database, url in (("SQLite", ""), ("PostgreSQL", server.create_database())):
            with Stack(triton, folder / database, database_url=url) as workers:
                for what, spec in (
                    ("files of a folder", enlarging("doubler", source)),
                    ("seeds", generating("toy", options.listed)),
                ):
                    seconds, cpu = workers.list_only(spec)
                    yield (
                        f"  {database + ', ' + what:24} {seconds:8.2f} {options.listed / seconds:8.0f}"
                        f" {cpu / options.listed * 1e6:15.0f}"
                    )


MEASUREMENTS: dict[str, Callable[[Options], Iterator[str]]] = {
    "throughput": measure_throughput,
    "overhead": measure_overhead,
    "size": measure_size,
    "listing": measure_listing,
    "growth": measure_growth,
}


def _parts(stack: Stack) -> dict[str, list[float]]:
    """CPU, wall and calls of all workers by part."""
    total: dict[str, list[float]] = {part: [0.0, 0.0, 0.0] for part in PARTS}
    for path in stack.parts():
        for part, numbers in json.loads(path.read_text()).items():
            total[part] = [a + b for a, b in zip(total[part], numbers, strict=True)]
    return total


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def _postgres() -> Iterator[PostgresProcess]:
    server = PostgresProcess()
    try:
        yield server
    finally:
        server.close()


def _triton(stack: ExitStack, folder: Path, models: Sequence[Path]) -> TritonProcess:
    repository = folder / "repository"
    repository.mkdir(exist_ok=True)
    for model in models:
        shutil.copytree(model, repository / model.name)
    triton = TritonProcess(repository, folder / "triton.log").start()
    stack.callback(triton.close)
    return triton


def _toy_triton(stack: ExitStack, folder: Path) -> TritonProcess:
    """With a generator and an upscaler that compute next to nothing."""
    write_toy_repository(folder / "repository")
    write_toy_image_model(folder / "repository", "doubler", 2)
    return _triton(stack, folder, [])


def _some(folder: Path, photographs: Sequence[Path]) -> Path:
    """A folder with a few of the photographs."""
    some = folder / "some"
    if not some.exists():
        some.mkdir()
        for path in photographs[:3]:
            shutil.copy(path, some)
    return some


def _write_tiny(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image-{number:06}.png")


def main() -> None:
    """Runs the measurements named on the command line, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all if left out"
    )
    parser.add_argument("--photographs", type=int, default=16, help="of `throughput`")
    parser.add_argument("--rounds", type=int, default=3, help="turns of `throughput`")
    parser.add_argument("--items", type=int, default=600, help="of each job of `overhead`")
    parser.add_argument("--listed", type=int, default=100_000, help="objects of `listing`")
    parser.add_argument("--stored", type=int, default=10_000, help="items of `size`")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1000, 10_000], help="of the jobs of `growth`"
    )
    given = parser.parse_args()
    unknown = set(given.names) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    keep_freed_memory()  # as the worker does, so that the direct caller is at no disadvantage
    options = Options(given.photographs, given.rounds, given.items, given.sizes, given.listed, given.stored)
    for name in given.names or MEASUREMENTS:
        for line in MEASUREMENTS[name](options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
