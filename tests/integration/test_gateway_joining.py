"""Calls that wait for one model share requests to a real Triton, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

Start = Callable[..., GatewayProcess]
StartTriton = Callable[[Path], TritonProcess]


@pytest.fixture
def slow(tmp_path: Path, start_triton: StartTriton) -> TritonProcess:
    """A toy whose every image takes some 50 ms."""
    return start_triton(write_toy_repository(tmp_path / "slow", extra_milliseconds=50))


def requests(triton: TritonProcess) -> int:
    """How many the synthesis model has answered."""
    stats = httpx.get(f"{triton.http_url}/v2/models/toy-synthesis/stats", trust_env=False).json()
    return int(stats["model_stats"][0]["inference_stats"]["success"]["count"])


def test_shared_requests_and_own_outcomes(slow: TritonProcess, start_gateway: Start) -> None:
    """While one call is computed twenty others come: one hangs up, one is late, all others are right."""
    gateway = start_gateway(slow.grpc_url, queue_limit=100)
    before = requests(slow)

    async def run() -> None:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=gateway.url, trust_env=False, timeout=60, limits=limits
        ) as client:

            def generate(seed: int, n: int = 1, **body: object) -> asyncio.Task[httpx.Response]:
                headers = {"prefer": "wait=1"} if body.pop("late", False) else {}
                body |= {"model": "toy", "seed": seed, "n": n}
                return asyncio.ensure_future(client.post("/v1/generate", json=body, headers=headers))

            busy = [generate(seed, 16) for seed in (100, 200, 300)]
            await asyncio.sleep(0.3)
            truncations = [1.0, 0.5] * 9
            calls = [generate(seed, truncation=psi) for seed, psi in enumerate(truncations)]
            late, leaving = generate(50, late=True), generate(51)
            await asyncio.sleep(0.2)
            leaving.cancel()
            assert (await late).status_code == 504
            for seed, psi in enumerate(truncations):
                (item,) = (await calls[seed]).json()["data"]
                assert item["pixels_sha256"] == toy_sha256(slow.repository, seed, truncation=psi)
            for call in busy:
                assert (await call).status_code == 200

    asyncio.run(run())
    assert requests(slow) - before <= 8, "23 calls in a few requests"
    with gateway.client() as client:
        metrics = client.get("/metrics").text
    assert 'ganserve_queue_depth{model="toy"} 0.0' in metrics
    assert 'ganserve_images_total{model="toy"} 66.0' in metrics


def test_a_lone_call_waits_for_nobody(slow: TritonProcess, start_gateway: Start) -> None:
    gateway = start_gateway(slow.grpc_url)
    with gateway.client() as client:
        client.post("/v1/generate", json={"model": "toy", "seeds": [0]})
        before = requests(slow)
        timing = client.post("/v1/generate", json={"model": "toy", "seeds": [1]}).headers["server-timing"]
        assert requests(slow) == before + 1
    parts = dict(part.strip().split(";dur=") for part in timing.split(","))
    assert float(parts["queue"]) < 5, timing
