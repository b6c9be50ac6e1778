"""The ledger's database as a SQLite file.

Invariants:
- Nothing but `make` creates the file.
- It keeps its rollback journal: write-ahead logging could corrupt a database with two connections
  in the versions that most Pythons ship (3.7.0 to 3.51.2).
- A commit that fails by an I/O error is `ConnectionLost`: a later transaction shows whether it was.
- Syncs are `EXTRA`: with `FULL` the journal's removal is not synced, and a power cut would bring an
  older database back beside newer published heads.
- Nothing of this process closes the file while a connection of it may hold a lock (`held_files`).
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from lottery.durable import sync_directory
from lottery.errors import ConnectionLost, LedgerBusy, LedgerDamaged, LedgerUnwritable
from lottery.ledger.schema import APPLICATION_ID, LEDGER, metadata
from lottery.stores.held_files import FileKey, HeldFiles

FILE: Final = "ledger.db"
WAL_SUFFIXES: Final = ("-wal", "-shm")
SUFFIXES: Final = ("-journal", *WAL_SUFFIXES)
"""Suffixes of files that SQLite takes for a part of a database."""
_MODE: Final = 0o600
_IO_ERROR: Final = "SQLITE_IOERR"
_WRITES: Final = "lottery_writes"
_FILES: Final = HeldFiles()


class _Connection(sqlite3.Connection):
    """A connection, with which the look into its file ends."""

    held: FileKey | None = None

    def close(self) -> None:
        """Close it, and only then what was opened to look into its file."""
        super().close()
        if self.held is not None:
            _FILES.release(self.held)
            self.held = None


class SqliteDatabase:
    """A SQLite file.

    Args:
        path: The file.
        lock_seconds: Seconds to wait for another process's lock.
    """

    def __init__(self, path: Path, *, lock_seconds: float) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._engine = self._connect()

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def exists(self) -> bool:
        """Return whether the file has a ledger's tables; see `ports.Database`."""
        if not self._path.is_file() or not self._path.stat().st_size:
            return False
        with self.reading() as connection:
            return sa.inspect(connection).has_table(LEDGER.name)

    @contextmanager
    def make(self) -> Iterator[sa.Connection]:
        """Create the file and its tables; see `ports.Database`."""
        with suppress(FileExistsError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
            os.close(os.open(self._path, flags, _MODE))
        sync_directory(self._path.parent)
        with self.writing() as connection:
            if not sa.inspect(connection).has_table(LEDGER.name):
                metadata.create_all(connection, checkfirst=False)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes nothing; see `ports.Database`."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction as the only writer; see `ports.Database`."""
        with (
            self._translated(),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
        ):
            connection.begin()
            yield connection
            try:
                connection.commit()
            except OperationalError as error:
                # If the journal is gone, and only the sync of its folder failed, it is committed.
                if not getattr(error.orig, "sqlite_errorname", "").startswith(_IO_ERROR):
                    raise
                raise ConnectionLost(
                    f"{self._path}: {error.orig}; whether this was recorded is found out by the "
                    "same command"
                ) from error

    @contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """Open a transaction as the only publisher: the writers' lock is the publishers' too."""
        with self.writing() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _connect(self) -> sa.Engine:
        # mode=rw: a mistyped path must not become an empty database.
        query = {"mode": "rw", "uri": "true"}
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=self._path.absolute().as_uri(), query=query),
            connect_args={"timeout": self._lock_seconds, "factory": _Connection},
            poolclass=sa.NullPool,
        )

        @sa.event.listens_for(engine, "connect")
        def configure(connection: _Connection, _: Any) -> None:
            try:
                connection.held = self._refuse_other_files()
            except Exception:
                connection.close()
                raise
            # SQLAlchemy begins transactions itself (below), so that writers lock from the start.
            connection.isolation_level = None
            connection.execute("PRAGMA synchronous = EXTRA")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get(_WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _refuse_other_files(self) -> FileKey:
        """Refuse symbolic links, and a database that would not keep its rollback journal.

        Returns:
            The database's file, which is held until the connection is closed.

        Raises:
            LedgerDamaged: There is one.
        """
        for suffix in ("", *SUFFIXES):
            path = Path(f"{self._path}{suffix}")
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(path.lstat().st_mode):
                    raise LedgerDamaged(f"expected a file at {path}, got a link or a folder")
        for suffix in WAL_SUFFIXES:
            path = Path(f"{self._path}{suffix}")
            if path.exists():
                raise LedgerDamaged(
                    f"expected no file {path}, which SQLite would take for a part of the database; "
                    "nothing of this software writes it"
                )
        # Bytes 18 and 19 state the journal (SQLite's file format, 1.3.3). If a process was killed
        # while it wrote the header, the journal has it.
        has_journal = Path(f"{self._path}-journal").exists()
        key, header = _FILES.look(self._path, 20)
        if header and not has_journal and header[18:] != b"\1\1":
            _FILES.release(key)
            raise LedgerDamaged(
                f"expected a rollback journal in the header of {self._path}, got another"
            )
        return key

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate database errors into those of the ledger."""
        try:
            yield
        except OperationalError as error:
            message = str(error.orig)
            if "locked" in message:
                raise LedgerBusy(f"another process is writing to {self._path}") from error
            if "decode" in message:
                raise LedgerDamaged(f"{self._path}: {message}") from error
            raise LedgerUnwritable(f"{self._path}: {message}") from error
        except DatabaseError as error:
            raise LedgerDamaged(f"{self._path}: {error.orig}") from error
