"""A real PostgreSQL for tests, from the machine's own binaries, which can be killed and started again."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from service.embedded.child import dying_with_parent
from tests.triton_process import free_ports

START_TIMEOUT_SECONDS = 60
USER = "ganserve"

_PREFIX = "ganserve-test-postgres-"
_IPC_RMID = 0
# What is kept from crashes of the server's processes, but not from one of the machine, is enough for tests.
# Commits stay synchronous: without that, a killed server forgets the last of them.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # files in its folder, so nothing stays behind in /dev/shm
    "log_min_messages": "warning",
}


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: where the PATH has them, or where Debian puts them.

    Raises:
        RuntimeError: There is none.
    """
    found = shutil.which("postgres")
    if found is not None:
        folder = Path(found).resolve().parent  # initdb looks for its files beside itself
        if (folder / "initdb").is_file():
            return folder
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None:
        raise RuntimeError(
            "These tests start a PostgreSQL of their own, and there is none: `make postgres` installs it on "
            "Debian and Ubuntu; elsewhere put `initdb` and `postgres` (13 or newer) on the PATH."
        )
    return newest.parent


class PostgresProcess:
    """One PostgreSQL server over a folder of its own, with a port that stays the same when it is restarted.

    It answers on 127.0.0.1 and on a Unix socket in `folder`. PostgreSQL refuses to run as root, so tests that
    do start it as the user `postgres`.
    """

    def __init__(self) -> None:
        self._binaries = find_binaries()
        _remove_leftovers()
        self._identity: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if os.geteuid() == 0:
            owner = _unprivileged_user()
            self._identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self.port = free_ports(1)[0]
        self.password = secrets.token_hex(16)
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._make_cluster()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, over TCP."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The URL of a database, over the Unix socket."""
        return f"postgresql://{USER}:{self.password}@/{database}?host={self.folder}&port={self.port}"

    def create_database(self) -> str:
        """Make an empty database of a new name, and return its URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = sql.Identifier(url.rpartition("/")[2])
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def start(self) -> None:
        """Start, and return once it answers; after `kill` it has then recovered what was committed."""
        options = {**_OPTIONS, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGQUIT),
                **self._identity,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log_tail()}")

    def kill(self) -> None:
        """SIGKILL to every process of the server, as when its machine goes down."""
        assert self._process is not None
        server = psutil.Process(self.pid)
        server.suspend()  # or it would start new processes for those that are killed
        helpers = server.children(recursive=True)
        for process in (*helpers, server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        deadline = time.monotonic() + 20
        while any(_runs(process) for process in helpers):  # a new server does not start beside them
            assert time.monotonic() < deadline, "processes of PostgreSQL outlive SIGKILL"
            time.sleep(0.005)

    def stop(self) -> None:
        """SIGINT: PostgreSQL's "fast" end, which closes every connection."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self) -> None:
        """Stop if it runs, and remove what it used."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self._lock.close()
        _remove(self.folder)

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def _make_cluster(self) -> None:
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o644)  # the folder itself is closed to others
        made = subprocess.run(
            [
                *(str(self._binaries / "initdb"), "-D", str(self._data), "-U", USER, "--encoding=UTF8"),
                *("--locale=C", "--auth=password", f"--pwfile={password}", "--no-sync", "--no-instructions"),
            ],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self._identity,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}\n{made.stderr}")


def _unprivileged_user() -> pwd.struct_passwd:
    """Whom Debian's package made for PostgreSQL, else nobody."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _remove(folder: Path) -> None:
    """Remove a server's folder, and the shared memory by which a killed one is recognised."""
    with contextlib.suppress(OSError):
        if found := re.search(
            r"^ *\d+ +(\d+) *$", (folder / "data" / "postmaster.pid").read_text(), re.MULTILINE
        ):
            ctypes.CDLL(None).shmctl(int(found[1]), _IPC_RMID, None)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove what test runs that were killed left behind; their servers ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
