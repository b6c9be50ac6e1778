"""Verify the log: every row of a record, every node of the trees, every signed checkpoint.

The trees are computed again from the leaves' own bytes (RFC 9162), and nothing else is believed.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from lottery.errors import KeyUnusable, LedgerDamaged, LotteryError, escape, quote
from lottery.ledger import log
from lottery.ledger.database import (
    CHECKPOINTS,
    NODES,
    RUNS,
    SCHEMA_VERSION,
    SUPERSEDINGS,
    TRAIL,
    metadata,
)
from lottery.ledger.run_record import read_record
from lottery.ledger.trail import read_entry
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it was recorded.

    Attributes:
        where: The file, relative to the ledger, or the record.
        problem: What was expected and what came.
    """

    where: str
    problem: str


def verify_log(
    connection: sa.Connection, checkpoint_file: Path, keys: Sequence[VerifierKey] = ()
) -> Iterator[Fault]:
    """Yield every fault of the log.

    Args:
        connection: A connection to the database.
        checkpoint_file: The file with every checkpoint as it was signed.
        keys: Public keys known from elsewhere; if there are any, the log's must be among them.

    Raises:
        LotteryError: The database cannot be read to its end.
    """
    yield from _schema_faults(connection)
    signer = None
    try:
        signer = log.read_log(connection)
    except (LedgerDamaged, KeyUnusable) as error:
        yield Fault(where="the log", problem=str(error))
    if signer is not None and keys and signer.key not in keys:
        given = " or ".join(map(str, keys))
        yield Fault(where="the log", problem=f"expected the key {given}, got {signer.key}")
    trees = {log.RUNS_TREE: _Tree(), log.TRAIL_TREE: _Tree()}
    yield from _run_faults(connection, trees[log.RUNS_TREE])
    yield from _trail_faults(connection, trees[log.TRAIL_TREE])
    for name, tree in trees.items():
        yield from _node_faults(connection, name, tree)
    for name in connection.execute(sa.select(NODES.c.tree).distinct()).scalars():
        if name not in trees:
            problem = f"expected no trees but {' and '.join(trees)}"
            yield Fault(where=f"the tree {escape(name)}", problem=problem)
    yield from _checkpoint_faults(connection, signer, trees, checkpoint_file)
    if signer is not None:
        for key in keys:
            if key != signer.key:
                yield from _cosigner_faults(connection, signer, key)


class _Tree:
    """A tree computed from its leaves: the hashes of its complete subtrees, by level."""

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[bytearray] = []
        self._compact_range: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> None:
        self._compact_range, completed = merkle.append(
            self.size, self._compact_range, merkle.leaf_hash(leaf)
        )
        for node in completed:
            if node.level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[node.level] += node.hash
        self.size += 1

    def nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield level, index and hash of every complete subtree, in that order."""
        for level, hashes in enumerate(self._levels):
            for index in range(len(hashes) // merkle.HASH_SIZE):
                yield level, index, self._node(level, index)

    def root_of(self, size: int) -> bytes:
        """Return the root of the first `size` leaves."""
        return merkle.root_of(size, self._node)

    def _node(self, level: int, index: int) -> bytes:
        start = index * merkle.HASH_SIZE
        return bytes(self._levels[level][start : start + merkle.HASH_SIZE])


def _schema_faults(connection: sa.Connection) -> Iterator[Fault]:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version != SCHEMA_VERSION:
        problem = f"expected version {SCHEMA_VERSION}, got {version}"
        yield Fault(where="the schema of ledger.db", problem=problem)
    found, expected = _schema(connection), _schema_of_new_database()
    for kind, name in sorted(found.keys() | expected.keys()):
        got, wanted = found.get((kind, name)), expected.get((kind, name))
        if got == wanted:
            continue
        problem = f"expected this {kind} as a new ledger has it, got another definition"
        if got is None:
            problem = "it is missing"
        elif wanted is None:
            problem = f"expected no such {kind}; a new ledger does not have it"
        yield Fault(where=f"the {kind} {escape(name)} of ledger.db", problem=problem)


def _schema(connection: sa.Connection) -> dict[tuple[str, str], Any]:
    """Return what a database is made of: triggers by their text, tables by columns and indexes.

    The text of a table does not count, as it depends on how SQLAlchemy writes it.
    """
    found: dict[tuple[str, str], Any] = {}
    rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master").all()
    for kind, name, text in rows:
        found[kind, name] = text if kind in {"trigger", "view"} else ()
    for row in connection.exec_driver_sql("PRAGMA table_list").all():
        if row.schema == "main":
            found["table", row.name] = (row.type, row.wr, row.strict)
    for kind, name in [thing for thing in found if thing[0] in {"table", "index"}]:
        for pragma in ("table_xinfo", "index_xinfo", "index_list"):
            rows = connection.exec_driver_sql(f"SELECT * FROM pragma_{pragma}(?)", (name,)).all()  # noqa: S608 - the names are those above.
            found[kind, name] += tuple(sorted(map(repr, rows)))
    return found


@functools.cache
def _schema_of_new_database() -> dict[tuple[str, str], Any]:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        return _schema(connection)


def _run_faults(connection: sa.Connection, tree: _Tree) -> Iterator[Fault]:
    """Yield rows that are missing, or that differ from their record."""
    superseded_by: dict[str, str] = {}
    sequences: dict[str, int] = {}
    for row in connection.execute(sa.select(RUNS).order_by(RUNS.c.log_index)).yield_per(256):
        where = f"run {escape(row.run)}"
        if row.log_index != tree.size:
            yield Fault(
                where=where, problem=f"expected the log index {tree.size}, got {row.log_index}"
            )
        tree.append(row.record)
        try:
            record = read_record(row.record)
        except LotteryError as error:
            yield Fault(where=where, problem=str(error))
            continue
        date, _, sequence = record.run.rpartition("-")
        sequences[date] = sequences.get(date, 0) + 1
        for name, expected, got in (
            ("run", record.run, row.run),
            ("business_date", record.business_date.isoformat(), row.business_date),
            ("date of its id", record.business_date.isoformat(), date),
            ("sequence", int(sequence), row.sequence),
            ("sequence within its date", sequences[date], row.sequence),
            ("request_id", record.request_id, row.request_id),
            ("content_sha256", record.content_sha256, row.content_sha256),
        ):
            if got != expected:
                yield _difference(where, name, expected, got)
        superseded_by |= dict.fromkeys(record.supersedes, record.run)
    rows = connection.execute(sa.select(SUPERSEDINGS.c.superseded, SUPERSEDINGS.c.run)).all()
    kept = {row.superseded: row.run for row in rows}
    for run in sorted(superseded_by.keys() | kept.keys()):
        if kept.get(run) != superseded_by.get(run):
            where = f"run {escape(run)}"
            yield _difference(where, "superseded by", superseded_by.get(run), kept.get(run))


def _difference(where: str, name: str, expected: object, got: object) -> Fault:
    problem = f"{name}: expected {quote(expected)} as in the record, got {quote(got)} in its row"
    return Fault(where=where, problem=problem)


def _trail_faults(connection: sa.Connection, tree: _Tree) -> Iterator[Fault]:
    for row in connection.execute(sa.select(TRAIL).order_by(TRAIL.c.trail_index)).yield_per(256):
        where = f"trail entry {row.trail_index}"
        if row.trail_index != tree.size:
            problem = f"expected the trail index {tree.size}, got {row.trail_index}"
            yield Fault(where=where, problem=problem)
        tree.append(row.entry)
        try:
            read_entry(row.entry)
        except LotteryError as error:
            yield Fault(where=where, problem=str(error))


def _node_faults(connection: sa.Connection, name: str, tree: _Tree) -> Iterator[Fault]:
    """Yield the first node that does not follow from the leaves."""
    rows = connection.execute(
        sa.select(NODES.c.level, NODES.c.position, NODES.c.hash)
        .where(NODES.c.tree == name)
        .order_by(NODES.c.level, NODES.c.position)
    ).yield_per(1024)
    kept = (tuple(row) for row in rows)
    for expected in tree.nodes():
        got = next(kept, None)
        if got != expected:
            level, index, node_hash = expected
            shown = "no such node" if got is None or got[:2] != (level, index) else got[2].hex()
            problem = f"expected the hash {node_hash.hex()} that the records give, got {shown}"
            yield Fault(where=f"node {index} of level {level} of the tree {name}", problem=problem)
            return
    if next(kept, None) is not None:
        problem = f"expected the nodes of its {tree.size} leaves, got more"
        yield Fault(where=f"the tree {name}", problem=problem)


def _checkpoint_faults(
    connection: sa.Connection,
    signer: log.Log | None,
    trees: dict[str, _Tree],
    checkpoint_file: Path,
) -> Iterator[Fault]:
    """Yield checkpoints that are not signed, in order, with the root of their leaves, and filed."""
    signed_sizes = dict.fromkeys(trees, 0)
    offset = 0
    file_faults: list[Fault] = []
    try:
        written: BinaryIO = checkpoint_file.open("rb")
    except OSError as error:
        written = io.BytesIO()
        file_faults.append(Fault(where=checkpoint_file.name, problem=error.strerror or str(error)))
    with written as file:
        for position, kept in enumerate(log.all_checkpoints(connection)):
            tree = escape(kept.tree)
            where = f"checkpoint {position}, of {kept.tree_size} leaves of the tree {tree}"
            note = kept.note + b"\n"
            if not file_faults and file.read(len(note)) != note:
                problem = f"expected {where} from byte {offset} on, got other bytes"
                file_faults.append(Fault(where=checkpoint_file.name, problem=problem))
            offset += len(note)
            if (kept.position, kept.ends_at) != (position, offset) or kept.tree not in trees:
                problem = (
                    f"expected a row at position {position}, of the tree {' or '.join(trees)}, "
                    f"ending at byte {offset}, got position {kept.position}, {tree}, "
                    f"{kept.ends_at}"
                )
                yield Fault(where=where, problem=problem)
                continue
            before = signed_sizes[kept.tree]
            if not before <= kept.tree_size <= before + 1:
                problem = f"expected {before} or {before + 1} leaves after the checkpoint before it"
                yield Fault(where=where, problem=f"{problem}, got {kept.tree_size}")
            signed_sizes[kept.tree] = kept.tree_size
            if signer is not None:
                yield from _note_faults(where, kept, signer, trees[kept.tree])
        if not file_faults and file.read(1):
            problem = (
                f"expected {offset} bytes, got more: the database is an older copy of itself; "
                "restore the one that was in use"
            )
            file_faults.append(Fault(where=checkpoint_file.name, problem=problem))
    yield from file_faults
    for name, tree_found in trees.items():
        if signed_sizes[name] != tree_found.size:
            problem = f"expected {signed_sizes[name]} leaves, as were signed, got {tree_found.size}"
            yield Fault(where=f"the tree {name}", problem=problem)


def _note_faults(
    where: str, kept: log.SignedCheckpoint, signer: log.Log, tree: _Tree
) -> Iterator[Fault]:
    """Yield what is wrong with the signed note of a checkpoint."""
    try:
        opened = open_checkpoint(kept.note, [signer.key], origin=signer.origin_of(kept.tree))
    except LotteryError as error:
        yield Fault(where=where, problem=str(error))
        return
    signed = opened.checkpoint
    if signed.size != kept.tree_size:
        problem = f"expected a note of {kept.tree_size} leaves, got one of {signed.size}"
        yield Fault(where=where, problem=problem)
    elif signed.size > tree.size:
        problem = f"expected {signed.size} leaves, got {tree.size}; records are missing"
        yield Fault(where=where, problem=problem)
    elif (root := tree.root_of(signed.size)) != signed.root:
        problem = f"expected the signed root {signed.root.hex()}, got {root.hex()} from the records"
        yield Fault(where=where, problem=problem)


def _cosigner_faults(
    connection: sa.Connection, signer: log.Log, key: VerifierKey
) -> Iterator[Fault]:
    """Yield a fault if a key that is not the log's has signed no checkpoint of the runs."""
    query = sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.tree == log.RUNS_TREE)
    origin = signer.origin_of(log.RUNS_TREE)
    for note in connection.execute(query.order_by(CHECKPOINTS.c.position.desc())).scalars():
        try:
            if key in open_checkpoint(note, [signer.key, key], origin=origin).signed_by:
                return
        except LotteryError as error:
            yield Fault(where=f"a checkpoint signed by {key.name}", problem=str(error))
            return
    yield Fault(where=f"the key {key.name}", problem="it has signed no checkpoint of the runs")
