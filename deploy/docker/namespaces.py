"""What the kernel offers in place of a container engine: mounts, chroot, namespaces. Linux, as root."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_libc = ctypes.CDLL(None, use_errno=True)
_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}


def own_mounts() -> None:
    """From here on this process mounts for itself and its children alone; all is gone when they end."""
    _unshare(_CLONE_NEWNS)
    run("mount", "--make-rprivate", "/")


def own_network() -> None:
    """From here on this process and its children have one loopback interface, and reach nothing else."""
    _unshare(_CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _unshare(flag: int) -> None:
    if _libc.unshare(flag) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def run(*command: str | Path) -> None:
    """Runs a command of this machine.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def overlay(lower: Sequence[Path], target: Path, upper: Path | None = None) -> None:
    """Mounts folders on top of each other, the first in `lower` uppermost; read-only without `upper`."""
    target.mkdir(parents=True, exist_ok=True)
    options = "lowerdir=" + ":".join(map(str, lower))
    if upper is None and len(lower) == 1:
        run("mount", "--bind", "--options", "ro", lower[0], target)
        return
    if upper is not None:
        work = upper.with_name(upper.name + ".work")
        for folder in (upper, work):
            folder.mkdir(parents=True, exist_ok=True)
        options += f",upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "overlay", "--options", options, target)


def devices(root: Path, shared_memory: str) -> None:
    """Mounts a `/dev` like that of a container, with a `/dev/shm` of a size such as `64m`."""
    dev = root / "dev"
    run("mount", "-t", "tmpfs", "-o", "mode=755,size=64k", "tmpfs", dev)
    for name, minor in _DEVICES.items():
        os.mknod(dev / name, 0o020666, os.makedev(1, minor))
        (dev / name).chmod(0o666)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        (dev / name).symlink_to(f"/proc/self/fd{target}")
    (dev / "shm").mkdir()
    run("mount", "-t", "tmpfs", "-o", f"mode=1777,nosuid,nodev,size={shared_memory}", "tmpfs", dev / "shm")


def privileges(user: str) -> list[str]:
    """The words before a command that take from it all but an account, such as `10001:10001`."""
    uid, _, gid = user.partition(":")
    return [
        *("setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"),
    ]


def start(
    root: Path, command: Sequence[str], environment: Mapping[str, str], folder: str, log: Path
) -> subprocess.Popen[bytes]:
    """Starts a command in `root` as process 1 of its own; it is killed with this process.

    Args:
        root: Where its root file system is mounted.
        command: Program and arguments, as found in there.
        environment: All of it.
        folder: Where it is started.
        log: Gets its output.

    Returns:
        Its parent, which ends as it ends.
    """
    wrapper = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={root / 'proc'}"]
    # `env` within looks for the program on the PATH of in there, and env's own --chdir comes after chroot.
    inside = ["chroot", str(root), "/usr/bin/env", "--ignore-environment", f"--chdir={folder}"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*wrapper, *inside, *(f"{name}={value}" for name, value in environment.items()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_dying_with_parent,
        )


def enter(
    pid: int, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs one more command beside the process with number `pid`, in its file system."""
    inside = ["nsenter", f"--target={pid}", "--mount", "--pid", "--root", "--wd", "/usr/bin/env"]
    return subprocess.run(
        [*inside, "--ignore-environment", *(f"{n}={v}" for n, v in environment.items()), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def child_of(pid: int) -> int | None:
    """The process that the process `pid` started first, or None."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def _dying_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
