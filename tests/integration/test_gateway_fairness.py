"""A model's queue is shared between API keys."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx

from service.keys import create_key
from tests.gateway_process import GatewayProcess
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess


def test_one_key_does_not_keep_another_out(
    tmp_path: Path,
    start_triton: Callable[[Path], TritonProcess],
    start_gateway: Callable[..., GatewayProcess],
) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "slow", extra_milliseconds=200))
    keys = tmp_path / "keys.json"
    secrets = {name: create_key(keys, name, ["generate"]) for name in ("hog", "guest")}
    gateway = start_gateway(triton.grpc_url, queue_limit=8, keys_file=keys)
    gateway.wait_ready()

    async def main() -> None:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=gateway.url, trust_env=False, timeout=60, limits=limits
        ) as client:

            def call(name: str, n: int) -> asyncio.Task[httpx.Response]:
                body = {"model": "toy", "seed": 1, "n": n}
                headers = {"authorization": f"Bearer {secrets[name]}"}
                return asyncio.ensure_future(client.post("/v1/generate", json=body, headers=headers))

            # Alone, a key may use the whole queue.
            alone = [call("hog", 2) for _ in range(4)]
            await asyncio.sleep(0.3)
            full = await call("guest", 1)
            assert (full.status_code, full.json()["type"]) == (503, "/problems/queue-full")
            assert int(full.headers["retry-after"]) >= 1
            assert [(await one).status_code for one in alone] == [200] * 4

            # While the guest is there, the hog is confined to half of it, though there is room for six.
            guest = call("guest", 2)
            await asyncio.sleep(0.1)
            hogs = [call("hog", 2) for _ in range(3)]
            assert sorted([(await one).status_code for one in hogs]) == [200, 200, 503]
            assert (await guest).status_code == 200

    asyncio.run(main())
