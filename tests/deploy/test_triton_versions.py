"""A Triton with production settings in operation: its cache, what is closed, versions in and back."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from typer.testing import CliRunner

from service.cli import app
from service.repository.config_text import CONFIG, RepositoryError, read_config
from service.repository.profiles import PROFILES
from service.repository.rendering import render_repository
from service.repository.server_flags import OPERATOR_HEADER, OPERATOR_METADATA, server_flags
from service.repository.versions import publish, withdraw
from tests.conftest import SHIPPED_MODELS
from tests.gateway_process import GatewayProcess
from tests.integration.test_model_changes import ROLES, change_card, spoil_pictures
from tests.toy_oracle import toy_sha256
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

KEY = "a key of the operator's"
# One of each kind; the others' configs differ in sizes alone.
SHIPPED = ("terrain-mapping", "terrain-synthesis", "satellite-to-relief", "photo-x4")


@dataclass
class Stack:
    """A gateway before a Triton as operators run it on CPUs."""

    triton: TritonProcess
    gateway: GatewayProcess
    repository: Path
    exports: dict[str, Path]

    def load(self) -> httpx.Response:
        with self.gateway.client() as client:
            return client.post("/v1/models/toy/load")

    def served(self, seed: int = 5) -> str:
        with self.gateway.client() as client:
            answer = client.post("/v1/generate", json={"model": "toy", "seeds": [seed]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"][0]["pixels_sha256"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("production")
    exports = {
        "first": write_toy_repository(folder / "first"),
        "second": write_toy_repository(folder / "second", patterns=2),
        "spoilt": write_toy_repository(folder / "spoilt", patterns=3),
    }
    for role in ROLES:
        change_card(exports["spoilt"] / f"toy-{role}", spoil_pictures)
    source = shutil.copytree(exports["first"], folder / "source")
    for name in SHIPPED:
        shutil.copytree(SHIPPED_MODELS / name, source / name)
    repository = folder / "served"
    render_repository(source, repository, PROFILES["cpu"])
    triton = TritonProcess(repository, folder / "triton.log", server_flags("cpu", KEY)).start()
    try:
        gateway = GatewayProcess(triton.grpc_url, folder / "gateway.log", catalog_refresh_seconds=0.2)
        gateway.wait_ready()
        yield Stack(triton, gateway, repository, exports)
        gateway.close()
    finally:
        triton.close()


def test_shipped_models_make_their_pixels_with_production_settings(stack: Stack) -> None:
    with stack.gateway.client() as client:
        cards = {card["name"]: card for card in client.get("/v1/models").json()["data"]}
    assert set(cards) == {"toy", "terrain", "satellite-to-relief", "photo-x4"}
    for name, card in cards.items():
        assert card["state"] == "READY", (name, card.get("reason"))
        assert card["golden"]["state"] in ("exact", "close")
    assert cards["toy"]["golden"]["state"] == "exact"


def test_equal_requests_are_answered_from_the_cache(stack: Stack) -> None:
    """Triton itself counts the hits; the pixels are those that were computed."""

    def hits() -> int:
        asked = service_pb2.ModelStatisticsRequest(name="toy-synthesis")
        reply = triton.ModelStatistics(asked, metadata=[(OPERATOR_METADATA, KEY)])
        return sum(model.inference_stats.cache_hit.count for model in reply.model_stats)

    with grpc.insecure_channel(stack.triton.grpc_url) as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        expected = toy_sha256(stack.exports["first"], 41)
        assert stack.served(41) == expected
        before = hits()
        assert [stack.served(41) for _ in range(3)] == [expected] * 3
        assert hits() == before + 3
        assert stack.served(42) != expected
        assert hits() == before + 3
        # A mapping is computed each time.
        asked = service_pb2.ModelStatisticsRequest(name="toy-mapping")
        reply = triton.ModelStatistics(asked, metadata=[(OPERATOR_METADATA, KEY)])
        assert reply.model_stats[0].inference_stats.cache_hit.count == 0


def test_what_no_gateway_needs_is_closed(stack: Stack) -> None:
    with httpx.Client(base_url=stack.triton.http_url, trust_env=False) as http:
        assert http.get("/v2/health/ready").status_code == 200
        for verb, path in (
            ("POST", "/v2/repository/index"),
            ("GET", "/v2/models/toy-mapping/config"),
            ("GET", "/v2/models/toy-mapping/stats"),
            ("GET", "/v2/systemsharedmemory/status"),
            ("POST", "/v2/repository/models/toy-mapping/unload"),
        ):
            assert http.request(verb, path).status_code == 403, path
            assert http.request(verb, path, headers={OPERATOR_HEADER: "guessed"}).status_code == 403, path
        opened = http.post("/v2/repository/index", headers={OPERATOR_HEADER: KEY})
        assert {"toy-mapping", "photo-x4"} <= {model["name"] for model in opened.json()}
    with grpc.insecure_channel(stack.triton.grpc_url) as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for call, request in (
            (triton.SystemSharedMemoryStatus, service_pb2.SystemSharedMemoryStatusRequest()),
            (triton.ModelStatistics, service_pb2.ModelStatisticsRequest(name="toy-mapping")),
            (triton.LogSettings, service_pb2.LogSettingsRequest()),
        ):
            with pytest.raises(grpc.RpcError):
                call(request)
    metrics = httpx.get(stack.triton.metrics_url, trust_env=False).text
    assert 'nv_cache_num_hits_per_model{model="toy-synthesis"' in metrics
    assert "nv_inference_compute_infer_summary_us" in metrics


def test_a_version_is_put_into_production_and_taken_back_under_traffic(stack: Stack) -> None:
    """The recipe of deploy/triton/README.md; no call fails meanwhile, each has pixels of one of them."""
    first, second = (toy_sha256(stack.exports[name], 5) for name in ("first", "second"))
    run = CliRunner().invoke
    arguments = [str(stack.repository), "toy"]
    failed: list[Any] = []
    seen: set[str] = set()
    stop = threading.Event()

    def caller() -> None:
        while not stop.is_set():
            try:
                seen.add(stack.served(5))
            except BaseException as error:
                failed.append(error)
                return

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for thread in callers:
        thread.start()
    try:
        done = run(app, ["repository", "publish", str(stack.exports["second"]), *arguments])
        assert "Version 2 of toy" in done.output
        loaded = stack.load()
        assert loaded.status_code == 200, loaded.text
        assert (loaded.json()["version"], loaded.json()["golden"]["state"]) == ("2", "exact")
        assert stack.served() == second

        done = run(app, ["repository", "withdraw", *arguments])
        assert "goes back to version 1" in done.output
        back = stack.load()
        assert (back.status_code, back.json()["version"]) == (200, "1"), back.text
        assert stack.served() == first

        # One that makes other pixels than its card says is refused, and the old one serves on.
        assert publish(stack.exports["spoilt"], stack.repository, "toy") == 3  # no number twice
        refused = stack.load()
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/model-load-failed")
        assert "another picture than the card's" in refused.json()["detail"]
        shown = run(app, ["models", "toy", "--url", stack.gateway.url]).output
        assert re.search(r"newer +version 3 is REFUSED: .*another picture", shown)
        assert stack.served() == first
        assert withdraw(stack.repository, "toy") == (3, 1)
        assert stack.load().status_code == 200
    finally:
        stop.set()
        for thread in callers:
            thread.join()
    assert failed == []
    assert seen == {first, second}


def test_other_weights_under_an_old_version_number_are_refused(stack: Stack) -> None:
    """Triton's cache would go on answering with the old ones' pixels."""
    with stack.gateway.client() as client:
        version = client.get("/v1/models/toy").json()["version"]
    kept = shutil.copytree(stack.repository / "toy-synthesis", stack.repository.parent / "kept")
    other = stack.exports["second"] / "toy-synthesis"
    served = stack.repository / "toy-synthesis"
    shutil.copytree(other / "1", served / version, dirs_exist_ok=True)
    config = read_config(served / CONFIG)
    config.parameters["card"].string_value = read_config(other / CONFIG).parameters["card"].string_value
    (served / CONFIG).write_text(str(config))
    refused = stack.load()
    assert refused.status_code == 409, refused.text
    assert "response cache still has answers of the old ones" in refused.json()["detail"]
    with stack.gateway.client() as client:
        assert client.post("/v1/generate", json={"model": "toy", "seeds": [5]}).status_code == 503
    # As it was, it serves again.
    shutil.copytree(kept, served, dirs_exist_ok=True)
    back = stack.load()
    assert back.status_code == 200, back.text
    assert stack.served() == toy_sha256(stack.exports["first"], 5)


def test_a_dead_process_is_not_taken_for_alive_for_what_the_cache_knows(stack: Stack) -> None:
    """The last test of this Triton, which is killed: it would wait long for a process that is gone."""
    for process in psutil.Process(stack.triton.pid).children(recursive=True):
        if any("toy-synthesis" in word for word in process.cmdline()):
            process.kill()
    with stack.gateway.client() as client:
        seeds = iter(range(1000, 2000))
        statuses = set()
        for _ in range(4):  # three in a row, and it is out
            answer = client.post("/v1/generate", json={"model": "toy", "seeds": [next(seeds)]})
            statuses.add(answer.status_code)
        assert statuses == {502, 503}
        states = set()
        stop = time.monotonic() + 1.5  # some checks later
        while time.monotonic() < stop:
            states.add(client.get("/v1/models/toy").json()["state"])
        assert states == {"FAILING"}
    stack.triton.kill()


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RepositoryError) as caught:
        call()
    return str(caught.value)


def test_what_cannot_be_published_leaves_the_repository_alone(tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path / "served")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    other = write_toy_repository(tmp_path / "other", patterns=2)
    assert "no model 'tow'" in refusal(lambda: publish(other, repository, "tow"))
    assert "new is rendered" in refusal(lambda: publish(other, tmp_path / "empty", "toy"))
    assert "only one" in refusal(lambda: withdraw(repository, "toy"))
    assert "no model" in refusal(lambda: withdraw(repository, "tow"))
    model = other / "toy-synthesis" / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    assert "not the file its card describes" in refusal(lambda: publish(other, repository, "toy"))
    model.write_bytes(whole)
    config = other / "toy-synthesis" / CONFIG
    config.write_text(config.read_text().replace("dims: [16, 16, 3]", "dims: [32, 32, 3]"))
    assert "`output` is not that" in refusal(lambda: publish(other, repository, "toy"))
    after = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if ".publishing" not in str(path)} == before


def test_each_version_keeps_its_card(tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path / "served")
    cards = [read_config(repository / "toy-synthesis" / CONFIG).parameters["card"].string_value]
    for number in (2, 3):
        export = write_toy_repository(tmp_path / f"export-{number}", patterns=number)
        cards.append(read_config(export / "toy-synthesis" / CONFIG).parameters["card"].string_value)
        assert publish(export, repository, "toy") == number

    def said() -> dict[str, str]:
        parameters = read_config(repository / "toy-synthesis" / CONFIG).parameters
        return {key: parameters[key].string_value for key in parameters if key.startswith("card")}

    assert said() == {"card": cards[2], "card.1": cards[0], "card.2": cards[1]}
    assert withdraw(repository, "toy") == (3, 2)
    assert said() == {"card": cards[1], "card.1": cards[0]}
    assert withdraw(repository, "toy") == (2, 1)
    assert said() == {"card": cards[0]}
    assert publish(tmp_path / "export-2", repository, "toy") == 4
    assert sorted(path.name for path in (repository / "toy-mapping").glob("[0-9]*")) == ["1", "4"]
