"""Fixtures that several folders of tests share."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from xdist.scheduler import LoadFileScheduling

from service.embedded.tritonserver import remove_leftovers
from tests.s3_process import S3Process
from tests.toy_repository import write_toy_repository
from tests.triton_process import TritonProcess

SHIPPED_MODELS = Path(__file__).parents[1] / "model_repository"
NON_COMMERCIAL = {
    "licence": "LicenseRef-NVIDIA-Source-Code-License-NC",
    "licence_url": "https://example.com/licence?version=1",
    "commercial_use": False,
    "imported_from": {"format": "toy", "file": "toy.pkl", "sha256": "0" * 64, "part": "G_ema"},
}


# Files of few and long tests. Begun first, none of them is what the others are waited for at the end.
_LONGEST = [
    "test_supervisor.py",
    "test_cli.py",
    "test_cli_batch.py",
    "test_jobs_api_failures.py",
    "test_jobs_lost_workers.py",
    "test_jobs_worker.py",
    "test_jobs_chaos.py",
    "test_observability_live.py",
    "test_gateway_load.py",
    "test_model_changes.py",
    "test_engine.py",
    "test_gateway_triton.py",
    "test_gateway_shutdown.py",
    "test_soak.py",
]


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Each file in one process, and the tests of the studio in one, which starts a browser once."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile | None:
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all others as they come."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, 1 if _of_the_studio(item) else len(order)))


def _of_the_studio(item: pytest.Item) -> bool:
    return item.path.parent.name == "e2e"


@pytest.fixture(scope="session", autouse=True)
def _one_ssl_context() -> Iterator[None]:
    """Reading the certificates of all authorities takes 20 ms of CPU, which every `httpx.get` would pay."""
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(httpx._transports.default.create_ssl_context)
        patch.setattr(httpx._transports.default, "create_ssl_context", cached)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """What the developer's shell sets must not decide whether tests pass."""
    outside = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GANSERVE_")}
    yield
    os.environ.update(outside)


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers_of_killed_runs() -> None:
    """A test run that was killed leaves folders behind, though no process."""
    remove_leftovers()


@pytest.fixture(scope="session")
def toy_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the generator `toy` alone. Read only: write your own to change one."""
    return write_toy_repository(tmp_path_factory.mktemp("toy_repository"))


@pytest.fixture(scope="session")
def exported_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models of every kind, exported to both formats. Read only, as all processes of a run share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    repository = folder / "exported-models"
    with (folder / "exported-models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait for the process that exports
        if not repository.exists():
            from tests.exported_models import write_exported_models  # needs PyTorch, as no service test does

            write_exported_models(tmp_path_factory.mktemp("exported") / "models").rename(repository)
    return repository


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    """A Triton that serves toys and the shipped models to all tests: do not kill it, change no model.

    The generator `toy` does what all can do; `my-stylegan3` can be turned and moved, and is not to be sold.
    """
    repository = write_toy_repository(tmp_path_factory.mktemp("repository"))
    write_toy_repository(repository, name="my-stylegan3", patterns=2, transforms=True, card=NON_COMMERCIAL)
    for config in SHIPPED_MODELS.glob("*/config.pbtxt"):
        shutil.copytree(config.parent, repository / config.parent.name)
    process = TritonProcess(repository, tmp_path_factory.mktemp("triton") / "log").start()
    yield process
    process.close()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """An S3 server with empty buckets for all tests, each under a prefix of its own: do not kill it."""
    process = S3Process(tmp_path_factory.mktemp("s3"))
    yield process
    process.close()


@pytest.fixture
def start_triton(tmp_path: Path) -> Iterator[Callable[[Path], TritonProcess]]:
    """Starts a Triton over a repository, for one test to kill, restart or starve; closed afterwards."""
    processes: list[TritonProcess] = []

    def start(repository: Path) -> TritonProcess:
        processes.append(TritonProcess(repository, tmp_path / f"triton-{len(processes)}.log"))
        return processes[-1].start()

    yield start
    for process in processes:
        process.close()
