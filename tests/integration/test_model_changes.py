"""Models are loaded, reloaded and unloaded under traffic; one that makes other pixels is refused."""

import asyncio
import base64
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.gateway_process import GatewayProcess
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

Start = Callable[..., GatewayProcess]
StartTriton = Callable[[Path], TritonProcess]
BODY = {"model": "toy", "seeds": [1]}
ROLES = ("mapping", "synthesis")
CARD = re.compile(r'(key: "card" value \{ string_value: )(".*")( \})')


def change_card(folder: Path, change: Callable[[dict], None]) -> None:
    """Rewrites the card in a config."""
    config = folder / "config.pbtxt"

    def rewrite(match: re.Match[str]) -> str:
        card = json.loads(json.loads(match[2]))
        change(card)
        return match[1] + json.dumps(json.dumps(card)) + match[3]

    text, count = CARD.subn(rewrite, config.read_text())
    assert count == 1
    config.write_text(text)


def spoil_hashes(card: dict) -> None:
    """As another processor would find them."""
    card["golden"]["pixels_sha256"] = dict.fromkeys(card["golden"]["pixels_sha256"], "0" * 64)


def spoil_pictures(card: dict) -> None:
    """As if other weights had been measured."""
    spoil_hashes(card)
    for seed, thumbnail in card["golden"]["thumbnails"].items():
        pixels = bytearray(base64.b64decode(thumbnail))
        pixels[17] = (pixels[17] + 4) % 256 if pixels[17] < 250 else pixels[17] - 4
        card["golden"]["thumbnails"][seed] = base64.b64encode(pixels).decode()


def test_no_call_is_lost_while_a_model_is_reloaded_again_and_again(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    """Other weights under the same version: every answer's pixels are those of the digest it names."""
    sources = [
        write_toy_repository(tmp_path / "a"),
        write_toy_repository(tmp_path / "b", extra_milliseconds=0.1, patterns=2),
    ]
    repository = tmp_path / "served"
    shutil.copytree(sources[0], repository)
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.2)
    gateway.wait_ready()
    hashes: list[dict[int, str]] = [{seed: toy_sha256(s, seed) for seed in range(8)} for s in sources]
    assert hashes[0][1] != hashes[1][1]
    digests: list[str] = []
    seen: list[tuple[int, str, str]] = []

    async def caller(client: httpx.AsyncClient, number: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            number = (number + 1) % 8
            response = await client.post("/v1/generate", json={"model": "toy", "seeds": [number]})
            assert response.status_code == 200, response.text
            answer = response.json()
            assert answer["model_digest"] == response.headers["x-model-digest"]
            seen.append((number, answer["model_digest"], answer["data"][0]["pixels_sha256"]))

    async def run() -> None:
        stop = asyncio.Event()
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
            digests.append((await client.get("/v1/models/toy")).json()["digest"])
            callers = [asyncio.ensure_future(caller(client, number, stop)) for number in range(6)]
            for reload in range(1, 6):
                for role in ROLES:
                    shutil.copytree(
                        sources[reload % 2] / f"toy-{role}", repository / f"toy-{role}", dirs_exist_ok=True
                    )
                answer = await client.post("/v1/models/toy/load")
                assert answer.status_code == 200, answer.text
                assert answer.json()["golden"]["state"] == "exact"
                digests.append(answer.json()["digest"])
                assert (await client.get("/v1/models/toy")).json()["digest"] == digests[-1]
            stop.set()
            await asyncio.gather(*callers)

    asyncio.run(run())
    assert len(set(digests)) == 2
    by_digest = {digests[0]: hashes[0], digests[1]: hashes[1]}
    assert {digest for _, digest, _ in seen} == set(digests)
    assert len(seen) > 100
    for seed, digest, pixels in seen:
        assert by_digest[digest][seed] == pixels
    assert "Traceback" not in gateway.log()


def test_a_version_with_other_pixels_is_refused_while_the_old_one_serves(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.2)
    gateway.wait_ready()
    with gateway.client() as client:
        before = client.get("/v1/models/toy").json()
        assert before["golden"]["state"] == "exact"
        assert "thumbnails" not in before["golden"]
        for role in ROLES:
            folder = repository / f"toy-{role}"
            shutil.copytree(folder / "1", folder / "2")
            config = folder / "config.pbtxt"
            config.write_text(config.read_text() + "version_policy: { all { } }\n")
            change_card(folder, spoil_pictures)
        refused = client.post("/v1/models/toy/load")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/model-load-failed")
        assert "seed 0 is another picture than the card's" in refused.json()["detail"]
        card = client.get("/v1/models/toy").json()
        assert (card["version"], card["state"], card["digest"]) == ("1", "READY", before["digest"])
        assert (card["newer"]["version"], card["newer"]["state"]) == ("2", "REFUSED")
        time.sleep(0.5)  # refreshes come and go
        for _ in range(3):
            assert client.post("/v1/generate", json=BODY).status_code == 200
        assert client.get("/readyz").status_code == 200

        # Triton takes version 1 away: then there is nothing that may serve.
        for role in ROLES:
            shutil.rmtree(repository / f"toy-{role}" / "1")
        assert client.post("/v1/models/toy/load").status_code == 409
        card = client.get("/v1/models").json()["data"][0]
        assert (card["version"], card["state"]) == ("2", "REFUSED")
        assert "another picture" in card["reason"]
        answer = client.post("/v1/generate", json=BODY)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/model-unavailable")
        assert "another picture" in answer.json()["detail"]
        assert "another picture" in client.get("/readyz").json()["detail"]

        # Hashes of another processor, with pictures that look the same, are let through and said.
        for role in ROLES:
            shutil.copy(
                write_toy_repository(tmp_path / "fresh") / f"toy-{role}" / "config.pbtxt",
                repository / f"toy-{role}",
            )
            change_card(repository / f"toy-{role}", spoil_hashes)
        loaded = client.post("/v1/models/toy/load")
        assert loaded.status_code == 200, loaded.text
        assert loaded.json()["golden"]["state"] == "close"
        assert client.post("/v1/generate", json=BODY).status_code == 200
    assert "model makes close, not equal pixels" in gateway.log()
    strict = start_gateway(triton.grpc_url, golden_check="strict")
    with strict.client() as client:
        assert "sha256 differs" in client.get("/v1/models").json()["data"][0]["reason"]


def test_load_and_unload(tmp_path: Path, start_triton: StartTriton, start_gateway: Start) -> None:
    repository = write_toy_repository(tmp_path / "repository", extra_milliseconds=40)
    triton = start_triton(repository)
    write_toy_repository(repository, name="late", golden=False)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.2)
    gateway.wait_ready()

    async def unload_under_way() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
            call = asyncio.ensure_future(
                client.post("/v1/generate", json={"model": "toy", "seed": 0, "n": 32})
            )
            await asyncio.sleep(0.4)
            unloading = asyncio.ensure_future(client.post("/v1/models/toy/unload"))
            await asyncio.sleep(0.1)
            refused = await client.post("/v1/generate", json=BODY)
            assert (refused.status_code, refused.json()["type"]) == (404, "/problems/model-not-found")
            assert not call.done()
            assert not unloading.done()
            assert (await call).status_code == 200
            assert (await unloading).json() == {"name": "toy", "state": "UNLOADED"}

    with gateway.client() as client:
        assert client.get("/v1/models/late").status_code == 404
        loaded = client.post("/v1/models/late/load")
        assert loaded.status_code == 200, loaded.text
        assert loaded.json()["golden"] == {"state": "unchecked"}
        assert client.post("/v1/generate", json={**BODY, "model": "late"}).status_code == 200
        asyncio.run(unload_under_way())
        assert [card["name"] for card in client.get("/v1/models").json()["data"]] == ["late"]
        for verb in ("load", "unload"):
            assert client.post(f"/v1/models/nothing/{verb}").status_code == 404
        assert client.post("/v1/models/toy/unload").status_code == 404
        assert client.post("/v1/models/toy/load").status_code == 200
        assert client.post("/v1/generate", json=BODY).status_code == 200

        # What cannot be loaded is refused with Triton's reason, and what is loaded serves on.
        (repository / "toy-synthesis" / "1" / "model.onnx").write_bytes(b"damaged")
        failed = client.post("/v1/models/toy/load")
        assert (failed.status_code, failed.json()["type"]) == (409, "/problems/model-load-failed")
        assert "is not the file its card describes" in failed.json()["detail"]
        assert client.post("/v1/generate", json=BODY).status_code == 200
        assert client.get("/v1/models/toy").json()["state"] == "READY"


def test_a_model_whose_process_died_is_out_until_it_answers(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    write_toy_repository(repository, name="other")
    triton = start_triton(repository)
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.2, breaker_failures=2)
    gateway.wait_ready()
    with gateway.client() as client:

        def outcome() -> tuple[int, str]:
            answer = client.post("/v1/generate", json=BODY)
            return answer.status_code, answer.json().get("type", "")

        assert outcome() == (200, "")
        for process in psutil.Process(triton.pid).children(recursive=True):
            if any("toy-synthesis" in word for word in process.cmdline()):
                process.kill()
        failed = (502, "/problems/inference-failed")
        out = (503, "/problems/model-unavailable")
        assert [outcome() for _ in range(4)] == [failed, failed, out, out]
        time.sleep(0.5)
        assert outcome() == out
        assert client.get("/v1/models/toy").json()["state"] == "FAILING"
        assert list(client.get("/readyz").json()["unavailable"]) == ["toy"]
        metrics = client.get("/metrics").text
        assert 'ganserve_breaker_state{model="toy"} 1.0' in metrics
        assert 'ganserve_breaker_state{model="other"} 0.0' in metrics
        assert client.post("/v1/generate", json={**BODY, "model": "other"}).status_code == 200
        loaded = client.post("/v1/models/toy/load")  # with a new process
        assert loaded.status_code == 200, loaded.text
        assert outcome() == (200, "")
        assert 'ganserve_breaker_state{model="toy"} 0.0' in client.get("/metrics").text
    triton.kill()  # it would wait long for processes that are gone


def test_calls_fail_at_once_while_triton_hangs(
    tmp_path: Path, start_triton: StartTriton, start_gateway: Start
) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "repository"))
    gateway = start_gateway(triton.grpc_url, catalog_refresh_seconds=0.2)
    gateway.wait_ready()
    with gateway.client() as client:
        psutil.Process(triton.pid).suspend()
        try:
            # The catalog asks, and waits two seconds: it says what calls go by.
            ends = time.monotonic() + 30
            while "ganserve_triton_up 0.0" not in client.get("/metrics").text:
                assert time.monotonic() < ends
                time.sleep(0.1)
            started = time.monotonic()
            for _ in range(20):
                answer = client.post("/v1/generate", json=BODY)
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/triton-unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            assert time.monotonic() - started < 10  # one that waited for Triton would take two seconds each
        finally:
            psutil.Process(triton.pid).resume()
        gateway.wait_ready(10)
        assert client.post("/v1/generate", json=BODY).status_code == 200
