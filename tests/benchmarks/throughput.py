"""Throughput and latency of every call, and of one generator beside raw gRPC and behind other servers."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from service.embedded.child import dying_with_parent
from service.tiling import plan_grid
from tests.benchmarks.load import Loaded, load, request
from tests.benchmarks.soak_calls import picture
from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess, free_ports

CLIENTS = (1, 8, 64)
SIDE, TILE = 288, 96
"""Of the image that super-resolution is measured with, and of its tiles."""


@dataclass
class Servers:
    """Triton and the gateway before it, and the CPU they take."""

    triton: TritonProcess
    gateway: GatewayProcess

    def cpu(self) -> tuple[float, float, float]:
        """Seconds so far: of the gateway, of Triton itself, of the processes that it runs models in."""
        triton = psutil.Process(self.triton.pid)
        models = sum(_cpu(child) for child in triton.children(recursive=True))
        return self.gateway.cpu_seconds(), _cpu(triton), models

    def shares(self, before: tuple[float, float, float]) -> tuple[float, float]:
        """Of all CPU since then: the gateway's part, and what is not spent in the models' processes."""
        gateway, triton, models = (b - a for a, b in zip(before, self.cpu(), strict=True))
        total = max(1e-9, gateway + triton + models)
        return gateway / total, (gateway + triton) / total


def _cpu(process: psutil.Process) -> float:
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def family_cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    # Of the whole process: the threads of a pool end, and then a sum over threads forgets them.
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def measure_endpoints(servers: Servers, seconds: float) -> Iterator[str]:
    """Every call at 1, 8 and 64 clients.

    Args:
        servers: That serve the shipped models.
        seconds: For each line.
    """
    columns = ("calls/s", "p50 ms", "p95 ms", "p99 ms", "gateway", "around")
    columns_text = " ".join(f"{column:>8}" for column in columns)
    yield f"{'every call, shipped models':32} {'clients':>7} {columns_text}  refused"
    for name, requests in endpoints().items():
        for clients in CLIENTS:
            target = {"port": servers.gateway.port, "requests": requests}
            load(target, min(clients, 8), count=4)
            before = servers.cpu()
            done = load(target, clients, seconds=seconds)
            gateway, around = servers.shares(before)
            p50, p95, p99 = (done.percentile(percent) for percent in (50, 95, 99))
            refused = ", ".join(f"{n} × {status}" for status, n in done.statuses.items() if status != "200")
            yield (
                f"  {name:30} {clients:7} {done.rate:8.1f} {p50:8.1f} {p95:8.1f} {p99:8.1f}"
                f" {gateway:8.0%} {around:8.0%}  {refused}".rstrip()
            )
    yield "  gateway: its part of all CPU time; around: what is spent outside of the models' processes"


def endpoints() -> dict[str, list[str]]:
    """Requests of each call, small ones."""

    def post(path: str, bodies: Iterable[dict[str, Any]], accept: str = "*/*") -> list[str]:
        return [
            request("POST", path, json.dumps(body).encode(), content_type="application/json", accept=accept)
            for body in bodies
        ]

    one = [{"model": "terrain", "seeds": [seed]} for seed in range(64)]
    frames = [{"model": "terrain", "keyframes": [seed, seed + 1], "frames": 8} for seed in range(16)]
    grids = [{"model": "terrain", "rows": [seed, 1], "columns": [2, 3]} for seed in range(16)]
    latents = [{"model": "terrain", "latents": [seed]} for seed in range(16)]
    return {
        "generate, JSON": post("/v1/generate", one),
        "generate, PNG": post("/v1/generate", one, "image/png"),
        "generate, WebP": post("/v1/generate", one, "image/webp"),
        "image": [request("GET", f"/v1/models/terrain/images/{seed}.png") for seed in range(64)],
        "interpolate, 8 frames": post("/v1/interpolate", frames),
        "interpolate, 8 events": post("/v1/interpolate", frames, "text/event-stream"),
        "style mix, 2 × 2": post("/v1/style-mix", grids),
        "latents": post("/v1/latents", latents),
        "translate, 64²": [upload("/v1/translate", "satellite-to-relief", 64)],
        "super-resolution, 32²": [upload("/v1/super-resolution", "photo-x4", 32)],
        "models": [request("GET", "/v1/models")],
    }


def upload(path: str, model: str, side: int) -> str:
    """A form with an image."""
    sent = httpx.Request(
        "POST", "http://x" + path, files={"image": picture(side, side)}, data={"model": model}
    )
    return request("POST", path, sent.read(), content_type=sent.headers["content-type"])


def measure_beside(servers: Servers, name: str, count: int, rounds: int, clients: int = 16) -> Iterator[str]:
    """One image a request with PNG, through the gateway and around it, in turns.

    Args:
        servers: That serve the generator.
        name: Of the generator.
        count: Requests in each turn.
        rounds: Turns of each.
        clients: At a time.
    """
    repository = str(servers.triton.repository)
    bodies = [json.dumps({"model": name, "seeds": [seed]}).encode() for seed in range(count)]
    kinds = {"content_type": "application/json", "accept": "image/png"}
    seeds = [
        request("POST", "/predict", json.dumps({"seed": seed}).encode(), content_type="application/json")
        for seed in range(count)
    ]
    families: dict[str, psutil.Process] = {}
    with ExitStack() as stack:
        targets: dict[str, dict[str, Any]] = {
            "raw gRPC, synthesis alone": {
                "grpc": servers.triton.grpc_url,
                "generator": name,
                "only": "synthesis",
            },
            "raw gRPC, mapping and synthesis": {"grpc": servers.triton.grpc_url, "generator": name},
            "ganserve, PNG": {
                "port": servers.gateway.port,
                "requests": [request("POST", "/v1/generate", body, **kinds) for body in bodies],
            },
        }
        for title, module in (
            ("LitServe, PNG", "litserve_server"),
            ("FastAPI + ONNX Runtime, PNG", "plain_fastapi"),
        ):
            port, process = stack.enter_context(_other(module, repository, name))
            targets[title] = {"port": port, "requests": seeds}
            families[title] = process
        results: dict[str, list[Loaded]] = {title: [] for title in targets}
        for target in targets.values():
            load(target, clients, count=min(count, clients))
        around = []
        spent: dict[str, list[float]] = {title: [] for title in targets}
        for turn in range(rounds):
            order = list(targets) if turn % 2 == 0 else list(targets)[::-1]
            for title in order:
                before, own = servers.cpu(), family_cpu(families.get(title))
                done = load(targets[title], clients, count=count)
                results[title].append(done)
                own = family_cpu(families.get(title)) - own
                both = sum(servers.cpu()) - sum(before)
                spent[title].append((own if title in families else both) / count * 1e3)
                if title == "ganserve, PNG":
                    around.append(servers.shares(before)[1])
    raw = _median(results["raw gRPC, synthesis alone"], "rate")
    yield (
        f"{name}, {clients} clients, {rounds} turns of {count} images; medians\n"
        f"  {'':32} {'images/s':>8} {'of raw':>7} {'CPU ms':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"
        "  images/s of each turn"
    )
    for title, loads in results.items():
        rate = _median(loads, "rate")
        latencies = [statistics.median(done.percentile(part) for done in loads) for part in (50, 95, 99)]
        cells = " ".join(f"{cell:8.1f}" for cell in (statistics.median(spent[title]), *latencies))
        each = " ".join(f"{done.rate:.1f}" for done in loads)
        yield f"  {title:32} {rate:8.2f} {rate / raw:7.1%} {cells}  {each}"
    yield "  CPU ms: of the servers, an image. It tells more than rates where others use the cores as well:"
    yield "  a server that computes in many threads at once takes a larger part of such cores."
    outside = statistics.median(around)
    yield f"  Of the CPU time of ganserve and Triton, {outside:.0%} is spent outside of the models."


def _median(loads: list[Loaded], name: str) -> float:
    return statistics.median(getattr(done, name) for done in loads)


def measure_tiles(servers: Servers, model: str, rounds: int) -> Iterator[str]:
    """Tiles a second of super-resolution, decoding and encoding included, and of raw gRPC with tiles alike.

    Args:
        servers: That serve the upscaler, the gateway with tiles of `TILE`.
        model: The upscaler.
        rounds: Turns of each.
    """
    card = httpx.get(f"{servers.gateway.url}/v1/models/{model}", trust_env=False).json()
    radius = card["receptive_radius"]
    tile = min(card["max_size"], max(TILE, 4 * radius + card["size_multiple"]))
    grid = plan_grid(SIDE, SIDE, tile, radius, card["size_multiple"])
    images = 3
    raw = {
        "grpc": servers.triton.grpc_url,
        "model": model,
        "input": "source",
        "output": "images",
        "shape": [1, *grid.tile_shape, 3],
    }
    through = {"port": servers.gateway.port, "requests": [upload("/v1/super-resolution", model, SIDE)]}
    rates: dict[str, list[float]] = {"raw gRPC, 16 tiles at a time": [], "ganserve, 4 images at a time": []}
    load(raw, 8, count=8)
    load(through, 1, count=1)
    for _ in range(rounds):
        rates["raw gRPC, 16 tiles at a time"].append(load(raw, 16, count=images * grid.tiles).rate)
        rates["ganserve, 4 images at a time"].append(load(through, 4, count=images).rate * grid.tiles)
    base = statistics.median(rates["raw gRPC, 16 tiles at a time"])
    shape = " × ".join(map(str, grid.tile_shape))
    yield f"{model}, {SIDE}² in {grid.tiles} tiles of {shape}; {rounds} turns of {images} images; medians"
    yield f"  {'':32} {'tiles/s':>8} {'of raw':>7}  tiles/s of each turn"
    for title, values in rates.items():
        each = " ".join(f"{value:.2f}" for value in values)
        yield f"  {title:32} {statistics.median(values):8.2f} {statistics.median(values) / base:7.1%}  {each}"


@contextmanager
def serving(repositories: Iterable[Path], write: Callable[[Path], None]) -> Iterator[Servers]:
    """Triton and gateway over models of some repositories, and more."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        repository = Path(folder) / "repository"
        repository.mkdir()
        for each in repositories:
            for config in each.glob("*/config.pbtxt"):
                shutil.copytree(config.parent, repository / config.parent.name)
        write(repository)
        triton = TritonProcess(repository, Path(folder) / "triton.log").start()
        stack.callback(triton.close)
        gateway = GatewayProcess(triton.grpc_url, Path(folder) / "gateway.log", upscale_tile=TILE)
        stack.callback(gateway.close)
        gateway.wait_ready(120)
        yield Servers(triton, gateway)


@contextmanager
def _other(module: str, repository: str, name: str) -> Iterator[tuple[int, psutil.Process]]:
    """Another server with the same model: its port, and its process."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", f"tests.benchmarks.others.{module}", str(port), repository, name]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with_parent(signal.SIGTERM),
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/predict", json={"seed": 0}, trust_env=False, timeout=60
                )
                if answer.status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{module} does not answer")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()
