"""Triton comes, goes, crashes and changes its models; the gateway notices without a restart."""

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess, free_ports

Start = Callable[..., GatewayProcess]
StartTriton = Callable[[Path], TritonProcess]
BODY = {"model": "toy", "seeds": [1]}


def until(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Waits for a condition; returns how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "never came true"
        time.sleep(0.02)
    return time.monotonic() - started


def control(triton: TritonProcess, name: str, verb: str) -> None:
    for role in ("mapping", "synthesis"):
        url = f"{triton.http_url}/v2/repository/models/{name}-{role}/{verb}"
        response = httpx.post(url, json={}, trust_env=False, timeout=30)
        assert response.status_code == 200, response.text


def test_no_triton_yet(start_gateway: Start) -> None:
    gateway = start_gateway(f"127.0.0.1:{free_ports(1)[0]}")
    with gateway.client() as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["type"] == "/problems/not-ready"
        for response in (
            client.post("/v1/generate", json=BODY),
            client.get("/v1/models"),
            client.get("/v1/models/toy"),
            client.get("/v1/models/toy/images/1.png"),
        ):
            assert response.status_code == 503
            assert response.json()["type"] == "/problems/triton-unavailable"
            assert int(response.headers["retry-after"]) >= 1
        assert "ganserve_triton_up 0.0" in client.get("/metrics").text


def test_killed_and_restarted_under_load(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "repository", extra_milliseconds=20))
    # The slowest refresh there is: noticing must not depend on the background task.
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=600)
    gateway.wait_ready()
    expected = {seed: toy_sha256(triton.repository, seed) for seed in range(20)}
    outcomes: Counter = Counter()
    slowest = 0.0
    served = asyncio.Event()

    async def caller(client: httpx.AsyncClient, number: int, stop: asyncio.Event) -> None:
        nonlocal slowest
        while not stop.is_set():
            seed = (number * 7 + outcomes.total()) % 20
            started = time.monotonic()
            response = await client.post("/v1/generate", json={"model": "toy", "seeds": [seed]})
            slowest = max(slowest, time.monotonic() - started)
            if response.status_code == 200:
                assert response.json()["data"][0]["pixels_sha256"] == expected[seed]
                outcomes["ok"] += 1
                served.set()
            else:
                assert response.status_code == 503, response.text
                assert int(response.headers["retry-after"]) >= 1
                outcomes[response.json()["type"]] += 1
                await asyncio.sleep(0.1)

    async def run() -> None:
        stop = asyncio.Event()
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
            callers = [asyncio.ensure_future(caller(client, number, stop)) for number in range(12)]
            await served.wait()
            await asyncio.to_thread(triton.kill)
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert ready.elapsed.total_seconds() < 5
            await asyncio.sleep(1)
            assert outcomes["/problems/triton-unavailable"] > 0
            triton.spawn()  # by the main thread, with which it would end
            await asyncio.to_thread(triton.wait_ready)
            restarted = time.monotonic()
            while (await client.get("/readyz")).status_code != 200:
                assert time.monotonic() - restarted < 20
                await asyncio.sleep(0.05)
            served.clear()
            await served.wait()
            stop.set()
            await asyncio.gather(*callers)

    asyncio.run(run())
    assert slowest < 10
    assert set(outcomes) == {"ok", "/problems/triton-unavailable"}
    assert "Traceback" not in gateway.log()


def test_models_come_change_and_go(tmp_path: Path, start_triton: StartTriton, start_gateway: Start) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.1)
    gateway.wait_ready()
    with gateway.client() as client:

        def names() -> list[str]:
            return [card["name"] for card in client.get("/v1/models").json()["data"]]

        def digest() -> str:
            return client.get("/v1/models/toy").json()["digest"]

        assert names() == ["toy"]
        write_toy_repository(repository, name="other")
        control(triton, "other", "load")
        assert until(lambda: names() == ["other", "toy"]) < 2
        assert client.post("/v1/generate", json={**BODY, "model": "other"}).status_code == 200

        control(triton, "other", "unload")
        assert until(lambda: names() == ["toy"]) < 2
        gone = client.post("/v1/generate", json={**BODY, "model": "other"})
        assert gone.json()["type"] == "/problems/model-not-found"

        # A new version with other weights, as an export writes it.
        first = digest()
        renewed = write_toy_repository(tmp_path / "renewed", extra_milliseconds=1)
        for role in ("mapping", "synthesis"):
            shutil.copytree(renewed / f"toy-{role}" / "1", repository / f"toy-{role}" / "2")
            shutil.copy(renewed / f"toy-{role}" / "config.pbtxt", repository / f"toy-{role}")
        control(triton, "toy", "load")
        assert until(lambda: client.get("/v1/models/toy").json()["version"] == "2") < 2
        assert digest() != first
        answer = client.post("/v1/generate", json=BODY)
        assert answer.headers["x-model-digest"] == digest()
        assert client.get(f"/v1/models/toy/images/1.png?digest={first}").status_code == 409


def test_a_call_finds_out_at_once(tmp_path: Path, start_triton: StartTriton, start_gateway: Start) -> None:
    """With a background refresh that never comes, the first call after a change still answers truly."""
    repository = write_toy_repository(tmp_path / "repository")
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=600)
    gateway.wait_ready()
    with gateway.client() as client:
        assert client.post("/v1/generate", json=BODY).status_code == 200
        for role in ("mapping", "synthesis"):
            shutil.move(repository / f"toy-{role}" / "1", repository / f"toy-{role}" / "2")
        control(triton, "toy", "load")
        answer = client.post("/v1/generate", json=BODY)
        assert answer.status_code == 200, answer.text
        assert client.get("/v1/models/toy").json()["version"] == "2"
        control(triton, "toy", "unload")
        gone = client.post("/v1/generate", json=BODY)
        assert (gone.status_code, gone.json()["type"]) == (404, "/problems/model-not-found")
        assert client.get("/readyz").status_code == 503


def test_half_a_generator_is_not_served(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="half")
    shutil.rmtree(repository / "half-mapping")
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.1)
    gateway.wait_ready()
    with gateway.client() as client:
        assert [card["name"] for card in client.get("/v1/models").json()["data"]] == ["toy"]
        assert client.post("/v1/generate", json={**BODY, "model": "half"}).status_code == 404
    assert "only the synthesis half is ready" in gateway.log()


def test_broken_cards_are_skipped_and_said_once(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    for name, change in (("broken", ("generator", "poem")), ("without", ('key: "card"', 'key: "other"'))):
        write_toy_repository(repository, name=name)
        for role in ("mapping", "synthesis"):
            config = repository / f"{name}-{role}" / "config.pbtxt"
            config.write_text(config.read_text().replace(*change))
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.1)
    gateway.wait_ready()
    time.sleep(1)
    with gateway.client() as client:
        assert [card["name"] for card in client.get("/v1/models").json()["data"]] == ["toy"]
    lines = [json.loads(line) for line in gateway.log().splitlines()]
    reasons = {line["model"]: line["reason"] for line in lines if line["event"] == "model is not served"}
    assert "`kind`" in reasons["broken-mapping"]
    assert "no parameter `card`" in reasons["without-synthesis"]
    assert sum(line["event"] == "model is not served" for line in lines) == len(reasons) == 4


def test_a_failing_model_is_a_502(tmp_path: Path, start_triton: StartTriton, start_gateway: Start) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "repository"))
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.1)
    gateway.wait_ready()
    with gateway.client() as client:
        for process in psutil.Process(triton.pid).children(recursive=True):
            process.kill()
        answer = client.post("/v1/generate", json=BODY)
        assert answer.status_code == 502, answer.text
        assert answer.json()["type"] == "/problems/inference-failed"
    assert '"event": "inference failed"' in gateway.log()
    triton.kill()  # it would wait long for processes that are gone
