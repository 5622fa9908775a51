"""Load on one server from a process of its own, so that measuring costs the measured as little as can be.

    python -m tests.benchmarks.load < JSON > JSON

Either HTTP requests to a port, or raw gRPC to Triton with both halves of a generator or one of them. So many
clients take one request after the other from a list until it is empty, or until the time is over.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import uvloop
from tritonclient.grpc import service_pb2, service_pb2_grpc

from service.memory import keep_freed_memory

One = Callable[[int], Awaitable[int]]


@dataclass(frozen=True)
class Loaded:
    """What came of a load.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each request that was answered with 200.
        statuses: How many answers had which status; gRPC's are 200.
        cpu: Seconds of CPU that the clients themselves took.
    """

    seconds: float
    latencies: list[float]
    statuses: dict[str, int]
    cpu: float

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Milliseconds; not a number where nothing was answered."""
        ordered = sorted(self.latencies)
        if not ordered:
            return float("nan")
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1e3


def request(method: str, path: str, body: bytes = b"", **headers: str) -> str:
    """One HTTP/1.1 request, as JSON can carry it."""
    head = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        head.append(f"content-length: {len(body)}")
    return base64.b64encode("\r\n".join([*head, "", ""]).encode() + body).decode()


def load(target: dict[str, Any], clients: int, *, count: int | None = None, seconds: float = 600) -> Loaded:
    """Runs a load.

    Args:
        target: `port` and `requests`, which are sent in turns; or `grpc`, `model`, `inputs` and `output`, or
            `grpc` and `generator`.
        clients: At a time.
        count: How many requests; as many as there is time for if left out.
        seconds: After which no more are begun.
    """
    given = {**target, "clients": clients, "count": count, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name],
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Loaded(**json.loads(done.stdout))


async def _run(given: dict[str, Any]) -> dict[str, Any]:
    count = given["count"]
    work: Iterator[int] = iter(range(count)) if count else itertools.count()
    make = _grpc_client if "grpc" in given else _http_client
    callers = [await make(given) for _ in range(given["clients"])]
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    started, cpu = time.perf_counter(), time.process_time()
    stop = started + given["seconds"]

    async def client(call: One) -> None:
        for index in work:
            begun = time.perf_counter()
            if begun > stop:
                return
            status = await call(index)
            statuses[str(status)] += 1
            if status == 200:
                latencies.append(time.perf_counter() - begun)
            elif status == 503:
                await asyncio.sleep(0.05)

    await asyncio.gather(*(client(call) for call in callers))
    return {
        "seconds": time.perf_counter() - started,
        "latencies": latencies,
        "statuses": statuses,
        "cpu": time.process_time() - cpu,
    }


async def _http_client(given: dict[str, Any]) -> One:
    requests = [base64.b64decode(each) for each in given["requests"]]
    reader, writer = await asyncio.open_connection("127.0.0.1", given["port"], limit=1 << 22)

    async def call(index: int) -> int:
        writer.write(requests[index % len(requests)])
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"content-length: " in head:
            length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        elif b"transfer-encoding: chunked" in head:
            while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        return status

    return call


async def _grpc_client(given: dict[str, Any]) -> One:
    options = [("grpc.max_receive_message_length", 1 << 28), ("grpc.max_send_message_length", 1 << 28)]
    stub = service_pb2_grpc.GRPCInferenceServiceStub(
        grpc.aio.insecure_channel(given["grpc"], options=options)
    )
    if "generator" in given:
        return await _generator_client(stub, given["generator"], only=given.get("only", ""))
    array = np.random.default_rng(0).integers(0, 256, given["shape"], dtype=np.uint8)
    asked = _request(given["model"], {given["input"]: ("UINT8", array)}, given["output"])

    async def call(index: int) -> int:
        await stub.ModelInfer(asked)
        return 200

    return call


async def _generator_client(stub: Any, name: str, *, only: str) -> One:
    """Both halves, or the one that does the work, as `perf_analyzer` would."""
    config = (await stub.ModelConfig(service_pb2.ModelConfigRequest(name=f"{name}-mapping"))).config
    tensors = {tensor.name: list(tensor.dims) for tensor in [*config.input, *config.output]}
    one, const = np.ones((1, 1), np.float32), np.full((1, 1), -1, np.int64)

    async def styles(seed: int) -> np.ndarray:
        z = np.random.RandomState(seed).randn(1, *tensors["z"]).astype(np.float32)
        arrays = {
            "z": ("FP32", z),
            "truncation_psi": ("FP32", one),
            "truncation_cutoff": ("INT32", np.full((1, 1), -1, np.int32)),
        }
        for tensor in ("label", "edits"):
            if tensor in tensors:
                arrays[tensor] = ("FP32", np.zeros((1, *tensors[tensor]), np.float32))
        reply = await stub.ModelInfer(_request(f"{name}-mapping", arrays, "ws"))
        return np.frombuffer(reply.raw_output_contents[0], np.float32).reshape(1, *tensors["ws"])

    fixed = await styles(0)

    async def call(index: int) -> int:
        ws = fixed if only == "synthesis" else await styles(index)
        arrays = {"ws": ("FP32", ws), "noise_gain": ("FP32", one), "noise_seed": ("INT64", const)}
        await stub.ModelInfer(_request(f"{name}-synthesis", arrays, "images"))
        return 200

    return call


def _request(model: str, arrays: dict[str, tuple[str, np.ndarray]], output: str) -> Any:
    asked = service_pb2.ModelInferRequest(model_name=model)
    for name, (datatype, array) in arrays.items():
        asked.inputs.add(name=name, datatype=datatype, shape=array.shape)
        asked.raw_input_contents.append(array.tobytes())
    asked.outputs.add(name=output)
    return asked


if __name__ == "__main__":
    keep_freed_memory()
    uvloop.install()
    print(json.dumps(asyncio.run(_run(json.loads(sys.stdin.read())))))
