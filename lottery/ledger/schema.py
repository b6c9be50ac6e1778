"""The ledger's SQL tables, for SQLite and PostgreSQL, append-only by their own triggers.

The entries are the record. Every other row follows from them, and from the evidence that they
name, so that `lottery rebuild` makes all of them again from the published files, and `lottery
verify` compares them one by one.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

APPLICATION_ID: Final = 0x4C4F5454
"""LOTT: in a SQLite file's header for file(1), and the locks of PostgreSQL."""
SCHEMA_VERSION: Final = 5

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in the order of its bytes: ids are looked up by what they begin with, and a database's own
language may leave out hyphens where it compares."""

_INTEGER_64: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData()

LEDGER: Final = sa.Table(
    "ledger",
    metadata,
    sa.Column("origin", _TEXT, primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sqlite_strict=True,
)
"""The log's origin and the version of these tables, in one row."""

KEYS: Final = sa.Table(
    "keys",
    metadata,
    sa.Column("signs_from", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("public_key", _TEXT, nullable=False),
    sqlite_strict=True,
)
"""The log's public keys (C2SP vkey), each with the first size of the log that it signs."""

ENTRIES: Final = sa.Table(
    "entries",
    metadata,
    sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", _TEXT, nullable=False, index=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)
"""The log: canonical JSON (RFC 8785)."""

NODES: Final = sa.Table(
    "nodes",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""The complete subtrees of the log, so that appending and proving take log n steps."""

HEADS: Final = sa.Table(
    "heads",
    metadata,
    sa.Column("tree_size", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)
"""The signed checkpoint of every size of the log, from 1."""

RUNS: Final = sa.Table(
    "runs",
    metadata,
    sa.Column("run", _TEXT, primary_key=True),
    sa.Column("log_index", sa.Integer, nullable=False, unique=True),
    sa.Column("business_date", _TEXT, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("content_sha256", _TEXT, nullable=False, index=True),
    sa.Column("composite", _TEXT, nullable=False),
    sa.UniqueConstraint("business_date", "sequence"),
    sa.Index("ix_runs_composite", "composite", "business_date", "sequence"),
    sqlite_strict=True,
)
"""Where the entries of the runs are, proposals included."""

VERDICTS: Final = sa.Table(
    "verdicts",
    metadata,
    sa.Column("run", _TEXT, primary_key=True),
    sa.Column("log_index", sa.Integer, nullable=False, unique=True),
    sa.Column("business_date", _TEXT, nullable=False),
    sa.Index("ix_verdicts_date", "business_date", "log_index"),
    sqlite_strict=True,
)
"""Where the approvals and rejections of proposals are: one of a proposal."""

NOTICES: Final = sa.Table(
    "notices",
    metadata,
    sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("notice_key", _INTEGER_64, primary_key=True, autoincrement=False, index=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""The notices of each run by their keys (`log.notice_keys`), which find those of other dates."""

REQUESTS: Final = sa.Table(
    "requests",
    metadata,
    sa.Column("request_id", _TEXT, primary_key=True),
    sa.Column("run", _TEXT, nullable=False),
    sqlite_strict=True,
)
"""The run that answers a request id: the one that it recorded, or one with the same content."""


def _make_append_only(table: sa.Table) -> None:
    """Add the triggers that refuse to change, delete or replace a row."""
    for action in ("UPDATE", "DELETE"):
        _add_sqlite_trigger(table, action, "")
    # REPLACE deletes without firing the trigger of DELETE, so inserts are checked too.
    unique = sorted(
        [column.name for column in constraint.columns]
        for constraint in table.constraints
        if isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
    )
    same = " OR ".join(" AND ".join(f"{name} = NEW.{name}" for name in names) for names in unique)
    is_there = f" WHERE EXISTS (SELECT 1 FROM {table.name} WHERE {same})"  # noqa: S608
    _add_sqlite_trigger(table, "INSERT", is_there)
    for name, actions, level in (
        ("refuse_change", "UPDATE OR DELETE", "ROW"),
        ("refuse_truncate", "TRUNCATE", "STATEMENT"),
    ):
        _after_create(
            table,
            f"CREATE TRIGGER {table.name}_{name} BEFORE {actions} ON {table.name} "
            f"FOR EACH {level} EXECUTE FUNCTION lottery_refuse_change()",
            "postgresql",
        )


def _add_sqlite_trigger(table: sa.Table, action: str, condition: str) -> None:
    name = f"{table.name}_refuse_{'replace' if action == 'INSERT' else action.lower()}"
    _after_create(
        table,
        f"CREATE TRIGGER {name} BEFORE {action} ON {table.name} BEGIN "
        f"SELECT RAISE(ABORT, 'the ledger is append-only'){condition}; END",
        "sqlite",
    )


def _after_create(table: sa.Table, text: str, dialect: str) -> None:
    ddl = sa.DDL(text).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
    sa.event.listen(table, "after_create", ddl)


_REFUSING_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION lottery_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''the ledger is append-only''; END'
"""

for _table in metadata.sorted_tables:
    _make_append_only(_table)
sa.event.listen(
    metadata,
    "before_create",
    sa.DDL(_REFUSING_FUNCTION).execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)
