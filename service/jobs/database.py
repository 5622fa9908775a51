"""The database of jobs: connections, transactions that outlive a restart of the server, migrations."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from dbos import DBOS

from service.jobs.tables import JOBS

Result = TypeVar("Result")

APPLICATION: Final = "ganserve"
"""Owner of the workflows in DBOS's tables."""

WORKFLOWS_VERSION: Final = "1"
"""Which workers may go on with which workflows; raised when their steps change in kind."""

_BUSY_SECONDS: Final = 30
_SUBSECONDS_SINCE: Final = (3, 42)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_MIGRATION_LOCK: Final = 0x67616E73  # "gans"


class DatabaseAwayError(Exception):
    """The database did not answer within the time that it was given."""


class DatabaseSetupError(Exception):
    """The database cannot be used as it is; the text says why, and what can be done."""


class Database:
    """Transactions on one database, from any thread."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        """Connects lazily.

        Args:
            url: `sqlite:///path` or `postgresql://user@host/database`.
            pool_size: Connections at a time.

        Raises:
            DatabaseSetupError: If it is the URL of something else.
        """
        self.url = checked_url(url)
        self.sqlite = self.url.startswith("sqlite")
        self.engine = _sqlite_engine(self.url) if self.sqlite else _postgresql_engine(self.url, pool_size)
        dialect = "sqlite" if self.sqlite else "postgresql"
        self.now: sa.ColumnElement[int] = sa.literal_column(_NOW[dialect], sa.BigInteger)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    def run(self, work: Callable[[sa.Connection], Result], *, patience: float = 5.0) -> Result:
        """Runs a transaction, again from its start while the database is away or another one was in its way.

        The connection may be lost while the transaction is being committed, so it may have been carried out
        when it is run again: `work` has to come to the same then.

        Args:
            work: Given the connection; what it returns is returned.
            patience: Seconds after which to give up.

        Raises:
            DatabaseAwayError: The database was away for so long.
        """
        ends, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if not _transient(error):
                    raise
                if time.monotonic() + pause > ends:
                    raise DatabaseAwayError(_reason(error)) from error
            except sa.exc.TimeoutError as error:  # no connection of the pool became free
                if time.monotonic() > ends:
                    raise DatabaseAwayError(str(error)) from error
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that all do not come back at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    @staticmethod
    def guarded(call: Callable[[], Result]) -> Result:
        """Makes a call that asks the database, as DBOS does, once.

        Args:
            call: What to do.

        Raises:
            DatabaseAwayError: The database was away.
        """
        try:
            return call()
        except sa.exc.TimeoutError as error:
            raise DatabaseAwayError(str(error)) from error
        except sa.exc.DBAPIError as error:
            if not _transient(error):
                raise
            raise DatabaseAwayError(_reason(error)) from error

    def read(self, work: Callable[[sa.Connection], Result], *, patience: float = 5.0) -> Result:
        """As `run`, for what only reads: SQLite then takes no lock that others wait for.

        Args:
            work: As for `run`.
            patience: As for `run`.

        Raises:
            DatabaseAwayError: As for `run`.
        """
        if not self.sqlite:
            return self.run(work, patience=patience)

        def reading() -> Result:
            with self.engine.connect().execution_options(ganserve_reads=True) as connection:
                return work(connection)

        return self.guarded(reading)

    def migrate(self) -> None:
        """Makes the tables, DBOS's and ours, or brings them up to date; several may do so at a time.

        Raises:
            DatabaseAwayError: If it cannot be reached now.
            DatabaseSetupError: If it cannot be written, or is not ours to write.
        """
        try:
            if self.sqlite:
                _make_folder(self.url)
                with self.engine.connect() as connection:
                    # A property of the file: readers and the one writer do not wait for each other.
                    connection.connection.driver_connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
            with self._alone() as connection:
                config = Config()
                config.set_main_option("script_location", "service.jobs:migrations")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            DBOS.migrate(self.url)
        except sa.exc.DBAPIError as error:
            if _transient(error):
                raise DatabaseAwayError(_reason(error)) from error
            raise DatabaseSetupError(f"{shown_url(self.url)}: {_reason(error)}") from error
        except CommandError as error:
            raise DatabaseSetupError(
                f"{shown_url(self.url)}: a newer ganserve has changed the tables ({_reason(error)}); run that"
                " one, or name another database in GANSERVE_DATABASE_URL"
            ) from error
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise DatabaseSetupError(f"{shown_url(self.url)}: {_reason(error)}") from error

    def is_migrated(self) -> bool:
        """Whether the tables are there; False while the database is away as well."""
        try:
            return self.read(lambda connection: sa.inspect(connection).has_table(JOBS.name), patience=0)
        except (DatabaseAwayError, sa.exc.SQLAlchemyError):
            return False

    @contextlib.contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A transaction of which there is one at a time."""
        with self.engine.begin() as connection:
            if not self.sqlite:  # on SQLite every transaction that writes is alone
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            yield connection


def checked_url(url: str) -> str:
    """The URL as SQLAlchemy and DBOS read it.

    Args:
        url: `sqlite:///path`, `postgresql://…` or `postgres://…`.

    Raises:
        DatabaseSetupError: If it is the URL of something else.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise DatabaseSetupError("GANSERVE_DATABASE_URL is no URL; see service/README.md") from None
    kind = parsed.get_backend_name()
    if kind in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
    raise DatabaseSetupError(
        f"{shown_url(url)}: the database of jobs is sqlite:///PATH or postgresql://USER@HOST/NAME"
    )


_NOW: Final = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}


def _sqlite_engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        if sqlite3.sqlite_version_info < _SUBSECONDS_SINCE:
            # Defaults of DBOS's tables need it on Python 3.12, which says nothing of the SQLite it came with.
            connection.create_function("unixepoch", 1, lambda _: time.time_ns() // 1_000_000 / 1000)
        connection.isolation_level = None  # transactions are begun below, not when the driver thinks so
        connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys=ON")
        # In WAL mode this loses the last commits at a power failure, none when a process is killed; FULL
        # keeps them too, at one fsync a commit.
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("ganserve_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(url: str, pool_size: int) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": APPLICATION,
            # A process that is frozen in the midst of a transaction would keep its locks, and with them all
            # others from taking over its work; what it began is rolled back and begun anew when it wakes.
            "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=5s",
            # A machine that is gone says nothing; it is not waited for as long as TCP would.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    )


# Another one's lock, and a disk on which there may be room again.
_SQLITE_PASSING: Final = ("database is locked", "database table is locked", "database or disk is full")


def _transient(error: sa.exc.DBAPIError) -> bool:
    """Whether the same may succeed later: connection lost, server starting, lock not had, deadlock."""
    if error.connection_invalidated:
        return True
    text = str(error.orig)
    if any(reason in text for reason in _SQLITE_PASSING):
        return True
    code = getattr(error.orig, "sqlstate", None)
    # Classes of SQLSTATE: 08 connection, 57P server shut down or starting, 40 rollback, 55P03 lock timeout,
    # 53 resources, 25P03 idle for too long within a transaction. Errors of the connection itself have none.
    if code is None:
        return type(error.orig).__module__.startswith("psycopg")
    return bool(code.startswith(("08", "57P", "40", "53")) or code in ("55P03", "25P03"))


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:300]


def shown_url(url: str) -> str:
    """A URL of a database for people, without the password in it."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "GANSERVE_DATABASE_URL"


def _make_folder(url: str) -> None:
    path = sa.make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
