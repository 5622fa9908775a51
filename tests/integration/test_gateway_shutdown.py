"""SIGTERM: readiness first, then the port; what is in flight finishes; the exit code is 0."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.gateway_process import GatewayProcess
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess
from tests.up_process import until

Start = Callable[..., GatewayProcess]


def test_in_flight_finishes(
    tmp_path: Path, start_triton: Callable[[Path], TritonProcess], start_gateway: Start
) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "slow", extra_milliseconds=80))
    gateway = start_gateway(triton.grpc_url, drain_seconds=0.7, stop_timeout_seconds=60)
    gateway.wait_ready()
    answers: list[httpx.Response] = []

    def call() -> None:
        body, patience = {"model": "toy", "seed": 0, "n": 24}, {"prefer": "wait=55"}
        with gateway.client() as client:
            answers.append(client.post("/v1/generate", json=body, headers=patience))

    streamed: list[str] = []

    def stream() -> None:
        body = {"model": "toy", "keyframes": [{"seed": 1}, {"seed": 2}], "frames": 16}
        accept = {"accept": "text/event-stream", "prefer": "wait=55"}
        with (
            gateway.client() as client,
            client.stream("POST", "/v1/interpolate", json=body, headers=accept) as response,
        ):
            streamed.extend(response.iter_lines())

    caller, streamer = threading.Thread(target=call), threading.Thread(target=stream)
    caller.start()
    streamer.start()
    time.sleep(0.3)
    gateway.terminate()
    time.sleep(0.2)
    with gateway.client() as client:
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["detail"] == "The gateway is shutting down."
        healthy = client.get("/healthz")
        assert healthy.status_code == 200
        # Or a client that keeps its connections would send its next call into a port that closes.
        assert (ready.headers["connection"], healthy.headers["connection"]) == ("close", "close")
    time.sleep(1)
    with pytest.raises(httpx.ConnectError):
        httpx.get(gateway.url + "/healthz", trust_env=False)
    assert caller.is_alive()
    assert streamer.is_alive()
    caller.join(60)
    streamer.join(60)
    assert answers[0].status_code == 200
    assert answers[0].headers["connection"] == "close"
    assert len(answers[0].json()["data"]) == 24
    events = [line for line in streamed if line.startswith("event: ")]
    assert events.count("event: frame") == 16, (streamed[:4], gateway.log())
    assert "event: error" not in events
    assert gateway.process.wait(10) == 0


def test_what_takes_longer_than_the_gateway_waits_is_told_so(
    tmp_path: Path, start_triton: Callable[[Path], TritonProcess], start_gateway: Start
) -> None:
    triton = start_triton(write_toy_repository(tmp_path / "slow", extra_milliseconds=100))
    gateway = start_gateway(triton.grpc_url, stop_timeout_seconds=2, queue_limit=128)
    gateway.wait_ready()
    answers: list[httpx.Response] = []

    def call(accept: str) -> None:
        body = {"model": "toy", "keyframes": [1, 2], "frames": 300}
        with gateway.client() as client:
            headers = {"accept": accept, "prefer": "wait=300"}
            answers.append(client.post("/v1/interpolate", json=body, headers=headers))

    streamed: list[str] = []

    def stream() -> None:
        body = {"model": "toy", "keyframes": [1, 2], "frames": 300}
        accept = {"accept": "text/event-stream", "x-request-id": "cut-off", "prefer": "wait=300"}
        with (
            gateway.client() as client,
            client.stream("POST", "/v1/interpolate", json=body, headers=accept) as response,
        ):
            streamed.extend(response.iter_lines())  # raises if the body is not ended as HTTP wants it

    callers = [threading.Thread(target=call, args=[accept]) for accept in ("image/png", "image/webp")]
    callers.append(threading.Thread(target=stream))
    for caller in callers:
        caller.start()
    until(lambda: "event: frame" in streamed)
    gateway.terminate()
    for caller in callers:
        caller.join(40)
    assert gateway.process.wait(40) == 0
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "/problems/shutting-down"
    assert len(answers) == 2
    assert "event: done" not in streamed
    assert streamed[-3:-1] == ["event: error", streamed[-2]]
    problem = json.loads(streamed[-2].removeprefix("data: "))
    assert (problem["type"], problem["status"]) == ("/problems/shutting-down", 503)
    assert (problem["instance"], problem["request_id"]) == ("/v1/interpolate", "cut-off")
    lines = [json.loads(line) for line in gateway.log().splitlines() if '"cut-off"' in line]
    assert [line["outcome"] for line in lines] == ["shutting-down"]
    assert "Exception in ASGI application" not in gateway.log()


def test_by_default_the_gateway_waits_as_long_as_a_call_may_take() -> None:
    settings = Settings()
    patience = settings.stop_timeout_seconds - settings.drain_seconds
    assert patience > settings.default_deadline_seconds + 2


def test_idle_stops_at_once_and_a_taken_port_is_an_error(start_gateway: Start, triton: TritonProcess) -> None:
    gateway = start_gateway(triton.grpc_url)
    with pytest.raises(RuntimeError, match="address already in use"):
        start_gateway(triton.grpc_url, port=gateway.port)
    started = time.monotonic()
    assert gateway.close() == 0
    assert time.monotonic() - started < 20  # it may take 40, of which it has no need
