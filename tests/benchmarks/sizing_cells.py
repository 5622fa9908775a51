"""One figure of `tests.benchmarks.sizing`: a model at a batch size, called straight through Triton."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from service.repository.config_text import CONFIG, read_config

SIZED = "sized-"
"""Names of what is measured begin with this, so that its processes can be told."""
REFERENCE = "sizes-reference"
REFERENCE_BATCH = 16
_REFERENCE_OF = "terrain-synthesis"
_TYPES = {"TYPE_FP32": "FP32", "TYPE_INT32": "INT32", "TYPE_INT64": "INT64", "TYPE_UINT8": "UINT8"}
_OPTIONS = [("grpc.max_receive_message_length", 1 << 30), ("grpc.max_send_message_length", 1 << 30)]


@dataclass(frozen=True)
class Size:
    """What is measured of one Triton model.

    Attributes:
        model: Triton's name of it, among the shipped ones unless `random` is given.
        side: Of the square pictures sent to it, where clients choose.
        most: Largest batch.
        random: Resolution and channel_base of a StyleGAN2 with random weights.
        instances: Numbers of instances that it is measured with.
    """

    model: str
    side: int = 0
    most: int = 16
    random: tuple[int, int] | None = None
    instances: tuple[int, ...] = (1, 2)

    @property
    def title(self) -> str:
        return f"{self.model}, {self.side}²" if self.side else self.model

    def folder(self, instances: int) -> str:
        return f"{SIZED}{self.model}-{self.side}-{instances}"


@dataclass(frozen=True)
class Cell:
    """What came of it.

    Attributes:
        batch: Images of a request.
        rate: Images a second, of all clients.
        p50: Median latency of a request in milliseconds.
        p95: 95th percentile of the same.
        cpu: Milliseconds of CPU of an image, in the processes that were named.
        peak: Most resident memory of one of those processes so far, in MB.
    """

    batch: int
    rate: float
    p50: float
    p95: float
    cpu: float
    peak: float


def write_sized(shipped: Path, repository: Path, size: Size, slots: int | None = None) -> None:
    """Writes a model with one instance and with two, without warm-up, so that memory tells of batches.

    Args:
        shipped: Repository of the models that ship.
        repository: Where to.
        size: What is measured.
        slots: Whether the rate limiter counts its executions.
    """
    if not (repository / REFERENCE).exists():
        _write(shipped / _REFERENCE_OF, repository / REFERENCE, 1, None)
    with tempfile.TemporaryDirectory() as folder:
        source = shipped / size.model
        if size.random:
            resolution, channel_base = size.random
            random_weights = importlib.import_module("tests.benchmarks.random_weights")
            name = size.model.removesuffix("-synthesis")
            random_weights.write_random_model(Path(folder) / "random", name, resolution, channel_base)
            source = Path(folder) / "random" / size.model
        for instances in (1, 2):
            _write(source, repository / size.folder(instances), instances, slots)


def _write(source: Path, target: Path, instances: int, slots: int | None) -> None:
    shutil.copytree(source, target)
    config = read_config(target / CONFIG)
    config.name = target.name
    config.ClearField("model_warmup")
    config.ClearField("instance_group")
    group = config.instance_group.add(count=instances, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    if slots is not None:
        group.rate_limiter.resources.add(name="cores", count=1)
    (target / CONFIG).write_text(text_format.MessageToString(config))


def model_processes(triton: int, name: str) -> list[int]:
    """Processes of Triton that run models whose name begins like this."""
    found = []
    for child in psutil.Process(triton).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
            if any(f"/{name}" in word or word.startswith(name) for word in child.cmdline()[1:]):
                found.append(child.pid)
    return found


class Caller:
    """Calls one Triton."""

    def __init__(self, url: str) -> None:
        self._channel = grpc.insecure_channel(url, options=_OPTIONS)
        self._triton = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._reference: list[Any] = []

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def load(self, model: str) -> None:
        self._triton.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name=model))

    def unload(self, model: str) -> None:
        self._triton.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=model))
        while self._is_ready(model):
            time.sleep(0.05)

    def served(self) -> dict[str, model_config_pb2.ModelConfig]:
        """Configs of all models that are ready."""
        index = self._triton.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))
        return {model.name: self._config(model.name) for model in index.models}

    def reference(self, seconds: float) -> float:
        """Images a second of the reference, just now."""
        if not self._reference:
            self._reference = self._requests(REFERENCE, 0, REFERENCE_BATCH, 2)
            self._run(self._reference, seconds)
        latencies, wall = self._run(self._reference, seconds)
        return REFERENCE_BATCH * len(latencies) / wall

    def measure(
        self,
        size: Size,
        clients: int,
        batch: int,
        seconds: float,
        pids: Sequence[int],
        *,
        same: bool = False,
        folder: str | None = None,
    ) -> Cell:
        """Calls a model for some seconds, two requests of each client at least.

        Args:
            size: What is measured.
            clients: At a time, and instances it was written with.
            batch: Images of a request.
            seconds: After which no more are begun.
            pids: Processes whose CPU time and memory count.
            same: Whether all requests are equal; else none are.
            folder: Triton's name of the model, if it is not among those written here.
        """
        model = folder or size.folder(clients)
        requests = self._requests(model, size.side, batch, clients)
        self._run(requests, 0)
        before = sum(map(_cpu, pids))
        latencies, wall = self._run(requests, seconds, new=not same)
        ordered = sorted(latencies)
        images = batch * len(latencies)
        return Cell(
            batch=batch,
            rate=images / wall,
            p50=statistics.median(latencies) * 1e3,
            p95=ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)] * 1e3,
            cpu=(sum(map(_cpu, pids)) - before) / images * 1e3,
            peak=max(map(_peak, pids), default=float("nan")),
        )

    def waits(self, size: Size, seconds: float, patience: float) -> list[float]:
        """Latencies of one call after the other, in milliseconds; ends with one that takes too long."""
        (request,) = self._requests(size.folder(1), size.side, 1, 1)
        latencies: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds or len(latencies) < 2:
            begun = time.perf_counter()
            try:
                self._triton.ModelInfer(request, timeout=patience)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                break
            latencies.append((time.perf_counter() - begun) * 1e3)
        return latencies

    @contextlib.contextmanager
    def busy(self, size: Size, batch: int) -> Iterator[list[float]]:
        """While inside, two clients ask for batches of this; the list grows by one with each answer."""
        done: list[float] = []
        stop = threading.Event()

        def client(request: Any) -> None:
            while not stop.is_set():
                self._triton.ModelInfer(request)
                done.append(time.perf_counter())

        requests = self._requests(size.folder(1), size.side, batch, 2)
        threads = [threading.Thread(target=client, args=(request,)) for request in requests]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            done.clear()
            yield done
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _run(self, requests: list[Any], seconds: float, *, new: bool = False) -> tuple[list[float], float]:
        """Each client its request over and over; latencies, and seconds from the first to the last."""
        latencies: list[float] = []
        began = time.perf_counter()

        def client(request: Any) -> None:
            random = np.random.default_rng()
            for turn in range(1_000_000):
                if new:
                    _renew(request, random)
                begun = time.perf_counter()
                if turn >= (2 if seconds else 1) and begun - began >= seconds:
                    return
                self._triton.ModelInfer(request)
                latencies.append(time.perf_counter() - begun)

        threads = [threading.Thread(target=client, args=(request,)) for request in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return latencies, time.perf_counter() - began

    def _requests(self, model: str, side: int, batch: int, clients: int) -> list[Any]:
        config = self._config(model)
        return [_request(config, side, batch, np.random.default_rng(client)) for client in range(clients)]

    def _config(self, model: str) -> model_config_pb2.ModelConfig:
        return self._triton.ModelConfig(service_pb2.ModelConfigRequest(name=model)).config

    def _is_ready(self, model: str) -> bool:
        return bool(self._triton.ModelReady(service_pb2.ModelReadyRequest(name=model)).ready)


def _request(config: model_config_pb2.ModelConfig, side: int, batch: int, random: np.random.Generator) -> Any:
    request = service_pb2.ModelInferRequest(model_name=config.name)
    for tensor in config.input:
        shape = [batch, *(side if dim == -1 else dim for dim in tensor.dims)]
        datatype = _TYPES[model_config_pb2.DataType.Name(tensor.data_type)]
        arrays = {
            "FP32": lambda shape=shape: random.standard_normal(shape, np.float32),
            "UINT8": lambda shape=shape: random.integers(0, 256, shape, np.uint8),
            "INT32": lambda shape=shape: np.full(shape, -1, np.int32),
            "INT64": lambda shape=shape: np.full(shape, -1, np.int64),
        }
        request.inputs.add(name=tensor.name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(arrays[datatype]().tobytes())
    return request


def _renew(request: Any, random: np.random.Generator) -> None:
    """Changes the first input, so that no cache has an answer: of latents one value, of pictures some."""
    request.raw_input_contents[0] = random.bytes(3) + b"\x3e" + request.raw_input_contents[0][4:]


def _cpu(pid: int) -> float:
    """Seconds so far, threads that have ended included."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _peak(pid: int) -> float:
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1e3
