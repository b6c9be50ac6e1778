"""The ledger's table in SQL, append-only by its own triggers, and how it is connected to.

SQLite keeps its rollback journal with full syncs: write-ahead logging could corrupt a database
with two connections in the versions that most Pythons ship (3.7.0 to 3.51.2).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from lottery.errors import LedgerBusy, LedgerDamaged, LedgerUnwritable

APPLICATION_ID: Final = 0x4C4F5454  # "LOTT", in the file's header for file(1).
SCHEMA_VERSION: Final = 1

metadata = sa.MetaData()
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
# REPLACE deletes without asking the trigger of DELETE, so that an insert looks for itself.
sa.event.listen(
    RUNS,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]
        "CREATE TRIGGER runs_refuse_replace BEFORE INSERT ON runs BEGIN "
        "SELECT RAISE(ABORT, 'the ledger is append-only') WHERE EXISTS (SELECT 1 FROM runs "
        "WHERE log_index = NEW.log_index OR run = NEW.run OR request_id = NEW.request_id "
        "OR (business_date = NEW.business_date AND sequence = NEW.sequence)); END"
    ).execute_if(dialect="sqlite"),
)
for _action in ("UPDATE", "DELETE"):
    sa.event.listen(
        RUNS,
        "after_create",
        sa.DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER runs_refuse_{_action.lower()} BEFORE {_action} ON runs "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )


def connect(path: Path, lock_seconds: float) -> sa.Engine:
    """An engine on a database file; a transaction that says it writes locks from its start."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": lock_seconds},
        poolclass=sa.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        # SQLAlchemy begins transactions itself (below), so that writers lock from the start.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("lottery_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def translated(directory: Path) -> Iterator[None]:
    """Says what a database error means for the ledger."""
    try:
        yield
    except OperationalError as error:
        message = str(error.orig)
        if "locked" in message:
            raise LedgerBusy(f"another process is writing to {directory}") from error
        raise LedgerUnwritable(f"{directory}: {message}") from error
    except DatabaseError as error:
        raise LedgerDamaged(f"{directory}: {error.orig}") from error
