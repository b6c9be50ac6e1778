"""The ledger's SQL tables, append-only by their own triggers, and connections to them.

SQLite keeps its rollback journal with full syncs: write-ahead logging could corrupt a database
with two connections in the versions that most Pythons ship (3.7.0 to 3.51.2).
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from lottery.errors import LedgerBusy, LedgerDamaged, LedgerUnwritable

APPLICATION_ID: Final = 0x4C4F5454  # "LOTT", in the file's header for file(1).
SCHEMA_VERSION: Final = 2

metadata = sa.MetaData()

LOG: Final = sa.Table(
    "log",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("public_key", sa.Text, nullable=False),
    sqlite_strict=True,
)
"""The log's origin and its public key (C2SP vkey), in one row."""

RUNS: Final = sa.Table(
    "runs",
    metadata,
    sa.Column("log_index", sa.Integer, primary_key=True),
    sa.Column("run", sa.Text, nullable=False, unique=True),
    sa.Column("business_date", sa.Text, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("content_sha256", sa.Text, nullable=False, index=True),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("business_date", "sequence"),
    sqlite_strict=True,
)
"""The recorded runs; `record` is the log's leaf at `log_index`."""

SUPERSEDINGS: Final = sa.Table(
    "supersedings",
    metadata,
    sa.Column("superseded", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sqlite_strict=True,
)
"""The run that supersedes a run; a run is superseded at most once."""

TRAIL: Final = sa.Table(
    "trail",
    metadata,
    sa.Column("trail_index", sa.Integer, primary_key=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)
"""The trail's entries; `entry` is a leaf of the trail's own tree."""

NODES: Final = sa.Table(
    "nodes",
    metadata,
    sa.Column("tree", sa.Text, primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""The complete subtrees of both trees, so that appending and proving take log n steps."""

CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("tree", sa.Text, nullable=False),
    sa.Column("tree_size", sa.Integer, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("ends_at", sa.Integer, nullable=False),
    sa.Index("checkpoints_by_tree", "tree", "tree_size", "position"),
    sqlite_strict=True,
)
"""Every signed checkpoint in the order of signing; `ends_at` is its end in the checkpoint file."""


def _make_append_only(table: sa.Table) -> None:
    """Add the triggers that refuse to change, delete or replace a row."""
    for action in ("UPDATE", "DELETE"):
        _add_trigger(table, action, "")
    # REPLACE deletes without firing the trigger of DELETE, so inserts are checked too.
    unique = sorted(
        [column.name for column in constraint.columns]
        for constraint in table.constraints
        if isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
    )
    same = " OR ".join(" AND ".join(f"{name} = NEW.{name}" for name in names) for names in unique)
    is_there = f" WHERE EXISTS (SELECT 1 FROM {table.name} WHERE {same})"  # noqa: S608
    _add_trigger(table, "INSERT", is_there)


def _add_trigger(table: sa.Table, action: str, condition: str) -> None:
    name = f"{table.name}_refuse_{'replace' if action == 'INSERT' else action.lower()}"
    text = (
        f"CREATE TRIGGER {name} BEFORE {action} ON {table.name} BEGIN "
        f"SELECT RAISE(ABORT, 'the ledger is append-only'){condition}; END"
    )
    ddl = sa.DDL(text).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    sa.event.listen(table, "after_create", ddl)


for _table in metadata.sorted_tables:
    _make_append_only(_table)


def connect(path: Path, lock_seconds: float) -> sa.Engine:
    """Return an engine for a database file; write transactions lock it from their start."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": lock_seconds},
        poolclass=sa.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        # A new database has the rollback journal. Setting the mode would rewrite a file with
        # another one. If a process was killed while writing the header, the journal has it.
        has_journal = path.with_name(f"{path.name}-journal").exists()
        if path.stat().st_size and not has_journal and not keeps_rollback_journal(path):
            connection.close()
            raise LedgerDamaged(f"expected a rollback journal in the header of {path}, got another")
        # SQLAlchemy begins transactions itself (below), so that writers lock from the start.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("lottery_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def connect_reading(path: Path, lock_seconds: float) -> sa.Engine:
    """Return an engine that only reads a file; other processes may be writing to it."""
    return _read_only(path, lock_seconds, immutable="0")


@functools.lru_cache(maxsize=8)
def connect_untouched(path: Path) -> sa.Engine:
    """Return an engine that reads a file without locks, journals, or a single write.

    Nobody may write to the file meanwhile. Engines are kept, because they cache compiled queries.
    """
    return _read_only(path, 0.0, immutable="1")


def _read_only(path: Path, lock_seconds: float, *, immutable: str) -> sa.Engine:
    query = {"mode": "ro", "immutable": immutable, "uri": "true"}
    return sa.create_engine(
        sa.URL.create("sqlite", database=path.absolute().as_uri(), query=query),
        connect_args={"timeout": lock_seconds},
        poolclass=sa.NullPool,
    )


def keeps_rollback_journal(path: Path) -> bool:
    """Return whether a database's header states the rollback journal.

    Bytes 18 and 19 state it (SQLite's file format, 1.3.3). Anything else is write-ahead logging,
    which even a reader would start.
    """
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\1\1"


@contextmanager
def translated(directory: Path) -> Iterator[None]:
    """Translate database errors into those of the ledger."""
    try:
        yield
    except OperationalError as error:
        message = str(error.orig)
        if "locked" in message:
            raise LedgerBusy(f"another process is writing to {directory}") from error
        raise LedgerUnwritable(f"{directory}: {message}") from error
    except DatabaseError as error:
        raise LedgerDamaged(f"{directory}: {error.orig}") from error
    except UnicodeDecodeError as error:
        raise LedgerDamaged(f"{directory}: the database has text that is not UTF-8") from error
