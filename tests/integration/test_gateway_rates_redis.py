"""Rates that two gateways count together in a real Redis, and what they do without it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import create_key
from tests.gateway_process import GatewayProcess
from tests.integration.test_gateway_problems import problem
from tests.redis_process import RedisProcess
from tests.triton_process import TritonProcess
from tests.up_process import until


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path_factory.mktemp("redis"))
    yield process
    process.stop()


@pytest.fixture
def two(
    triton: TritonProcess, start_gateway: Callable[..., GatewayProcess], redis: RedisProcess, tmp_path: Path
) -> Iterator[Callable[..., list[httpx.Client]]]:
    """Starts two gateways that share keys and a Redis; gives a client of each, with a key of 4 calls."""

    def start(**settings: Any) -> list[httpx.Client]:
        file = tmp_path / "keys.json"
        secret = create_key(file, "web", ["generate"], rate="4/hour")
        gateways = [
            start_gateway(triton.grpc_url, keys_file=file, rate_limit_storage=redis.url, **settings)
            for _ in range(2)
        ]
        headers = {"x-api-key": secret}
        return [stack.enter_context(gateway.client(headers=headers)) for gateway in gateways]

    with contextlib.ExitStack() as stack:
        yield start


def ask(client: httpx.Client) -> httpx.Response:
    started = time.monotonic()
    response = client.get("/v1/models")
    assert time.monotonic() - started < 5
    return response


def test_two_gateways_count_together(two: Callable[..., list[httpx.Client]]) -> None:
    one, other = two()
    left = []
    for client in (one, other, one, other):
        response = ask(client)
        assert response.status_code in (200, 503)
        left.append(response.headers["ratelimit"].split(";")[1])
    assert left == ["r=3", "r=2", "r=1", "r=0"]
    for client in (one, other):
        refused = ask(client)
        assert problem(refused, "rate-limited")["limit"] == 4
        assert 3590 <= int(refused.headers["retry-after"]) <= 3600


def test_while_redis_is_away_each_counts_by_itself(
    two: Callable[..., list[httpx.Client]], redis: RedisProcess
) -> None:
    one, other = two()
    assert ask(one).headers["ratelimit"].startswith('"calls";r=3;')
    redis.stop()
    try:
        for client in (one, other):
            for left in (3, 2, 1, 0):
                assert ask(client).headers["ratelimit"].startswith(f'"calls";r={left};')
            problem(ask(client), "rate-limited")
    finally:
        redis.start()
    until(lambda: ask(one).status_code != 429, 10)  # this Redis is a new one, with nothing in it


def test_a_redis_that_hangs_holds_nobody_up_and_may_refuse_all(
    two: Callable[..., list[httpx.Client]], redis: RedisProcess
) -> None:
    one, _ = two(rate_limit_fallback="refuse")
    assert ask(one).status_code in (200, 503)
    redis.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            refused = ask(one)
            problem(refused, "rate-limit-unavailable")
            assert refused.headers["retry-after"] == "2"
        assert one.get("/healthz").status_code == 200
    finally:
        redis.process.send_signal(signal.SIGCONT)
    until(lambda: "ratelimit" in ask(one).headers, 10)
