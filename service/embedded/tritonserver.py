"""How the embedded Triton is started: where its files are, its environment, its command line."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.settings import Settings
from service.telemetry.tracing import otlp_traces_url

ADDRESS = "127.0.0.1"
"""The embedded Triton has no access control of its own, so `ganserve up` keeps it to this machine."""

_BACKENDS = Path(__file__).with_name("backends")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the place where Triton's Python backend puts its regions
_PREFIX = "ganserve-"
_LOCK = "in-use"


class TritonNotFoundError(Exception):
    """The nvidia-pytriton wheel, or a file of it that is needed, is not installed."""


@dataclass(frozen=True)
class Wheel:
    """The parts of an installed nvidia-pytriton wheel that are used."""

    binary: Path
    """The `tritonserver` executable."""
    libraries: Path
    """Folder of the shared libraries it needs."""
    python_backend: Path
    """Folder of `libtriton_python.so`."""
    stub: Path
    """The process that runs a Python-based backend, for the running Python's version."""
    caches: Path
    """Folder of response cache implementations."""


def find_wheel() -> Wheel:
    """Locate the wheel without importing it: its own start-up is slow and starts servers of its own.

    Raises:
        TritonNotFoundError: The wheel or one of its parts is missing.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise TritonNotFoundError("the nvidia-pytriton wheel is not installed")
    package = Path(next(iter(spec.submodule_search_locations)))
    root = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheel = Wheel(
        binary=root / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / version / "triton_python_backend_stub",
        caches=root / "caches",
    )
    for path in (wheel.binary, wheel.libraries, wheel.python_backend, wheel.stub):
        if not path.exists():
            raise TritonNotFoundError(f"the installed nvidia-pytriton wheel lacks {path}")
    return wheel


def find_libpython() -> Path | None:
    """The running interpreter's own shared library, which Triton's Python backend loads, or None."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = (
        sysconfig.get_config_var("LIBDIR"),
        Path(sys.base_prefix) / "lib",
        Path(sys.base_prefix) / "lib" / (sysconfig.get_config_var("MULTIARCH") or "."),
    )
    for folder in folders:
        if folder and (path := Path(folder) / name).exists():
            return path
    return None


@dataclass(frozen=True)
class Launch:
    """Everything one start of tritonserver needs; `remove` takes away what it leaves behind."""

    command: tuple[str, ...]
    environment: dict[str, str]
    shared_memory_prefix: str
    """Name prefix of the regions of this start in /dev/shm."""

    def remove_shared_memory(self) -> None:
        """Remove the regions that a killed tritonserver could not remove itself."""
        _remove_regions(self.shared_memory_prefix)


class RunDirectory:
    """A temporary folder with the backend directory that tritonserver is pointed to.

    It consists of copies (3 MB), since Triton refuses a backend that is a link out of its backend directory.
    While it is in use, a file in it is locked; `remove_leftovers` recognises by that what a killed process
    left behind.
    """

    def __init__(self) -> None:
        """Make the folder.

        Raises:
            TritonNotFoundError: The wheel or the interpreter's libpython is missing.
        """
        wheel = find_wheel()
        libpython = find_libpython()
        if libpython is None:
            raise TritonNotFoundError("the running Python has no libpython")
        self._wheel = wheel
        self._starts = 0
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        python = self.path / "backends" / "python"
        python.mkdir(parents=True)
        for file in wheel.python_backend.iterdir():
            if file.is_file():
                shutil.copy(file, python)
        shutil.copy(wheel.stub, python)
        for backend in _BACKENDS.iterdir():
            if (backend / "model.py").is_file():
                folder = self.path / "backends" / backend.name
                folder.mkdir()
                for file in (backend / "model.py", *_BACKENDS.glob("*.py")):  # and what all of them share
                    shutil.copy(file, folder)
        # This one library alone goes onto the search path: the folder it lies in can hold others that would
        # then be loaded in the place of those the wheel brings.
        (self.path / "libpython").mkdir()
        (self.path / "libpython" / libpython.name).symlink_to(libpython)
        _make_environment(self.path / "venv")

    def launch(
        self,
        settings: Settings,
        *,
        verbose: bool = False,
        models: Sequence[str] | None = None,
        address: str = ADDRESS,
        more: Sequence[str] = (),
    ) -> Launch:
        """A new start of tritonserver from this folder, with shared memory regions of its own.

        Args:
            settings: Ports and folders.
            verbose: Whether it logs every request.
            models: Which are loaded, by Triton's names; None for all there are.
            address: Where it listens.
            more: Flags besides; those of them that are decided here are left out.

        Returns:
            How to start it.
        """
        self._starts += 1
        # The folder's random suffix makes the name unique, and lets `remove_leftovers` find the regions.
        prefix = f"{self.path.name}-{self._starts}-"
        command = self._command(settings, prefix, verbose, ["*"] if models is None else models, address)
        decided = {flag.split("=", 1)[0] for flag in command}
        return Launch(
            command=(*command, *(flag for flag in more if flag.split("=", 1)[0] not in decided)),
            environment=self._environment(),
            shared_memory_prefix=prefix,
        )

    def remove(self) -> None:
        """Remove the folder, and every shared memory region of the starts made from it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        _remove_regions(f"{self.path.name}-")

    def _command(
        self, settings: Settings, prefix: str, verbose: bool, models: Sequence[str], address: str
    ) -> tuple[str, ...]:
        return (
            str(self._wheel.binary),
            f"--model-repository={settings.model_repository.resolve()}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in models),
            # One model that cannot be loaded is reported; it does not keep the others from being served.
            "--exit-on-error=false",
            "--strict-readiness=false",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={max(1, int(settings.stop_timeout_seconds) - 2)}",
            f"--backend-directory={self.path / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--cache-directory={self._wheel.caches}",
            f"--http-address={address}",
            f"--http-port={settings.triton_http_port}",
            f"--grpc-address={address}",
            f"--grpc-port={settings.triton_grpc_port}",
            f"--metrics-address={address}",
            f"--metrics-port={settings.triton_metrics_port}",
            "--log-format=ISO8601",
            f"--log-verbose={int(verbose)}",
            *_tracing(),
        )

    def _environment(self) -> dict[str, str]:
        """The variables by which the stubs find libpython and, as `python3` on the PATH, our packages."""
        environment = dict(os.environ)
        libraries = [str(self.path / "libpython"), str(self._wheel.libraries)]
        if inherited := environment.get("LD_LIBRARY_PATH"):
            libraries.append(inherited)
        environment |= {
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PATH": os.pathsep.join((str(self.path / "venv" / "bin"), environment.get("PATH", os.defpath))),
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # Some stubs honour these and then do not look at the environment; others ignore them.
        environment.pop("PYTHONHOME", None)
        environment.pop("PYTHONPATH", None)
        if not _has_gpu_runtime():
            # Then an instance group of KIND_AUTO means the CPU, whatever else the machine has.
            environment["CUDA_VISIBLE_DEVICES"] = ""
        return environment


def _tracing() -> tuple[str, ...]:
    """What has Triton send its spans of the requests that come with a trace, to where ours go."""
    url = otlp_traces_url()
    if url is None:
        return ()
    settings = {"opentelemetry,url": url, "opentelemetry,resource": "service.name=ganserve-triton"}
    for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE"):
        if value := os.environ.get(f"OTEL_BSP_{name}"):
            settings[f"opentelemetry,bsp_{name.lower()}"] = value
    # A rate of 0: of requests that belong to no trace, such as those of golden checks, none is recorded.
    settings |= {"mode": "opentelemetry", "level": "TIMESTAMPS", "rate": "0"}
    return tuple(f"--trace-config={name}={value}" for name, value in settings.items())


def _make_environment(path: Path) -> None:
    """Make a virtual environment at `path` that imports what the running interpreter imports.

    A stub starts an isolated interpreter: it takes no packages from variables such as PYTHONPATH, but asks,
    as every Python does, whether the `python3` found first on the PATH lies in a virtual environment.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_exec_prefix) / "bin"
    packages = path / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "bin" / "python3").symlink_to(base / version)
    (path / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = false\n", "utf-8")
    shared = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (packages / "shared.pth").write_text("".join(f"{entry}\n" for entry in shared), "utf-8")


def remove_leftovers() -> None:
    """Remove folders and shared memory regions of earlier runs whose processes were all killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            lock = (folder / _LOCK).open("r+")
        except OSError:  # another user's, or not ours at all
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # in use
                continue
            shutil.rmtree(folder, ignore_errors=True)
            _remove_regions(f"{folder.name}-")


def _remove_regions(prefix: str) -> None:
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _has_gpu_runtime() -> bool:
    try:
        importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
