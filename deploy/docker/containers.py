"""Runs what was built as an engine would: read-only, as the image's user, with no privileges."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.docker import namespaces
from deploy.docker.building import Image


class Container:
    """A running image: its root read-only, `/tmp` and given volumes writable, all capabilities dropped."""

    def __init__(
        self,
        name: str,
        image: Image,
        folder: Path,
        *,
        command: Sequence[str] | None = None,
        entrypoint: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, Path] | None = None,
        shared_memory: str = "64m",
    ) -> None:
        """Starts it.

        Args:
            name: What messages call it.
            image: What is run.
            folder: For its mounts and its log.
            command: In place of the image's `CMD`.
            entrypoint: In place of the image's `ENTRYPOINT`.
            environment: Besides the image's.
            volumes: Folders of this machine by where they are mounted.
            shared_memory: Size of its `/dev/shm`.
        """
        self.name = name
        self.root = folder / f"{name}.root"
        self._log = folder / f"{name}.log"
        self._image = image
        self._environment = {**image.environment, **(environment or {})}
        namespaces.overlay(image.layers, self.root)
        namespaces.devices(self.root, shared_memory)
        namespaces.run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", self.root / "tmp")
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n", "utf-8")
        namespaces.run("mount", "--bind", hosts, self.root / "etc" / "hosts")
        for where, source in (volumes or {}).items():
            namespaces.run("mount", "--bind", source, self.root / where.lstrip("/"))
        words = [
            *(self.words("ENTRYPOINT") if entrypoint is None else entrypoint),
            *(self.words("CMD") if command is None else command),
        ]
        whole = [*namespaces.privileges(image.user), *words]
        self._process = namespaces.start(self.root, whole, self._environment, image.folder, self._log)

    def words(self, keyword: str) -> list[str]:
        """The words of its image's `CMD` or `ENTRYPOINT`."""
        instruction = self._image.others.get(keyword)
        return [] if instruction is None else instruction.exec_form() or []

    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def execute(self, *command: str) -> tuple[int, str]:
        """Runs a command in it, as its own user: exit code and output."""
        words = [*namespaces.privileges(self._image.user), *command]
        done = namespaces.enter(self._pid(), words, self._environment)
        return done.returncode, done.stdout + done.stderr

    def status(self) -> str:
        """What the kernel says of its process 1, once that is what the image names."""
        program, deadline = Path(self.words("ENTRYPOINT")[0]).name, time.monotonic() + 10
        process = Path(f"/proc/{self._pid()}")
        while (process / "comm").read_text().strip() != program:
            if time.monotonic() > deadline:
                raise RuntimeError(f"process 1 of {self.name} is not {program}")
            time.sleep(0.05)
        return (process / "status").read_text()

    def check_health(self) -> tuple[int, str]:
        """Carries out the image's HEALTHCHECK once."""
        instruction = self._image.others["HEALTHCHECK"]
        _, _, command = instruction.text.partition("CMD ")
        words = type(instruction)("CMD", command, instruction.line).exec_form()
        if words is None:
            raise ValueError("a HEALTHCHECK in shell form")
        return self.execute(*words)

    def until_healthy(self, seconds: float) -> None:
        """Asks until the health check succeeds.

        Raises:
            RuntimeError: It has ended, or takes too long.
        """
        deadline = time.monotonic() + seconds
        output = ""
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                code, output = self.check_health()
            except ProcessLookupError:
                continue
            if code == 0:
                return
            time.sleep(1)
        raise RuntimeError(f"{self.name} is not healthy: {output}\n{self.log()[-4000:]}")

    def stop(self, seconds: float) -> tuple[int, float]:
        """Sends the image's STOPSIGNAL to process 1: exit code, and how long it took."""
        begun = time.monotonic()
        instruction = self._image.others.get("STOPSIGNAL")
        number = signal.Signals[instruction.text if instruction else "SIGTERM"]
        pid = self._pid()
        namespaces.run("kill", f"-{int(number)}", str(pid))
        code = self.wait(seconds)
        return code, time.monotonic() - begun

    def wait(self, seconds: float) -> int:
        """The exit code of one that ends by itself.

        Raises:
            RuntimeError: It takes longer than so many seconds.
        """
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{self.name} takes longer than {seconds} s:\n{self.log()[-4000:]}") from error

    def kill(self) -> None:
        """Kills all that is in it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _pid(self) -> int:
        """Its process 1, by its number out here."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            if (pid := namespaces.child_of(self._process.pid)) is not None:
                return pid
            time.sleep(0.05)
        raise ProcessLookupError(f"{self.name} has ended:\n{self.log()[-4000:]}")
