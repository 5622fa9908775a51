"""Gateways in front of real Tritons."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.storage import Area, open_area
from tests.gateway_process import GatewayProcess
from tests.postgres_process import PostgresProcess
from tests.triton_process import TritonProcess


@pytest.fixture(scope="session")
def gateway(triton: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway over the shared Triton, for tests that leave it as it is."""
    process = GatewayProcess(triton.grpc_url, tmp_path_factory.mktemp("gateway") / "log")
    process.wait_ready()
    yield process
    process.close()


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    """A client of the shared gateway."""
    with gateway.client() as client:
        yield client


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Starts a gateway with settings of one test; closed afterwards."""
    processes: list[GatewayProcess] = []

    def start(triton_url: str, **settings: Any) -> GatewayProcess:
        process = GatewayProcess(triton_url, tmp_path / f"gateway-{len(processes)}.log", **settings)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A PostgreSQL for all tests; whoever kills it starts it again."""
    process = PostgresProcess()
    yield process
    process.close()


@pytest.fixture
def postgres_url(postgres: PostgresProcess) -> Iterator[str]:
    """The URL of an empty database, for one test."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


_AREAS = itertools.count()


@pytest.fixture(params=["folder", "s3"])
def area(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Area:
    """An empty area of each kind."""
    if request.param == "folder":
        (tmp_path / "root").mkdir()
        return open_area(f"file://{tmp_path}/root").below("under it")
    for name, value in request.getfixturevalue("s3").environment().items():
        monkeypatch.setenv(name, value)
    return open_area(f"s3://artifacts/test {next(_AREAS)}/ü")
