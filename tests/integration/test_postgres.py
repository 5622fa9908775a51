"""The PostgreSQL that tests start: what is committed survives its death, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests import postgres_process
from tests.postgres_process import PostgresProcess


def test_every_database_is_empty_and_its_own(postgres: PostgresProcess, postgres_url: str) -> None:
    other = postgres.create_database()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (n int)")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
        connection.commit()
        postgres.drop_database(other)  # although it is in use
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_it_answers_on_its_unix_socket(postgres: PostgresProcess) -> None:
    with psycopg.connect(postgres.socket_url()) as connection:
        row = connection.execute("SELECT inet_server_addr()").fetchone()
    assert row == (None,)


def test_what_was_committed_survives_kill_and_connections_do_not(
    postgres: PostgresProcess, postgres_url: str
) -> None:
    committed = 0
    ready = threading.Event()
    broken = threading.Event()

    def write() -> None:
        nonlocal committed
        try:
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                connection.execute("CREATE TABLE t (n int)")
                while True:
                    connection.execute("INSERT INTO t VALUES (%s)", (committed,))
                    committed += 1
                    if committed == 100:
                        ready.set()
        except psycopg.OperationalError:
            broken.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert ready.wait(30)
    before = postgres.pid
    helpers = psutil.Process(before).children()
    postgres.kill()
    assert broken.wait(10)
    assert helpers
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url, connect_timeout=5)

    postgres.start()
    assert postgres.pid != before
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*), max(n) FROM t").fetchone()
    assert row is not None
    assert row[0] in (committed, committed + 1)  # one may be committed that nobody was told of
    assert row[1] == row[0] - 1


def test_a_query_that_computes_dies_with_the_server(postgres: PostgresProcess, postgres_url: str) -> None:
    """Such a process does not notice by itself that the first one is gone, and would keep the port's data."""
    connection = psycopg.connect(postgres_url)
    query = threading.Thread(target=_compute, args=(connection,), daemon=True)
    query.start()
    while connection.info.transaction_status is not psycopg.pq.TransactionStatus.ACTIVE:
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    postgres.kill()
    postgres.start()
    query.join(10)
    assert not query.is_alive()
    assert time.monotonic() - began < 5


def _compute(connection: psycopg.Connection[object]) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute("SELECT count(*) FROM generate_series(1, 300000000) a WHERE a % 7 = 0")


def test_nothing_is_left_of_it_even_when_it_was_killed() -> None:
    process = PostgresProcess()
    folder = process.folder
    regions = _shared_memory_segments()
    process.kill()
    assert _shared_memory_segments() == regions  # the segment outlives its server
    process.close()
    assert not folder.exists()
    assert len(_shared_memory_segments()) == len(regions) - 1


def test_a_machine_without_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_process.shutil, "which", lambda name: None)
    monkeypatch.setattr(postgres_process.Path, "glob", lambda path, pattern: iter(()))
    with pytest.raises(RuntimeError, match="make postgres"):
        PostgresProcess()


def _shared_memory_segments() -> set[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}
