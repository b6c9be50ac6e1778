"""Verify the database's own definitions: its tables, indexes and triggers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from lottery.audit.fault import Fault
from lottery.errors import escape
from lottery.ledger.schema import metadata

DATABASE = "the database"
"""How faults name it: it can be a file, or elsewhere."""
_CHECKED_LINES = 100
_PRAGMAS = {
    "table_xinfo": "*",
    "index_xinfo": "*",
    # Not the order in which they were made, which differs from one process to another.
    "index_list": 'name, "unique", origin, partial',
}


def schema_faults(connection: sa.Connection) -> Iterator[Fault]:
    """Yield how the database differs from that of a new ledger, and what is broken in its file."""
    if connection.dialect.name == "sqlite":
        found, expected = _sqlite_schema(connection), _sqlite_schema_of_new_ledger()
    else:
        found, expected = _postgresql_triggers(connection), _triggers_of_new_ledger()
    for kind, name in sorted(found.keys() | expected.keys()):
        got, wanted = found.get((kind, name)), expected.get((kind, name))
        if got == wanted:
            continue
        problem = f"expected this {kind} as a new ledger has it, got another definition"
        if got is None:
            problem = "it is missing"
        elif wanted is None:
            problem = f"expected no such {kind}; a new ledger does not have it"
        yield Fault(where=f"the {kind} {escape(name)} of {DATABASE}", problem=problem)
    if connection.dialect.name == "sqlite":
        check = f"PRAGMA integrity_check({_CHECKED_LINES})"
        for line in connection.exec_driver_sql(check).scalars():
            if line != "ok":
                yield Fault(where=DATABASE, problem=escape(str(line)))


def _sqlite_schema(connection: sa.Connection) -> dict[tuple[str, str], Any]:
    """Return what a database is made of: triggers by their text, tables by columns and indexes.

    The text of a table does not count, as it depends on how SQLAlchemy writes it.
    """
    found: dict[tuple[str, str], Any] = {}
    rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master").all()
    for kind, name, text in rows:
        found[str(kind), str(name)] = text if kind in {"trigger", "view"} else ()
    for row in connection.exec_driver_sql("PRAGMA table_list").all():
        if row.schema == "main":
            found["table", row.name] = (row.type, row.wr, row.strict)
    for kind, name in [thing for thing in found if thing[0] in {"table", "index"}]:
        for pragma, columns in _PRAGMAS.items():
            query = f"SELECT {columns} FROM pragma_{pragma}(?)"  # noqa: S608 - they are ours.
            rows = connection.exec_driver_sql(query, (name,)).all()
            found[kind, name] += tuple(sorted(map(repr, rows)))
    return found


@functools.cache
def _sqlite_schema_of_new_ledger() -> dict[tuple[str, str], Any]:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        return _sqlite_schema(connection)


def _postgresql_triggers(connection: sa.Connection) -> dict[tuple[str, str], Any]:
    """Return the triggers of the ledger's tables: each with its table, and whether it fires."""
    rows = connection.execute(
        sa.text(
            "SELECT t.tgname, c.relname, t.tgenabled::text AS enabled FROM pg_trigger t "
            "JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace "
            "AND c.relname = ANY(:names)"
        ),
        {"names": sorted(metadata.tables)},
    )
    return {("trigger", row.tgname): (row.relname, row.enabled) for row in rows}


def _triggers_of_new_ledger() -> dict[tuple[str, str], Any]:
    return {
        ("trigger", f"{table}_{name}"): (table, "O")
        for table in metadata.tables
        for name in ("refuse_change", "refuse_truncate")
    }
