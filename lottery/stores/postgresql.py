"""The ledger's database as a PostgreSQL database, for any number of processes.

Invariants:
- A transaction that writes holds an advisory lock from its first statement. It is READ COMMITTED:
  a higher level would take its snapshot before the lock is got. Locks end with the transaction:
  those of a session would leak through a pooler.
- A connection that is lost while a transaction ends is `ConnectionLost`: only a later transaction
  under the same lock can tell whether it was committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from lottery.errors import ConnectionLost, LedgerBusy, LedgerDamaged, LedgerUnwritable
from lottery.ledger.schema import APPLICATION_ID, LEDGER, metadata

SCHEME: Final = "postgresql"
_WRITERS: Final = APPLICATION_ID
_PUBLISHERS: Final = APPLICATION_ID + 1
_POOL_SIZE: Final = 8
_CONNECT_SECONDS: Final = 10
_LOCK_NOT_AVAILABLE: Final = "55P03"
_NOT_DAMAGE: Final = ("08", "53", "57", "58")
"""SQLSTATE classes of connections, resources, operators and the system."""


class PostgresqlDatabase:
    """A PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`; the password may come in the URL.
        lock_seconds: Seconds to wait for another process's lock.
    """

    def __init__(self, url: str, *, lock_seconds: float) -> None:
        parsed = sa.make_url(url)
        self._shown = parsed.render_as_string(hide_password=True)
        socket = parsed.query.get("host")
        if isinstance(socket, str):  # libpq's way to name the folder of a Unix socket.
            rest = {name: value for name, value in parsed.query.items() if name != "host"}
            path = f"{socket}/.s.PGSQL.{parsed.port or 5432}"
            parsed = parsed.set(query={**rest, "unix_sock": path}, host=None, port=None)
        self._lock_milliseconds = max(1, int(lock_seconds * 1000))
        self._engine = sa.create_engine(
            parsed.set(drivername="postgresql+pg8000"),
            isolation_level="READ COMMITTED",
            connect_args={"timeout": _CONNECT_SECONDS},
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_SIZE,
            pool_pre_ping=True,
        )
        self._reading_engine = self._engine.execution_options(isolation_level="REPEATABLE READ")

        @sa.event.listens_for(self._engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            # A server that is gone without a word must not hold a thread up for ever; no statement
            # of the ledger takes that long once its lock is got.
            connection._usock.settimeout(lock_seconds + 2 * _CONNECT_SECONDS)  # noqa: SLF001

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
        with self._translated(), self._reading_engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction as the only writer; see `ports.Database`."""
        with self._holding(_WRITERS) as connection:
            yield connection

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
        with self._translated(), self._engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {self._lock_milliseconds}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
            # A commit that is answered before it is durable would be one that a crash takes back.
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate database errors into those of the ledger."""
        try:
            yield
        except DBAPIError as error:
            state, message = _state_and_message(error)
            if state == _LOCK_NOT_AVAILABLE:
                raise LedgerBusy(f"another process is writing to {self._shown}") from error
            if error.connection_invalidated or (
                isinstance(error, InterfaceError | OperationalError) and not state
            ):
                raise ConnectionLost(
                    f"{self._shown}: the connection was lost: {message}"
                ) from error
            if state.startswith(_NOT_DAMAGE):
                raise ConnectionLost(f"{self._shown}: {message}") from error
            if state.startswith(("42", "3F", "28")):
                raise LedgerUnwritable(f"{self._shown}: {message}") from error
            raise LedgerDamaged(f"{self._shown}: {message}") from error
        except OSError as error:
            raise ConnectionLost(f"{self._shown}: the connection was lost: {error}") from error


def _state_and_message(error: DBAPIError) -> tuple[str, str]:
    """Return the SQLSTATE, empty if the server did not answer, and the server's message."""
    fields = error.orig.args[0] if error.orig is not None and error.orig.args else ""
    if isinstance(fields, dict):
        return fields.get("C", ""), fields.get("M", "")
    return "", str(fields)
