"""Verify the database row by row: each follows from the entries, and no other is there.

Entries that were added since the files were read are taken from the database, and their heads must
be signed.

Invariants:
- Rows are read in the order of their keys, some at a time: nothing else of a table is held.
- A table that cannot be read to its end is a fault, and the other tables are compared all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from lottery.audit.fault import NO_FAULTS, Fault
from lottery.audit.verify_files import LogFiles
from lottery.audit.verify_schema import DATABASE, schema_faults
from lottery.errors import LedgerDamaged, escape, quote
from lottery.ledger import log
from lottery.ledger.entry import read_entry, read_run
from lottery.ledger.evidence import NOTICES_FILE
from lottery.ledger.four_eyes import RUN_TYPES, VERDICT_TYPES
from lottery.ledger.run_record import RunRecord
from lottery.ledger.schema import (
    ENTRIES,
    HEADS,
    KEYS,
    LEDGER,
    NODES,
    NOTICES,
    REQUESTS,
    RUNS,
    SCHEMA_VERSION,
    VERDICTS,
)
from lottery.tlog.merkle import leaf_hash

_PAGE: Final = 512
"""Number of rows read at a time."""

Row: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]
"""A row's key, and its other values."""


def row_faults(
    connection: sa.Connection, files: LogFiles, read: Callable[[RunRecord, str], pa.Table]
) -> Iterator[Fault]:
    """Yield every row that does not follow from the entries, and what is wrong with the tables.

    Args:
        connection: A transaction that sees one state.
        files: The published log, which was read.
        read: Reads a table of a run's evidence.

    Raises:
        LimitExceeded: A table needs more memory.
        DBAPIError: The connection is lost.
    """
    yield from _read_to_its_end(schema_faults(connection), DATABASE)
    size = max(log.read_size(connection), files.size)
    yield from _read_to_its_end(_newer(connection, files, size), "the table entries")
    tables = {
        LEDGER: _ledger_rows(files),
        KEYS: (((at,), {"public_key": str(key)}) for at, key in files.story.keys),
        ENTRIES: _entry_rows(files),
        NODES: ((place, {"hash": each.hex()}) for place, each in files.tree.nodes()),
        HEADS: _head_rows(connection, files),
        RUNS: _rows_of(RUNS, RUN_TYPES, connection, files),
        VERDICTS: _rows_of(VERDICTS, VERDICT_TYPES, connection, files),
        REQUESTS: (((each,), {"run": run}) for each, run in sorted(files.story.requests.items())),
        NOTICES: _notice_rows(connection, files, read),
    }
    for table, expected in tables.items():
        is_by_run = table in (RUNS, VERDICTS)
        order = [table.c.log_index] if is_by_run else list(table.primary_key.columns)
        rows = _rows(connection, table, order)
        faults = _differences(table, expected, map(_READ.get(table, _as_it_is), rows))
        yield from _read_to_its_end(faults, f"the table {table.name}")


def _newer(connection: sa.Connection, files: LogFiles, size: int) -> Iterator[Fault]:
    """Take the entries that were added since the files were read."""
    for index in range(files.tree.size, size):
        encoded = log.entries_between(connection, index, index + 1)[0]
        files.tree.append(leaf_hash(encoded))
        yield from files.story.add(encoded)


def _ledger_rows(files: LogFiles) -> Iterator[Row]:
    if files.story.origin is not None:
        yield (files.story.origin,), {"schema_version": SCHEMA_VERSION}


def _entry_rows(files: LogFiles) -> Iterator[Row]:
    for index, kind in enumerate(files.story.types):
        leaf = files.tree.node(0, index)
        # An entry that is lost has a hash and no type.
        yield (index,), {"type": kind, "entry": leaf.hex()} if kind else {"entry": leaf.hex()}


def _head_rows(connection: sa.Connection, files: LogFiles) -> Iterator[Row]:
    """Yield the published heads; where none is published, that of the database if it is signed."""
    for size in range(1, files.tree.size + 1):
        digest = files.head_digest(size)
        if digest is None:
            note = log.note_of(connection, size)
            is_signed = files.open_head(note, size).root == files.tree.root_of(size)
            digest = hashlib.sha256(note).hexdigest() if is_signed else "a head of the entries"
        yield (size,), {"note": digest}


def _rows_of(
    wanted: sa.Table, types: Collection[str], connection: sa.Connection, files: LogFiles
) -> Iterator[Row]:
    """Yield the rows of a table that follow from the entries of some types."""
    for index, encoded in _entries_of(types, connection, files):
        for table, values in log.rows_of(index, read_entry(encoded), encoded):
            if table is wanted:
                rest = {name: value for name, value in values.items() if name != "log_index"}
                yield (index,), rest


def _notice_rows(
    connection: sa.Connection, files: LogFiles, read: Callable[[RunRecord, str], pa.Table]
) -> Iterator[Row]:
    for index, encoded in _entries_of(RUN_TYPES, connection, files):
        try:
            keys = log.notice_keys(read(read_run(encoded), NOTICES_FILE))
        except LedgerDamaged:  # It is reported where every evidence file is read.
            there = sa.select(NOTICES.c.notice_key).where(NOTICES.c.log_index == index)
            keys = sorted(connection.execute(there).scalars())
        yield from (((index, key), {}) for key in keys)


def _entries_of(
    types: Collection[str], connection: sa.Connection, files: LogFiles
) -> Iterator[tuple[int, bytes]]:
    """Yield the entries of some types that are not lost, each with its index."""
    for index, kind in enumerate(files.story.types):
        if kind not in types:
            continue
        if index < files.size:
            encoded = files.entry(index)
        else:
            encoded = log.entries_between(connection, index, index + 1)[0]
        if encoded is not None:
            yield index, encoded


def _rows(
    connection: sa.Connection, table: sa.Table, order: list[sa.Column[Any]]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield a table's rows, each with its key, in the order of their keys."""
    names = [column.name for column in order]
    # Python's order of texts, in every language of a database.
    sorts = connection.dialect.name == "postgresql"
    columns = [
        sa.collate(column, "C") if sorts and isinstance(column.type, sa.Text) else column
        for column in order
    ]
    last: tuple[Any, ...] | None = None
    while True:
        query = sa.select(table).order_by(*columns).limit(_PAGE)
        if last is not None:
            query = query.where(sa.tuple_(*columns) > last)
        page = [dict(row) for row in connection.execute(query).mappings()]
        for row in page:
            key = tuple(row.pop(name) for name in names)
            if last is not None and key <= last:
                raise ValueError(
                    f"expected rows in the order of their keys, got {key} after {last}"
                )
            last = key
            yield key, row
        if len(page) < _PAGE:
            return


def _differences(table: sa.Table, expected: Iterator[Row], rows: Iterator[Row]) -> Iterator[Fault]:
    """Yield rows that are missing, changed or added; both come in the order of their keys."""
    got = next(rows, None)
    for key, values in expected:
        while got is not None and got[0] < key:
            yield _added(table, got[0])
            got = next(rows, None)
        if got is None or got[0] != key:
            yield Fault(where=_named(table, key), problem="the row is missing")
            continue
        for name, value in values.items():
            if got[1][name] != value:
                problem = f"{name}: expected {quote(value)}, got {quote(got[1][name])}"
                yield Fault(where=_named(table, key), problem=problem)
        got = next(rows, None)
    while got is not None:
        yield _added(table, got[0])
        got = next(rows, None)


def _added(table: sa.Table, key: tuple[Any, ...]) -> Fault:
    problem = "expected no such row: no entry gives it"
    return Fault(where=_named(table, key), problem=problem)


def _named(table: sa.Table, key: tuple[Any, ...]) -> str:
    shown = ", ".join(escape(str(part)) for part in key)
    return f"row {shown} of the table {table.name}"


def _as_it_is(row: Row) -> Row:
    return row


def _with_leaf_hash(row: Row) -> Row:
    return row[0], {**row[1], "entry": leaf_hash(bytes(row[1]["entry"])).hex()}


def _with_digest(row: Row) -> Row:
    return row[0], {"note": hashlib.sha256(bytes(row[1]["note"])).hexdigest()}


def _in_hexadecimal(row: Row) -> Row:
    return row[0], {"hash": bytes(row[1]["hash"]).hex()}


_READ: Final = {ENTRIES: _with_leaf_hash, HEADS: _with_digest, NODES: _in_hexadecimal}


def _read_to_its_end(faults: Iterator[Fault], where: str) -> Iterator[Fault]:
    """Yield faults, and one more if what is read breaks off.

    Raises:
        DBAPIError: The connection is lost.
        LimitExceeded: A table needs more memory.
    """
    try:
        yield from faults
    except NO_FAULTS:
        raise
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        # A damaged database can raise anything.
        cause = error.orig if isinstance(error, DBAPIError) else error
        yield Fault(where=where, problem=f"it cannot be read to its end: {escape(str(cause))}")
