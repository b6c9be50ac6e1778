"""The ledger's database as a PostgreSQL database, for any number of processes.

Invariants:
- A transaction that writes holds an advisory lock from its first statement. It is READ COMMITTED:
  a higher level would take its snapshot before the lock is got. Locks end with the transaction:
  those of a session would leak through a pooler.
- A connection that is lost while a transaction ends is `ConnectionLost`: only a later transaction
  under the same lock can see whether it was committed. Until the first statements are done nothing
  can have happened, and they are tried again, so that a server may restart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from lottery.errors import (
    ConnectionLost,
    LedgerBusy,
    LedgerDamaged,
    LedgerUnwritable,
    LotteryError,
)
from lottery.extras import missing
from lottery.ledger.schema import APPLICATION_ID, LEDGER, metadata

SCHEME: Final = "postgresql"
_WRITERS: Final = APPLICATION_ID
_PUBLISHERS: Final = APPLICATION_ID + 1
_POOL_SIZE: Final = 8
_CONNECT_SECONDS: Final = 10
_RETRY_SECONDS: Final = 0.1
_LOCK_NOT_AVAILABLE: Final = "55P03"
_NOT_DAMAGE: Final = ("08", "40", "53", "57", "58")
"""SQLSTATE classes of connections, rollbacks, resources, operators and the system."""
_REFUSING: Final = ("25006", "28", "3D", "3F", "42")
"""SQLSTATEs of a server that has no such database or table, or lets nobody write to it."""
_ENDING: Final = ("FATAL", "PANIC")
"""Severities after which a server ends the connection."""


class PostgresqlDatabase:
    """A PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`; the password may come in the URL.
        lock_seconds: Seconds to wait for another process's lock, and for a server that is away.

    Raises:
        ValueError: It is not such a URL.
        EngineMissing: The driver is not installed.
    """

    def __init__(self, url: str, *, lock_seconds: float) -> None:
        parsed = _parsed(url)
        # The driver takes a password there too.
        without = parsed.difference_update_query(["password"])
        self._shown = without.render_as_string(hide_password=True)
        socket = parsed.query.get("host")
        if isinstance(socket, str):  # libpq's way to name the folder of a Unix socket.
            given = ("host", "port")
            rest = {name: value for name, value in parsed.query.items() if name not in given}
            port = parsed.port or parsed.query.get("port", "5432")
            path = f"{socket}/.s.PGSQL.{port}"
            parsed = parsed.set(query={**rest, "unix_sock": path}, host=None, port=None)
        self._lock_seconds = lock_seconds
        try:
            self._engine = sa.create_engine(
                parsed.set(drivername="postgresql+pg8000"),
                isolation_level="READ COMMITTED",
                connect_args={"timeout": _CONNECT_SECONDS},
                pool_size=_POOL_SIZE,
                max_overflow=_POOL_SIZE,
                pool_timeout=lock_seconds,
                pool_pre_ping=True,
            )
        except ImportError as error:
            raise missing("pg8000") from error

        @sa.event.listens_for(self._engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            # A server that is gone without a word must not hold a thread up for ever; no statement
            # of the ledger takes that long once its lock is got.
            connection._usock.settimeout(lock_seconds + 2 * _CONNECT_SECONDS)  # noqa: SLF001

        @sa.event.listens_for(self._engine, "handle_error")
        def lose(context: sa.ExceptionContext) -> None:
            # pg8000 lets errors of the socket through as they come, which SQLAlchemy knows nothing
            # about; one that the caller raises within the transaction does not come by here.
            error = context.original_exception
            if isinstance(error, OSError):
                context.is_disconnect = True
                raise self._lost(error)
            if _fields(error).get("V") in _ENDING:
                context.is_disconnect = True

    @property
    def place(self) -> str:
        """The URL without its password."""
        return self._shown

    def exists(self) -> bool:
        """Return whether the database has a ledger's tables; see `ports.Database`."""
        with self.reading() as connection:
            return sa.inspect(connection).has_table(LEDGER.name)

    @contextmanager
    def make(self) -> Iterator[sa.Connection]:
        """Create the tables; see `ports.Database`."""
        with self.writing() as connection:
            if not sa.inspect(connection).has_table(LEDGER.name):
                metadata.create_all(connection, checkfirst=False)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state and writes nothing; see `ports.Database`."""
        # Not by SQLAlchemy's isolation levels: a connection that is lost while one is set raises
        # the driver's own error.
        with self._began("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction as the only writer; see `ports.Database`."""
        with self._holding(_WRITERS) as connection:
            # A commit that is answered before it is durable would be one that a crash takes back.
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            yield connection
            connection.commit()

    @contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """Open a transaction as the only publisher, beside the writer; see `ports.Database`."""
        with self._holding(_PUBLISHERS) as connection:
            yield connection

    def close(self) -> None:
        """Close the pool's connections."""
        self._engine.dispose()

    @contextmanager
    def _holding(self, lock: int) -> Iterator[sa.Connection]:
        milliseconds = max(1, int(self._lock_seconds * 1000))
        with self._began(
            f"SET LOCAL lock_timeout = {milliseconds}",
            f"SELECT pg_advisory_xact_lock({lock})",
        ) as connection:
            yield connection

    @contextmanager
    def _began(self, *statements: str) -> Iterator[sa.Connection]:
        """Begin a transaction, which is rolled back at the end if it is not committed."""
        connection = self._first(statements)
        try:
            with self._translated():
                yield connection
        finally:
            # What is to be kept is committed: a connection that is lost now loses nothing.
            with suppress(DBAPIError, ConnectionLost):
                connection.close()

    def _first(self, statements: tuple[str, ...]) -> sa.Connection:
        """Connect and run the first statements; a server that is away is waited for."""
        deadline = time.monotonic() + self._lock_seconds
        while True:
            try:
                return self._tried(statements)
            except ConnectionLost:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _tried(self, statements: tuple[str, ...]) -> sa.Connection:
        try:
            with self._translated():
                connection = self._engine.connect()
                try:
                    for statement in statements:
                        connection.exec_driver_sql(statement)
                except (DBAPIError, ConnectionLost):
                    with suppress(DBAPIError, ConnectionLost):
                        connection.close()
                    raise
                return connection
        except OSError as error:  # While connecting, which has no `handle_error`.
            raise self._lost(error) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate database errors into those of the ledger."""
        try:
            yield
        except DBAPIError as error:
            raise self._translation(error) from error
        except sa.exc.TimeoutError as error:
            raise LedgerBusy(f"{self._shown}: {error}") from error

    def _translation(self, error: DBAPIError) -> LotteryError:
        fields = _fields(error.orig)
        state, message = fields.get("C", ""), fields.get("M", str(error.orig))
        if state == _LOCK_NOT_AVAILABLE:
            return LedgerBusy(f"another process is writing to {self._shown}")
        if state.startswith(_REFUSING):
            return LedgerUnwritable(f"{self._shown}: {message}")
        # The server did not answer, or says that it cannot now.
        silent = isinstance(error, InterfaceError | OperationalError) and not state
        if silent or error.connection_invalidated or state.startswith(_NOT_DAMAGE):
            return self._lost(message)
        return LedgerDamaged(f"{self._shown}: {message}")

    def _lost(self, what: object) -> ConnectionLost:
        return ConnectionLost(f"{self._shown}: the connection was lost: {what}")


def _fields(error: BaseException | None) -> dict[str, str]:
    """Return the fields of the server's answer, none if there was no answer."""
    fields = error.args[0] if error is not None and error.args else None
    return fields if isinstance(fields, dict) else {}


def _parsed(url: str) -> sa.URL:
    """Parse the URL of a database, which a message never shows: it may have a password.

    Raises:
        ValueError: It is not one, or names no user or no database.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = sa.URL.create(SCHEME)
    if not (parsed.username and parsed.database):
        raise ValueError(
            "expected postgresql://USER@HOST/DATABASE, or postgresql://USER@/DATABASE?host=FOLDER "
            "for a Unix socket, got another URL"
        )
    return parsed
