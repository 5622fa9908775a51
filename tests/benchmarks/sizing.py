"""How many images a second a machine makes of each model, and in how much memory: for choosing machines.

    python -m tests.benchmarks.sizing                          this machine, straight through Triton
    python -m tests.benchmarks.sizing --parts cells            one part: cells, cache, contention, gateway
    python -m tests.benchmarks.sizing --triton HOST:8001 --metrics http://HOST:8002/metrics
                                                               a Triton that runs elsewhere, such as on a GPU

Machines are rarely idle while they are measured. So beside each rate stands its ratio to that of a reference,
one model at one batch size measured before and after it in the same run, and the CPU time of an image, which
others on the same cores change little (by half, where two threads share a core).
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import onnxruntime

from service.repository.config_text import CONFIG, read_config
from tests.benchmarks.sizing_cells import (
    REFERENCE,
    REFERENCE_BATCH,
    SIZED,
    Caller,
    Cell,
    Size,
    model_processes,
    write_sized,
)
from tests.benchmarks.throughput import serving
from tests.triton_process import TritonProcess

SHIPPED = Path(__file__).parents[2] / "model_repository"
BATCHES = (1, 2, 4, 8, 16)
PATIENCE = 20
"""Seconds after which a call that gets no slot is given up."""
GPU = """\
GPU: not measured, none was at hand. On a machine with one, with Triton started on a rendered repository:
  ganserve repository render model_repository /srv/models --profile gpu
  tritonserver --model-repository=/srv/models $(ganserve repository flags --profile gpu) &
  make bench-sizing ARGS="--triton localhost:8001 --metrics http://localhost:8002/metrics"
It prints images/s and latency by batch size and clients, and the GPU memory in use."""

SIZES = (
    Size("terrain-mapping"),
    Size("terrain-synthesis"),
    Size("emoji-synthesis"),
    Size("digits-synthesis"),
    Size("satellite-to-relief", side=64),
    Size("sketch-to-emoji", side=64),
    Size("satellite-to-relief-unpaired", side=64),
    Size("photo-x4", side=96),
    Size("photo-x4", side=192, most=4),
    Size("random-256-synthesis", most=8, random=(256, 16384)),
    Size("random-1024-synthesis", most=2, random=(1024, 32768), instances=(1,)),
)
NOTES = """\
  ratio: of the images/s to those of the reference; CPU ms: of the model's process, an image; of a core: the
  images/s that this comes to where a core does nothing else; MB: most resident memory of the model's process
  so far, batches growing down the table.
  relief-to-satellite-unpaired and photo-x4-gan are the networks of satellite-to-relief-unpaired and photo-x4.
  random-N: StyleGAN2 as published at that size (channel_base 16384 and 32768), with random weights."""


def measure_cells(seconds: float) -> Iterator[str]:
    """Every model at every batch size, with one instance; with two at the smallest and the largest."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        repository = folder / "repository"
        for size in SIZES:
            write_sized(SHIPPED, repository, size)
        triton = TritonProcess(repository, folder / "log", models=[REFERENCE])
        stack.callback(triton.close)
        triton.start()
        caller = stack.enter_context(Caller(triton.grpc_url))
        yield f"reference: {REFERENCE} in batches of {REFERENCE_BATCH}, one client, one instance"
        yield _head()
        references = []
        for size in SIZES:
            config = read_config(repository / size.folder(1) / CONFIG)
            batches = [batch for batch in BATCHES if batch <= min(size.most, config.max_batch_size)]
            for instances in size.instances:
                caller.load(size.folder(instances))
                pids = model_processes(triton.pid, SIZED)
                for batch in batches if instances == 1 else sorted({batches[0], batches[-1]}):
                    before = caller.reference(seconds / 2)
                    cell = caller.measure(size, instances, batch, seconds, pids)
                    after = caller.reference(seconds / 2)
                    references += [before, after]
                    yield _line(size, instances, cell, statistics.mean((before, after)))
                caller.unload(size.folder(instances))
                while model_processes(triton.pid, SIZED):
                    time.sleep(0.1)
        low, high = min(references), max(references)
        yield f"{NOTES}\n  reference: {statistics.median(references):.0f} images/s ({low:.0f} to {high:.0f})"


def measure_cache(seconds: float) -> Iterator[str]:
    """What an answer from Triton's response cache saves, and what looking for one that is not there costs."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        sizes = (SIZES[0], SIZES[1])
        for size in sizes:
            write_sized(SHIPPED, folder / "repository", size)
            config = folder / "repository" / size.folder(2) / CONFIG
            text = config.read_text().replace("count: 2", "count: 1")
            config.write_text(text + "response_cache { enable: true }\n")
        flags = ["--cache-config=local,size=268435456"]
        triton = TritonProcess(folder / "repository", folder / "log", flags)
        stack.callback(triton.close)
        triton.start()
        caller = stack.enter_context(Caller(triton.grpc_url))
        yield f"{'response cache, one image a request':44} {'p50 ms':>8} {'CPU ms':>8}  of Triton and model"
        for size in sizes:
            rows = {
                "no cache": (1, False),
                "cache, new request": (2, False),
                "cache, known request": (2, True),
            }
            latencies: dict[str, list[float]] = {title: [] for title in rows}
            spent: dict[str, list[float]] = {title: [] for title in rows}
            order = random.Random(0)  # what comes after an idle moment, or after itself, is quicker
            turns = ((turn, row) for turn in range(9) for row in order.sample(list(rows.items()), len(rows)))
            for turn, (title, (instances, same)) in turns:
                pids = [triton.pid, *model_processes(triton.pid, f"{size.folder(instances)}_")]
                cell = caller.measure(size, 1, 1, seconds / 4, pids, same=same, folder=size.folder(instances))
                if turn:  # the first warms up
                    latencies[title].append(cell.p50)
                    spent[title].append(cell.cpu)
            for title in rows:
                p50, cpu = statistics.median(latencies[title]), statistics.median(spent[title])
                yield f"  {size.title + ', ' + title:42} {p50:8.2f} {cpu:8.2f}"


def measure_contention(seconds: float) -> Iterator[str]:
    """One image of a generator at a time, while an upscaler has all the work it can take."""
    yield f"{'terrain-synthesis, one image a request, while':48} {'p50 ms':>8} {'p95 ms':>8}  tiles/s"
    generator, upscaler = SIZES[1], Size("photo-x4", side=192)
    with tempfile.TemporaryDirectory() as name:
        for slots in (None, 2, 1):
            folder = Path(name) / str(slots)
            for size in (generator, upscaler):
                write_sized(SHIPPED, folder / "repository", size, slots)
            flags = (
                []
                if slots is None
                else ["--rate-limit=execution_count", f"--rate-limit-resource=cores:{slots}"]
            )
            models = [size.folder(1) for size in (generator, upscaler)]
            triton = TritonProcess(folder / "repository", folder / "log", flags, models)
            try:
                triton.start()
                with Caller(triton.grpc_url) as caller:
                    alone = caller.measure(generator, 1, 1, seconds, [])
                    with caller.busy(upscaler, batch=4) as done:
                        began = time.perf_counter()
                        beside = caller.waits(generator, 4 * seconds, PATIENCE)
                        rate = 4 * len(done) / (time.perf_counter() - began)
            finally:
                triton.close()
            title = "no rate limiter" if slots is None else f"rate limiter, {slots} at a time"
            yield f"  {title + ', nothing else runs':46} {alone.p50:8.1f} {alone.p95:8.1f}"
            title += ", photo-x4 in fours"
            p50 = (
                f"{statistics.median(beside):8.1f} {max(beside):8.1f}"
                if beside
                else f"no answer in {PATIENCE} s"
            )
            yield f"  {title:46} {p50}  {rate:.2f}"
    yield "  with photo-x4: the slowest in place of p95. The rate limiter takes the model with the fewest"
    yield "  executions so far; one that was asked alone before waits until the other has caught up."


def measure_gateway(seconds: float) -> Iterator[str]:
    """Memory of gateway and Triton with all shipped models, after some of every call."""
    with serving([SHIPPED], lambda repository: None) as servers:
        start = servers.gateway.rss() / 1e6
        with servers.gateway.client() as client:
            stop = time.monotonic() + seconds
            for seed in itertools.count():
                if time.monotonic() > stop:
                    break
                client.post("/v1/generate", json={"model": "terrain", "seeds": list(range(seed, seed + 16))})
        processes = {pid: _rss(pid) for pid in model_processes(servers.triton.pid, "")}
        gateway, triton = servers.gateway.rss() / 1e6, _rss(servers.triton.pid)
        yield "resident memory with all shipped models, MB"
        yield f"  gateway: {start:.0f} at the start, {gateway:.0f} after requests of 16 images"
        yield f"  Triton itself: {triton:.0f}"
        together, largest = sum(processes.values()), max(processes.values())
        yield f"  its {len(processes)} model processes: {together:.0f} (shared pages counted in each)"
        yield f"    the largest: {largest:.0f}"


def measure_elsewhere(url: str, metrics: str | None, seconds: float) -> Iterator[str]:
    """A Triton that somebody else started: its models as they are loaded there."""
    with Caller(url) as caller:
        yield f"Triton at {url}; CPU and memory of its models are not seen from here"
        yield f"{'':44} {'clients':>7} {'batch':>6} {'images/s':>9} {'p50 ms':>8}  GPU MB in use"
        for name, config in sorted(caller.served().items()):
            sides: tuple[int, ...] = (64, 192) if any(-1 in tensor.dims for tensor in config.input) else (0,)
            for side, clients in itertools.product(sides, (1, 2, 4)):
                for batch in (batch for batch in BATCHES if batch <= config.max_batch_size):
                    size = Size(name, side=side)
                    cell = caller.measure(size, clients, batch, seconds, [], folder=name)
                    cells = f"{clients:7} {batch:6} {cell.rate:9.1f} {cell.p50:8.1f}  {_gpu_memory(metrics)}"
                    yield f"  {size.title:42} {cells}"


def _head() -> str:
    columns = ("instances", "batch", "images/s", "ratio", "CPU ms", "of a core", "p50 ms", "MB")
    return f"{'':34}" + " ".join(f"{column:>9}" for column in columns)


def _line(size: Size, instances: int, cell: Cell, reference: float) -> str:
    of_a_core = 1e3 / cell.cpu if cell.cpu else float("nan")
    cells = (
        f"{instances:9}",
        f"{cell.batch:9}",
        f"{cell.rate:9.2f}",
        f"{cell.rate / reference:9.4f}",
        f"{cell.cpu:9.2f}",
        f"{of_a_core:9.2f}",
        f"{cell.p50:9.1f}",
        f"{cell.peak:9.0f}",
    )
    return f"  {size.title:32}" + " ".join(cells)


def _gpu_memory(metrics: str | None) -> str:
    if metrics is None:
        return "?"
    text = httpx.get(metrics, trust_env=False).text
    found = re.findall(r"^nv_gpu_memory_used_bytes\{[^}]*\} ([0-9.e+]+)", text, re.MULTILINE)
    return " + ".join(f"{float(used) / 1e6:.0f}" for used in found) or "none"


def _rss(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _hardware() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else platform.machine()}, "
        f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}"
    )


PARTS = {
    "cells": measure_cells,
    "cache": measure_cache,
    "contention": measure_contention,
    "gateway": measure_gateway,
}


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=1, help="for each figure")
    parser.add_argument("--triton", help="host:port of a Triton that runs already")
    parser.add_argument("--metrics", help="URL of its metrics")
    options = parser.parse_args()
    if options.triton:
        for line in measure_elsewhere(options.triton, options.metrics, options.seconds):
            print(line, flush=True)
        return
    print(f"make bench-sizing {' '.join(sys.argv[1:])}\n{_hardware()}")
    for part in options.parts:
        load = " ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"\n{part}: {time.strftime('%H:%M UTC', time.gmtime())}, load average {load}", flush=True)
        for line in PARTS[part](options.seconds):
            print(line, flush=True)
    print(f"\n{GPU}")


if __name__ == "__main__":
    main()
