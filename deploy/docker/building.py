"""Carries out the steps of a Dockerfile without an engine: each stage in a chroot over overlay mounts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.docker import namespaces
from deploy.docker.context import files
from deploy.docker.dockerfile import Dockerfile, Instruction, substituted

_DEBIAN = "http://deb.debian.org/debian"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What says how packages are fetched from here. An engine would have the same from its build arguments.
_HANDED_ON = re.compile(
    r"PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|DEFAULT_TIMEOUT)|(?i:(https?|no)_proxy)"
)
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class BuildError(Exception):
    """A step failed, or cannot be carried out here."""


@dataclass
class Image:
    """What a stage became.

    Attributes:
        layers: Folders on top of each other, the uppermost first; the last is the base image.
        environment: Of `ENV`, the base image's included.
        key: Names all steps that led to it.
        folder: `WORKDIR`.
        user: `USER`.
        others: The instruction that counts of each other kind, such as `CMD`.
    """

    layers: list[Path]
    environment: dict[str, str]
    key: str
    folder: str = "/"
    user: str = "0:0"
    others: dict[str, Instruction] = field(default_factory=dict)

    def size(self) -> int:
        """Bytes of all files that were added to the base image."""
        return sum(_size(layer) for layer in self.layers[:-1])

    def base_size(self) -> int:
        """Bytes of all files of the base image."""
        return _size(self.layers[-1])


class Builder:
    """Builds stages; the files a step adds are kept, and used again while nothing before it changes."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        root: Path,
        folder: Path,
        kept: Path,
        say: Callable[[str], None],
        mounts: Sequence[Path] = (),
    ) -> None:
        """Builds nothing yet.

        Args:
            dockerfile: Its stages.
            root: The build context.
            folder: For mounts; to be thrown away.
            kept: Where stand-ins for base images and what steps added are kept.
            say: Told of each step.
            mounts: Folders of this machine that steps may read at the same place: mirrors of packages.
        """
        self._mounts = mounts
        self._dockerfile = dockerfile
        self._root = root
        self._folder = folder
        self._kept = kept
        self._say = say
        self._images: dict[str, Image] = {}
        self._context = files(root)

    def image(self, name: str) -> Image:
        """Builds a stage, and those it is built upon or copies from.

        Raises:
            BuildError: A step failed.
        """
        if name not in self._images:
            if name not in self._dockerfile.stages:
                raise BuildError(f"there is no stage {name}")
            self._images[name] = self._build(name)
        return self._images[name]

    def _base(self, name: str) -> Image:
        """A copy of what `FROM` names."""
        if name in self._dockerfile.stages:
            image = self.image(name)
            others = {key: each for key, each in image.others.items() if key != "ARG"}
            return Image([*image.layers], {**image.environment}, image.key, image.folder, image.user, others)
        if name == "scratch":
            (self._folder / "scratch").mkdir(exist_ok=True)
            return Image([self._folder / "scratch"], {"PATH": _SEARCH_PATH}, name)
        if re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", name):
            base = stand_in(self._kept, self._say)
            return Image([base], {"PATH": _SEARCH_PATH, "LANG": "C.UTF-8"}, str(base.stat().st_mtime))
        raise BuildError(f"nothing here can stand in for the image {name}")

    def _build(self, name: str) -> Image:
        stage = self._dockerfile.stages[name]
        image = self._base(substituted(stage.base, self._dockerfile.arguments))
        arguments: dict[str, str] = {}
        for step in stage.instructions:
            self._say(f"{name}: {step.keyword} {' '.join(step.text.split())[:110]}")
            variables = {**arguments, **image.environment}
            if step.keyword == "ARG":
                key, _, value = step.text.partition("=")
                arguments[key] = substituted(value, variables) or self._dockerfile.arguments.get(key, "")
            elif step.keyword == "ENV":
                image.environment |= {key: substituted(value, variables) for key, value in step.pairs()}
            elif step.keyword == "USER":
                image.user = substituted(step.text, variables)
            elif step.keyword in ("RUN", "COPY", "WORKDIR"):
                self._layer(image, step, variables)
            else:
                image.others[step.keyword] = step
        return image

    def _layer(self, image: Image, step: Instruction, variables: Mapping[str, str]) -> None:
        """Carries out a step that changes files, in a new layer."""
        image.key = self._key(image, step, variables)
        layer = self._kept / "layers" / image.key
        folder = os.path.join(image.folder, substituted(step.text, variables))  # noqa: PTH118
        if not layer.is_dir():
            unfinished, root = layer.with_name(f"{layer.name}.unfinished"), self._folder / image.key
            for leftover in self._kept.glob("layers/*.unfinished*"):
                shutil.rmtree(leftover)
            namespaces.overlay(image.layers, root, unfinished)
            try:
                if step.keyword == "RUN":
                    self._run(image, root, step, variables)
                elif step.keyword == "COPY":
                    self._copy(image, root, step, variables)
                else:
                    (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            finally:
                namespaces.run("umount", "--recursive", "--lazy", root)
            for source in self._mounts:
                for place in (source, *source.parents[:-1]):
                    with contextlib.suppress(OSError):  # not empty, or not of this step
                        (unfinished / place.relative_to("/")).rmdir()
            unfinished.rename(layer)
        if step.keyword == "WORKDIR":
            image.folder = folder
        image.layers.insert(0, layer)

    def _key(self, image: Image, step: Instruction, variables: Mapping[str, str]) -> str:
        """Names a step by all that its outcome depends on: what was before it, and files that it copies."""
        material: list[object] = [
            image.key,
            step.keyword,
            step.text,
            dict(variables),
            image.user,
            image.folder,
        ]
        if step.keyword == "COPY":
            flags, text = step.flags()
            if "from" in flags:
                material.append(self.image(flags["from"]).key)
            else:
                for source in substituted(text, variables).split()[:-1]:
                    for path in self._in_context(source):
                        content = hashlib.sha256((self._root / path).read_bytes()).hexdigest()
                        material.append([path, content, (self._root / path).stat().st_mode])
        return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]

    def _run(self, image: Image, root: Path, step: Instruction, variables: Mapping[str, str]) -> None:
        for path in ("etc/resolv.conf", "etc/hosts"):
            (root / path).touch()
        namespaces.devices(root, "64m")
        namespaces.run("mount", "-t", "proc", "proc", root / "proc")
        for file in (Path("/etc/resolv.conf"), Path("/etc/hosts"), _CERTIFICATES):
            if file.exists() and (root / file.relative_to("/")).exists():
                namespaces.run("mount", "--bind", file.resolve(), root / file.relative_to("/"))
        for source in self._mounts:
            (root / source.relative_to("/")).mkdir(parents=True, exist_ok=True)
            namespaces.run("mount", "--bind", "--options", "ro", source, root / source.relative_to("/"))
        handed_on = {name: value for name, value in os.environ.items() if _HANDED_ON.fullmatch(name)}
        uid, _, gid = image.user.partition(":")
        done = subprocess.run(
            [
                *(
                    "chroot",
                    f"--userspec={uid}:{gid or uid}",
                    str(root),
                    "/usr/bin/env",
                    "-i",
                    f"--chdir={image.folder}",
                ),
                *(f"{key}={value}" for key, value in {**handed_on, **variables}.items()),
                *("/bin/sh", "-c", step.text),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BuildError(f"line {step.line}: exit code {done.returncode}\n{done.stdout[-4000:]}")

    def _copy(self, image: Image, root: Path, step: Instruction, variables: Mapping[str, str]) -> None:
        flags, text = step.flags()
        if set(flags) - {"from", "chown", "chmod"}:
            raise BuildError(f"line {step.line}: flags of COPY that are not carried out here")
        words = step.exec_form() or substituted(text, variables).split()
        *sources, target = words
        destination = root / os.path.join(image.folder, target).lstrip("/")  # noqa: PTH118
        into_folder = target.endswith("/") or len(sources) > 1
        if "from" in flags:
            origin = self._folder / f"from.{len(list(self._folder.iterdir()))}"
            layers = self.image(flags["from"]).layers
            namespaces.overlay(layers, origin)
            try:
                for source in sources:
                    self._put(origin / source.lstrip("/"), destination, into_folder, keep_owner=True)
            finally:
                namespaces.run("umount", origin)
            return
        for source in sources:
            self._put_from_context(source.strip("/"), destination, into_folder)

    def _in_context(self, source: str) -> list[str]:
        inside = [path for path in self._context if path == source or path.startswith(f"{source}/")]
        if not inside:
            raise BuildError(f"the build context has no {source}")
        return inside

    def _put_from_context(self, source: str, destination: Path, into_folder: bool) -> None:
        for path in self._in_context(source):
            if path == source:
                self._put(self._root / path, destination, into_folder, keep_owner=False)
            else:
                target = destination / Path(path).relative_to(source)
                self._put(self._root / path, target, into_folder=False, keep_owner=False)

    def _put(self, source: Path, target: Path, into_folder: bool, *, keep_owner: bool) -> None:
        """Copies a file to a path, or the content of a folder into a folder."""
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            namespaces.run("cp", "--archive", f"{source}/.", target)
        else:
            target = target / source.name if into_folder else target
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        if not keep_owner:
            os.chown(target, 0, 0, follow_symlinks=False)


def stand_in(folder: Path, say: Callable[[str], None]) -> Path:
    """The nearest to `python:3.11-slim-bookworm` that Debian's archive has: bookworm, and its own Python.

    Args:
        folder: Where it is kept; made when it is not there.
        say: Told that it is made.

    Returns:
        Its root.

    Raises:
        BuildError: debootstrap is not here, or fails.
    """
    root = folder / "python-3.11-slim-bookworm"
    if root.is_dir():
        return root
    if shutil.which("debootstrap") is None:
        raise BuildError("debootstrap is not installed; on Debian and Ubuntu: apt-get install debootstrap")
    say("making a stand-in for python:3.11-slim-bookworm with debootstrap (once, some minutes)")
    unfinished = folder / "unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    include = "--include=ca-certificates,netbase,tzdata"
    try:
        namespaces.run("debootstrap", "--variant=minbase", include, "bookworm", unfinished, _DEBIAN)
        packages = "python3.11 python3.11-venv libpython3.11"
        install = "apt-get install --yes --quiet --no-install-recommends"
        for command in (
            f"apt-get update --quiet && {install} {packages}",
            # As Debian's images are: nothing of packages is kept but what they install.
            "cd /etc/apt/apt.conf.d && "
            """printf 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' > docker-clean""",
            "apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log",
            "for name in python python3 python3.11; do ln -s /usr/bin/python3.11 /usr/local/bin/$name; done",
        ):
            shutil.copy("/etc/resolv.conf", unfinished / "etc" / "resolv.conf")
            namespaces.run("chroot", unfinished, "/bin/sh", "-c", command)
    except subprocess.CalledProcessError as error:
        raise BuildError(f"the stand-in cannot be made: {error}") from error
    unfinished.rename(root)
    return root


def _size(folder: Path) -> int:
    """Bytes of the files below a folder, each inode once."""
    seen: dict[int, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - many files
            if stat.S_ISREG(status.st_mode):
                seen[status.st_ino] = status.st_size
    return sum(seen.values())
