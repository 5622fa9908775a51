"""What the way around a model costs: direct Triton gRPC against the gateway, in one run.

    python -m tests.benchmarks.serving                          everything
    python -m tests.benchmarks.serving gateway --images 100     one measurement
    python -m tests.benchmarks.serving --repository DIR         the models exported into DIR as well

Triton and gateway run as processes of their own; the caller measured against is this process. CPU time
is the gateway process's, per image, beyond what it spends per second when idle. `adds` is that minus what
the direct caller's own process spends per image, since receiving pixels costs whoever receives them. On
cores that others use as well, CPU time is inflated, by half and more where two threads share one core.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from service.memory import keep_freed_memory
from tests.benchmarks import throughput
from tests.benchmarks.pixel_models import write_pixel_model
from tests.benchmarks.tables import Options, Row, Table, show
from tests.gateway_process import GatewayProcess
from tests.triton_process import TritonProcess

SHIPPED = Path(__file__).parents[2] / "model_repository"


def measure_gateway(options: Options) -> Iterator[Table]:
    """Direct gRPC, and the gateway answering JSON, PNG, lossless WebP and raw pixels, per model."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        for resolution in (64, 256, 1024):
            write_pixel_model(repository, f"pixels-{resolution}", resolution)
        _write_random(repository, "random-weights-1024", 1024, channel_base=4096)
        for extra in options.repositories:
            for config in extra.glob("*/config.pbtxt"):
                shutil.copytree(config.parent, repository / config.parent.name)
        names = sorted(path.name.removesuffix("-synthesis") for path in repository.glob("*-synthesis"))
        with _serving(repository, Path(folder)) as (triton, gateway):
            idle = _idle_rate(gateway)
            print(f"(idle, the gateway spends {idle * 1e3:.1f} ms of CPU a second with {len(names)} models)")
            for name in names:
                yield _gateway_table(name, triton, gateway, idle, options.images)


def measure_runtimes(options: Options) -> Iterator[Table]:
    """ONNX Runtime against eager PyTorch for the same network, where the training package provides it."""
    try:
        runtimes = importlib.import_module("tests.benchmarks.runtimes")
    except ModuleNotFoundError as error:
        print(f"(runtimes left out: {error})", file=sys.stderr)
        return
    yield from runtimes.measure(options)


def measure_calls(options: Options) -> Iterator[str]:
    """Every call of the shipped models at 1, 8 and 64 clients."""
    with throughput.serving([SHIPPED], lambda repository: None) as servers:
        yield from throughput.measure_endpoints(servers, options.seconds)


def measure_beside(options: Options) -> Iterator[str]:
    """The gateway beside raw gRPC, LitServe and FastAPI with ONNX Runtime: 64² and 256²; and tiles."""
    name = "random-weights-256"

    def add(repository: Path) -> None:
        _write_random(repository, name, 256, channel_base=16384)

    with throughput.serving([SHIPPED], add) as servers:
        yield from throughput.measure_beside(servers, "terrain", options.images, options.rounds)
        yield from throughput.measure_beside(servers, name, min(16, options.images), options.rounds)
        yield from throughput.measure_tiles(servers, "photo-x4", options.rounds)


MEASUREMENTS: dict[str, Callable[[Options], Iterable[Table | str]]] = {
    "calls": measure_calls,
    "beside": measure_beside,
    "gateway": measure_gateway,
    "runtimes": measure_runtimes,
}
"""Every measurement by name. `tests/benchmarks/runtimes.py` has `measure(options) -> Iterable[Table]`."""


def _write_random(repository: Path, name: str, resolution: int, channel_base: int) -> None:
    """A real network, where PyTorch is there to make one."""
    try:
        random_weights = importlib.import_module("tests.benchmarks.random_weights")
    except ModuleNotFoundError as error:
        print(f"(random weights left out: {error})", file=sys.stderr)
        return
    random_weights.write_random_model(repository, name, resolution, channel_base=channel_base)
    for config in repository.glob(f"{name}-*/config.pbtxt"):
        # A batch of 16 takes long, and its time is not what is measured.
        config.write_text(re.sub(r"^model_warmup \{.*?^\}\n", "", config.read_text(), flags=re.M | re.S))


@contextmanager
def _serving(repository: Path, folder: Path) -> Iterator[tuple[TritonProcess, GatewayProcess]]:
    triton = TritonProcess(repository, folder / "triton.log").start()
    try:
        gateway = GatewayProcess(triton.grpc_url, folder / "gateway.log", log_level="info")
        gateway.wait_ready()
        try:
            yield triton, gateway
        finally:
            gateway.close()
    finally:
        triton.close()


def _idle_rate(gateway: GatewayProcess, seconds: float = 5.0) -> float:
    before = gateway.cpu_seconds()
    time.sleep(seconds)
    return (gateway.cpu_seconds() - before) / seconds


def _gateway_table(
    name: str, triton: TritonProcess, gateway: GatewayProcess, idle: float, images: int
) -> Table:
    with gateway.client() as client:
        resolution = client.get(f"/v1/models/{name}").json()["resolution"]
    images = max(12, images if resolution <= 256 else images // 4)
    if name.startswith("random-weights"):
        images = 12  # seconds each
    rows = [_direct(name, triton, images)]
    for label, accept in (
        ("gateway, JSON with PNG", "application/json"),
        ("gateway, PNG", "image/png"),
        ("gateway, WebP lossless", "image/webp"),
        ("gateway, raw pixels (npy)", "application/x-npy"),
    ):
        rows.append(_through_gateway(label, name, accept, gateway, idle, images))
    return Table(f"{name}: one image at a time, {images} images", rows)


def _direct(name: str, triton: TritonProcess, images: int) -> Row:
    """Both halves through the raw stub, blocking: the least any caller of Triton can spend."""
    limit = [("grpc.max_receive_message_length", 1 << 28)]
    with grpc.insecure_channel(triton.grpc_url, options=limit) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=f"{name}-mapping")).config
        tensors = {tensor.name: list(tensor.dims) for tensor in [*config.input, *config.output]}

        def infer(model: str, arrays: dict[str, tuple[str, np.ndarray]]) -> bytes:
            request = service_pb2.ModelInferRequest(model_name=model)
            for tensor, (datatype, array) in arrays.items():
                request.inputs.add(name=tensor, datatype=datatype, shape=array.shape)
                request.raw_input_contents.append(array.tobytes())
            return bytes(stub.ModelInfer(request).raw_output_contents[0])

        def call(seed: int) -> None:
            z = np.random.RandomState(seed).randn(1, *tensors["z"]).astype(np.float32)
            one = np.ones((1, 1), np.float32)
            cutoff = np.full((1, 1), -1, np.int32)
            arrays = {
                "z": ("FP32", z),
                "truncation_psi": ("FP32", one),
                "truncation_cutoff": ("INT32", cutoff),
            }
            for tensor in ("label", "edits"):
                if tensor in tensors:
                    arrays[tensor] = ("FP32", np.zeros((1, *tensors[tensor]), np.float32))
            ws = np.frombuffer(infer(f"{name}-mapping", arrays), np.float32).reshape(1, *tensors["ws"])
            noise = np.full((1, 1), -1, np.int64)
            infer(
                f"{name}-synthesis",
                {"ws": ("FP32", ws), "noise_gain": ("FP32", one), "noise_seed": ("INT64", noise)},
            )

        return _timed("direct Triton gRPC", call, images, time.process_time, baseline=True)


def _through_gateway(
    label: str, name: str, accept: str, gateway: GatewayProcess, idle: float, images: int
) -> Row:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    headers = {"content-type": "application/json", "accept": accept}

    def call(seed: int) -> None:
        connection.request("POST", "/v1/generate", json.dumps({"model": name, "seeds": [seed]}), headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {body.decode()}")

    try:
        return _timed(label, call, images, lambda: gateway.cpu_seconds() - idle * time.perf_counter())
    finally:
        connection.close()


def _timed(
    name: str,
    call: Callable[[int], None],
    images: int,
    cpu_seconds: Callable[[], float],
    baseline: bool = False,
) -> Row:
    for seed in range(max(3, images // 10)):
        call(seed)
    latencies = []
    cpu = cpu_seconds()
    for seed in range(images):
        started = time.perf_counter()
        call(seed)
        latencies.append((time.perf_counter() - started) * 1e3)
    cpu = (cpu_seconds() - cpu) / images * 1e3
    cuts = statistics.quantiles(latencies, n=20)
    return Row(name, statistics.median(latencies), cuts[18], cpu, baseline)


def main() -> None:
    """Runs the measurements named on the command line, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all if left out"
    )
    parser.add_argument("--images", type=int, default=400, help="per row; a quarter for large images")
    parser.add_argument("--seconds", type=float, default=4, help="per row of `calls`")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each row of `beside`")
    parser.add_argument(
        "--repository", type=Path, action="append", default=[], help="further models to serve"
    )
    given = parser.parse_args()
    unknown = set(given.names) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    keep_freed_memory()  # as the gateway does, so that the direct caller is at no disadvantage
    options = Options(given.images, tuple(given.repository), given.seconds, given.rounds)
    for name in given.names or MEASUREMENTS:
        for table in MEASUREMENTS[name](options):
            show(table)


if __name__ == "__main__":
    main()
