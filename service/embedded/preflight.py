"""Checks before anything is started: each problem is one sentence that ends in the remedy."""

from __future__ import annotations

import errno
import importlib.util
import os
import platform
import socket
import sys
from pathlib import Path

from service.embedded import tritonserver
from service.settings import Settings

_OLDEST_GLIBC = (2, 35)
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 12)
_INSTALL = "install it with: pip install 'ganserve[serve,cpu]'"


def problems(settings: Settings, *, alone: bool = False) -> list[str]:
    """Everything that would keep `ganserve up` from working here, most fundamental first.

    Args:
        settings: Ports and folders.
        alone: Whether Triton is started without a gateway, as `ganserve triton` does.

    Returns:
        One sentence each; empty when all is well. Where the platform or the installation is at fault, only
        that is returned, since the rest could not be judged.
    """
    fundamental = [platform_problem(), python_problem(), triton_problem(), onnxruntime_problem()]
    if found := [problem for problem in fundamental if problem]:
        return found[:1]
    found = [problem for problem in (libpython_problem(), repository_problem(settings)) if problem]
    return found + port_problems(settings, alone=alone)


def platform_problem(
    system: str | None = None, machine: str | None = None, glibc: tuple[int, int] | None = None
) -> str | None:
    """Whether the Triton in the wheel can run on this operating system and processor."""
    system = system or platform.system()
    machine = machine or platform.machine()
    elsewhere = (
        "run Triton's container there and point the gateway to it: "
        "GANSERVE_TRITON_URL=host:8001 ganserve gateway"
    )
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        return f"The embedded Triton runs on Linux x86-64 only, and this is {system} {machine}; {elsewhere}."
    glibc = glibc or _glibc()
    if glibc is None:
        return (
            f"The embedded Triton needs glibc 2.35 or newer, and this system has another libc; {elsewhere}."
        )
    if glibc < _OLDEST_GLIBC:
        return (
            f"The embedded Triton needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04, RHEL 10), and this "
            f"system has {glibc[0]}.{glibc[1]}; {elsewhere}."
        )
    return None


def python_problem(version: tuple[int, int] | None = None) -> str | None:
    """Whether the Triton in the wheel, with the numpy it needs, supports the running Python."""
    version = version or sys.version_info[:2]
    if _OLDEST_PYTHON <= version <= _NEWEST_PYTHON:
        return None
    return (
        f"The embedded Triton needs Python 3.10, 3.11 or 3.12, and this is {version[0]}.{version[1]}; "
        "make the virtual environment with one of those."
    )


def triton_problem() -> str | None:
    """Whether the nvidia-pytriton wheel is installed, and whole."""
    try:
        tritonserver.find_wheel()
    except tritonserver.TritonNotFoundError as error:
        return f"The embedded Triton cannot start: {error}; {_INSTALL}."
    return None


def onnxruntime_problem() -> str | None:
    """Whether there is something to compute with."""
    if importlib.util.find_spec("onnxruntime") is not None:
        return None
    return (
        "The models are computed by ONNX Runtime, which is not installed; install it with: "
        "pip install 'ganserve[serve,cpu]', or [serve,gpu] for an NVIDIA GPU."
    )


def libpython_problem() -> str | None:
    """Whether the running interpreter has the shared library that Triton's Python backend loads."""
    if tritonserver.find_libpython() is not None:
        return None
    return missing_libpython_message(Path(sys.base_prefix), sys.version_info[:2])


def missing_libpython_message(base_prefix: Path, version: tuple[int, int]) -> str:
    """What to install so that an interpreter at `base_prefix` has a libpython."""
    name = f"{version[0]}.{version[1]}"
    lacks = (
        f"Triton runs the models in libpython{name}.so.1.0, and the Python at {base_prefix} comes without it"
    )
    if base_prefix == Path("/usr"):
        return (
            f"{lacks}; install it with: apt-get install libpython{name} (Fedora: dnf install python3-libs)."
        )
    if ".pyenv" in base_prefix.parts or "pyenv" in base_prefix.parts:
        return (
            f"{lacks}, being a static build; build a shared one with: "
            f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {name}, "
            "and make the virtual environment anew."
        )
    return (
        f"{lacks}, being a static build; make the virtual environment with a Python configured with "
        f"--enable-shared, such as Debian's (apt-get install python3-venv libpython{name})."
    )


def repository_problem(settings: Settings) -> str | None:
    """Whether the folder of models is there and has a model in it."""
    folder = settings.model_repository
    remedy = "name another with --models or GANSERVE_MODEL_REPOSITORY, or export a model into it"
    if not folder.is_dir():
        return f"There is no folder of models at {folder.resolve()}; {remedy}."
    if not any(folder.glob("*/config.pbtxt")):
        return f"The folder {folder.resolve()} has no model in it (<model>/config.pbtxt); {remedy}."
    return None


def port_problems(settings: Settings, *, alone: bool = False) -> list[str]:
    """Which of the four ports (`alone`: of Triton's three) cannot be listened on, and what changes each."""
    triton = settings.triton_host if alone else tritonserver.ADDRESS
    ports = {
        name: (triton, port, f"--triton-{name}-port or GANSERVE_TRITON_{name.upper()}_PORT")
        for name, port in (
            ("grpc", settings.triton_grpc_port),
            ("http", settings.triton_http_port),
            ("metrics", settings.triton_metrics_port),
        )
    }
    if not alone:
        ports = {"port": (settings.host, settings.port, "--port or GANSERVE_PORT"), **ports}
    users = {
        "port": "the gateway",
        "grpc": "Triton's gRPC endpoint",
        "http": "Triton's HTTP endpoint",
        "metrics": "Triton's metrics",
    }
    found = []
    seen: dict[int, str] = {}
    for key, (host, port, remedy) in ports.items():
        if port in seen:
            found.append(
                f"Port {port} is given to both {users[seen[port]]} and {users[key]}; "
                f"choose another for one of them with {remedy}."
            )
            continue
        seen[port] = key
        if reason := _cannot_listen(host, port):
            found.append(f"{users[key][0].upper()}{users[key][1:]} cannot listen on {reason} with {remedy}.")
    return found


def _cannot_listen(host: str, port: int) -> str | None:
    """None, or the middle of a sentence saying why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: a port that was left a moment ago is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port}, since another program does; stop that program or choose another port"
            if error.errno == errno.EACCES:
                return f"port {port}, since ports below 1024 need privileges; choose another port"
            return f"{host}:{port} ({error.strerror or error}); choose another address with --host, or port"
    return None


def _glibc() -> tuple[int, int] | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    if name != "glibc":
        return None
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
