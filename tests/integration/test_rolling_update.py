"""Everything is replaced while it is used: gateway, model and worker; nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image

from service.jobs.database import Database
from tests.balancer import Balancer
from tests.gateway_process import GatewayProcess
from tests.image_files import saved
from tests.jobs_service import ENDED
from tests.toy_image_models import write_toy_image_model
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess
from tests.worker_process import WorkerProcess

ITEMS = 150
SEEDS = 8


def test_nothing_is_lost_while_everything_is_replaced(
    tmp_path: Path, postgres_url: str, start_triton: Callable[[Path], TritonProcess]
) -> None:
    repository = write_toy_image_model(write_toy_repository(tmp_path / "served"), "doubler", scale=2)
    newer = write_toy_repository(tmp_path / "newer", patterns=2)
    expected = [{seed: toy_sha256(path, seed) for seed in range(SEEDS)} for path in (repository, newer)]
    database = Database(postgres_url)
    database.migrate()  # as the chart's job does, before anything that uses it starts
    database.close()
    triton = start_triton(repository)
    settings = {
        "database_url": postgres_url,
        "artifacts_url": (tmp_path / "artifacts").as_uri(),
        "state_folder": tmp_path / "state",
        "drain_seconds": 1.5,
    }
    gateways = [GatewayProcess(triton.grpc_url, tmp_path / "gateway-0.log", **settings)]
    workers = [WorkerProcess(triton.grpc_url, tmp_path / "worker-0.log", **settings)]
    seen: list[tuple[int, str, str]] = []
    uploads = itertools.count()
    called = asyncio.Event()

    async def caller(url: str, stop: asyncio.Event) -> None:
        """Calls over one connection that is kept alive, as clients in production do."""
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            for seed in itertools.cycle(range(SEEDS)):
                if stop.is_set():
                    return
                answer = await client.post("/v1/generate", json={"model": "toy", "seeds": [seed]})
                assert answer.status_code == 200, answer.text
                pixels = answer.json()["data"][0]["pixels_sha256"]
                seen.append((seed, answer.headers["x-model-digest"], pixels))
                called.set()

    async def uploader(url: str, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            while not stop.is_set():
                files = {"image": ("a.png", saved(Image.new("RGB", (40, 30)), "PNG"), "image/png")}
                answer = await client.post("/v1/super-resolution", data={"model": "doubler"}, files=files)
                assert answer.status_code == 200, answer.text
                next(uploads)

    async def run() -> None:
        stop = asyncio.Event()
        async with (
            Balancer() as balancer,
            httpx.AsyncClient(base_url=balancer.url, trust_env=False, timeout=60) as client,
        ):

            async def get(path: str) -> dict:
                # A connection of its own, as a command line would have.
                async with httpx.AsyncClient(base_url=balancer.url, trust_env=False, timeout=60) as one:
                    answer = await one.get(path)
                assert answer.status_code == 200, answer.text
                return answer.json()

            balancer.backends.append(gateways[0].url)
            await balancer.until_ready(gateways[0].url)
            digests = [(await get("/v1/models/toy"))["digest"]]
            callers = [
                *(asyncio.ensure_future(caller(balancer.url, stop)) for _ in range(4)),
                asyncio.ensure_future(uploader(balancer.url, stop)),
            ]
            body = {"operation": "generate", "model": "toy", "seeds": list(range(ITEMS))}
            made = await client.post("/v1/jobs", json=body)
            assert made.status_code == 202, made.text
            job = f"/v1/jobs/{made.json()['id']}"

            async def more_calls() -> None:
                for _ in range(20):
                    called.clear()
                    await called.wait()

            async def job_has(condition: Callable[[dict], bool]) -> None:
                while not condition(await get(job)):  # noqa: ASYNC110  # only the gateway knows
                    await asyncio.sleep(0.1)

            # The gateway: a new one is up before the old one is told to go.
            gateways.append(GatewayProcess(triton.grpc_url, tmp_path / "gateway-1.log", **settings))
            balancer.backends.append(gateways[1].url)
            await balancer.until_ready(gateways[1].url)
            gateways[0].terminate()
            assert await asyncio.to_thread(gateways[0].process.wait, 60) == 0
            balancer.backends.pop(0)
            await more_calls()

            # The worker likewise, in the middle of the job.
            await job_has(lambda now: now["counts"]["succeeded"] >= ITEMS // 10)
            workers.append(WorkerProcess(triton.grpc_url, tmp_path / "worker-1.log", **settings))
            await asyncio.to_thread(workers[1].wait_ready)
            workers[0].terminate()
            assert await asyncio.to_thread(workers[0].process.wait, 60) == 0

            # The model: a new version of it takes over.
            await job_has(lambda now: now["state"] in ENDED)
            for role in ("mapping", "synthesis"):
                shutil.copytree(newer / f"toy-{role}" / "1", repository / f"toy-{role}" / "2")
                shutil.copy(newer / f"toy-{role}" / "config.pbtxt", repository / f"toy-{role}")
            loaded = await client.post("/v1/models/toy/load")
            assert loaded.status_code == 200, loaded.text
            assert loaded.json()["version"] == "2"
            digests.append(loaded.json()["digest"])
            await more_calls()
            stop.set()
            await asyncio.gather(*callers)

            ended = await get(job)
            assert ended["state"] == "succeeded", ended
            assert ended["counts"]["succeeded"] == ITEMS
            items = (await get(f"{job}/items?limit=1000"))["data"]
            assert len(items) == ITEMS
            assert {item["attempts"] for item in items} == {1}, (
                "a worker that drains leaves nothing half done"
            )

        assert {digest for _, digest, _ in seen} == set(digests)
        for seed, digest, pixels in seen:
            assert pixels == expected[digests.index(digest)][seed]

    try:
        gateways[0].wait_ready()
        asyncio.run(run())
    finally:
        for process in (*workers, *gateways):
            process.close()
    assert next(uploads) > 5
    for gateway in gateways:
        assert "Traceback" not in gateway.log()
