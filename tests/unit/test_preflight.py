"""What is said when something is missing, and how it is found out."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from service.embedded import preflight, tritonserver
from service.settings import Settings
from tests.triton_process import free_ports


def settings(repository: Path, **changes: object) -> Settings:
    names = ("port", "triton_grpc_port", "triton_http_port", "triton_metrics_port")
    values = dict(zip(names, free_ports(4), strict=True))
    return Settings(model_repository=repository, **{**values, **changes})


def test_nothing_is_wrong_here(toy_repository: Path) -> None:
    assert preflight.problems(settings(toy_repository)) == []


@pytest.mark.parametrize(
    ("system", "machine", "glibc", "said"),
    [
        ("Darwin", "arm64", None, "this is Darwin arm64"),
        ("Windows", "AMD64", None, "this is Windows AMD64"),
        ("Linux", "aarch64", (2, 36), "this is Linux aarch64"),
        ("Linux", "x86_64", (2, 31), "this system has 2.31"),
    ],
)
def test_unsupported_platforms(system: str, machine: str, glibc: tuple[int, int] | None, said: str) -> None:
    problem = preflight.platform_problem(system, machine, glibc)
    assert problem is not None
    assert said in problem
    assert "GANSERVE_TRITON_URL=host:8001 ganserve gateway" in problem


def test_a_supported_platform() -> None:
    assert preflight.platform_problem("Linux", "x86_64", (2, 36)) is None


@pytest.mark.parametrize(("version", "fine"), [((3, 9), False), ((3, 10), True), ((3, 13), False)])
def test_python_versions(version: tuple[int, int], fine: bool) -> None:
    problem = preflight.python_problem(version)
    assert (problem is None) == fine
    assert fine or f"this is {version[0]}.{version[1]}" in str(problem)


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        (
            "pytriton",
            "nvidia-pytriton wheel is not installed; install it with: pip install 'ganserve[serve,cpu]'",
        ),
        ("onnxruntime", "pip install 'ganserve[serve,cpu]', or [serve,gpu] for an NVIDIA GPU"),
    ],
)
def test_missing_packages(
    package: str, remedy: str, toy_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = preflight.importlib.util.find_spec
    monkeypatch.setattr(
        preflight.importlib.util, "find_spec", lambda name: None if name == package else real(name)
    )
    (problem,) = preflight.problems(settings(toy_repository))
    assert remedy in problem


@pytest.mark.parametrize(
    ("prefix", "remedy"),
    [
        ("/usr", "apt-get install libpython3.11"),
        (
            "/home/me/.pyenv/versions/3.11.7",
            "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force 3.11",
        ),
        ("/opt/python", "apt-get install python3-venv libpython3.11"),
    ],
)
def test_a_missing_libpython_says_what_to_install(prefix: str, remedy: str) -> None:
    assert remedy in preflight.missing_libpython_message(Path(prefix), (3, 11))


def test_an_interpreter_without_libpython_is_noticed(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tritonserver.sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    (problem,) = preflight.problems(settings(toy_repository))
    assert "libpython" in problem
    with pytest.raises(tritonserver.TritonNotFoundError):
        tritonserver.RunDirectory()


def test_folders_without_models(tmp_path: Path) -> None:
    (problem,) = preflight.problems(settings(tmp_path))
    assert "has no model in it" in problem
    (problem,) = preflight.problems(settings(tmp_path / "missing"))
    assert f"no folder of models at {tmp_path / 'missing'}; name another with --models" in problem


def test_each_taken_port_is_named_with_what_changes_it(toy_repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (problem,) = preflight.problems(settings(toy_repository, port=port))
    assert f"port {port}" in problem
    assert problem.endswith("with --port or GANSERVE_PORT.")


def test_one_port_for_two_servers(toy_repository: Path) -> None:
    wanted = settings(toy_repository)
    (problem,) = preflight.problems(wanted.model_copy(update={"triton_http_port": wanted.port}))
    assert "is given to both the gateway and Triton's HTTP endpoint" in problem


def test_triton_alone_needs_its_own_ports_and_address(toy_repository: Path) -> None:
    wanted = settings(toy_repository)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", wanted.port))
        taken.listen()
        assert preflight.problems(wanted, alone=True) == []
    (problem, *_) = preflight.problems(settings(toy_repository, triton_host="192.0.2.1"), alone=True)
    assert "192.0.2.1" in problem
    assert "--host" in problem


def test_an_address_of_another_machine(toy_repository: Path) -> None:
    (problem,) = preflight.problems(settings(toy_repository, host="192.0.2.1"))
    assert "192.0.2.1" in problem
    assert "--host" in problem
