"""The log verified: every record's row, every node of the trees, every head that was signed.

The trees are derived again from the leaves' very bytes (RFC 9162), and nothing else is believed.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from lottery.errors import KeyUnusable, LedgerDamaged, LotteryError
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
        problem: What is wrong with it.
    """

    where: str
    problem: str


class _Tree:
    """A tree derived again from its leaves: the hashes of its complete subtrees, by level."""

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[bytearray] = []
        self._edge: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> None:
        self._edge, completed = merkle.append(self.size, self._edge, merkle.leaf_hash(leaf))
        for node in completed:
            if node.level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[node.level] += node.hash
        self.size += 1

    def nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """Level, position and hash of every complete subtree, in that order."""
        for level, hashes in enumerate(self._levels):
            for position in range(len(hashes) // merkle.HASH_SIZE):
                yield level, position, self._node(level, position)

    def root_of(self, size: int) -> bytes:
        """The root of the first `size` leaves."""
        return merkle.root_of(size, self._node)

    def _node(self, level: int, position: int) -> bytes:
        start = position * merkle.HASH_SIZE
        return bytes(self._levels[level][start : start + merkle.HASH_SIZE])


def verify_log(
    connection: sa.Connection,
    checkpoint_file: Path,
    keys: Sequence[VerifierKey],
    runs: list[str],
) -> Iterator[Fault]:
    """Yields every fault of the log.

    Args:
        connection: To the database.
        checkpoint_file: Every head as it was signed.
        keys: Public keys known from elsewhere; the log's must be among them, where there are any.
        runs: Gets the runs that the log has, in its order.

    Raises:
        LotteryError: The database cannot be read on.
    """
    yield from _schema_faults(connection)
    whose = None
    try:
        whose = log.read_log(connection)
    except (LedgerDamaged, KeyUnusable) as error:
        yield Fault(where="the log", problem=str(error))
    if whose is not None and keys and whose.key not in keys:
        problem = f"its key is {whose.key}, which is none of those that were given"
        yield Fault(where="the log", problem=problem)
    trees = {log.RUNS_TREE: _Tree(), log.TRAIL_TREE: _Tree()}
    yield from _run_faults(connection, trees[log.RUNS_TREE], runs)
    yield from _trail_faults(connection, trees[log.TRAIL_TREE])
    for name, tree in trees.items():
        yield from _node_faults(connection, name, tree)
    yield from _foreign_tree_faults(connection, trees)
    yield from _checkpoint_faults(connection, whose, trees, checkpoint_file)
    for key in keys:
        if whose is not None and key != whose.key:
            yield from _cosigner_faults(connection, whose, key)


def _schema_faults(connection: sa.Connection) -> Iterator[Fault]:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version != SCHEMA_VERSION:
        problem = f"its version is {version}; known is {SCHEMA_VERSION}"
        yield Fault(where="the schema of ledger.db", problem=problem)
    there, expected = _schema(connection), _schema_as_made()
    for thing in sorted(there.keys() | expected.keys()):
        if there.get(thing) == expected.get(thing):
            continue
        problem = "it is another one" if thing in there else "it is missing"
        if thing not in expected:
            problem = "it is none of the ledger's"
        yield Fault(where=f"the {' '.join(thing)} of ledger.db", problem=problem)


def _schema(connection: sa.Connection) -> dict[tuple[str, str], Any]:
    """What a database is made of: triggers by their text, tables by columns and indexes.

    Not tables by their text, which is a matter of how SQLAlchemy writes it.
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
            told = connection.exec_driver_sql(f"SELECT * FROM pragma_{pragma}(?)", (name,))  # noqa: S608
            found[kind, name] += tuple(sorted(map(repr, told)))
    return found


@functools.cache
def _schema_as_made() -> dict[tuple[str, str], Any]:
    """The schema of a database that was made just now, in memory."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        return _schema(connection)


def _run_faults(connection: sa.Connection, tree: _Tree, runs: list[str]) -> Iterator[Fault]:
    """Rows that are missing, or that say other than their record does."""
    superseded_by: dict[str, str] = {}
    sequences: dict[str, int] = {}
    for row in connection.execute(sa.select(RUNS).order_by(RUNS.c.log_index)).yield_per(256):
        where = f"run {row.run}"
        if row.log_index != tree.size:
            yield Fault(
                where=where, problem=f"its row has the log index {row.log_index}, not {tree.size}"
            )
        tree.append(row.record)
        runs.append(row.run)
        try:
            record = read_record(row.record)
        except LotteryError as error:
            yield Fault(where=where, problem=str(error))
            continue
        date, _, sequence = record.run.rpartition("-")
        sequences[date] = sequences.get(date, 0) + 1
        yield from _differences(
            where,
            {
                "run": (row.run, record.run),
                "business_date": (row.business_date, record.business_date.isoformat()),
                "date of its id": (date, record.business_date.isoformat()),
                "sequence": (row.sequence, int(sequence)),
                "place among its date's": (row.sequence, sequences[date]),
                "request_id": (row.request_id, record.request_id),
                "content_sha256": (row.content_sha256, record.content_sha256),
            },
        )
        superseded_by |= dict.fromkeys(record.supersedes, record.run)
    rows = connection.execute(sa.select(SUPERSEDINGS.c.superseded, SUPERSEDINGS.c.run)).all()
    kept = {row.superseded: row.run for row in rows}
    for run in sorted(superseded_by.keys() | kept.keys()):
        pair = {"superseded by": (kept.get(run), superseded_by.get(run))}
        yield from _differences(f"run {run}", pair)


def _differences(where: str, pairs: dict[str, tuple[Any, Any]]) -> Iterator[Fault]:
    for name, (row, record) in pairs.items():
        if row != record:
            problem = f"{name}: its row has {row!r}, the record says {record!r}"
            yield Fault(where=where, problem=problem)


def _trail_faults(connection: sa.Connection, tree: _Tree) -> Iterator[Fault]:
    for row in connection.execute(sa.select(TRAIL).order_by(TRAIL.c.trail_index)).yield_per(256):
        where = f"trail entry {row.trail_index}"
        if row.trail_index != tree.size:
            yield Fault(where=where, problem=f"it stands in the place of entry {tree.size}")
        tree.append(row.entry)
        try:
            read_entry(row.entry)
        except LotteryError as error:
            yield Fault(where=where, problem=str(error))


def _node_faults(connection: sa.Connection, name: str, tree: _Tree) -> Iterator[Fault]:
    rows = connection.execute(
        sa.select(NODES.c.level, NODES.c.position, NODES.c.hash)
        .where(NODES.c.tree == name)
        .order_by(NODES.c.level, NODES.c.position)
    ).yield_per(1024)
    kept = (tuple(row) for row in rows)
    for expected in tree.nodes():
        if next(kept, None) != expected:
            level, position, _ = expected
            yield Fault(
                where=f"node {position} of level {level} of the tree {name}",
                problem="it is not what the records give",
            )
            return
    if next(kept, None) is not None:
        yield Fault(where=f"the tree {name}", problem="it has nodes beyond its leaves")


def _foreign_tree_faults(connection: sa.Connection, trees: dict[str, _Tree]) -> Iterator[Fault]:
    for tree in connection.execute(sa.select(NODES.c.tree).distinct()).scalars():
        if tree not in trees:
            yield Fault(where=f"the tree {tree}", problem="it is none of the ledger's")


def _checkpoint_faults(
    connection: sa.Connection, whose: log.Log | None, trees: dict[str, _Tree], checkpoint_file: Path
) -> Iterator[Fault]:
    """Every head is signed, in order, and the root of its leaves; the file has each of them."""
    signed = dict.fromkeys(trees, 0)
    place = 0
    file_faults: list[Fault] = []
    try:
        written: BinaryIO = checkpoint_file.open("rb")
    except OSError as error:
        written = io.BytesIO()
        file_faults.append(Fault(where=checkpoint_file.name, problem=error.strerror or str(error)))
    with written as file:
        for position, head in enumerate(log.all_checkpoints(connection)):
            where = f"checkpoint {position}, of {head.tree_size} leaves of the tree {head.tree}"
            note = head.note + b"\n"
            place += len(note)
            if not file_faults and file.read(len(note)) != note:
                problem = f"it does not have {where} as it was signed"
                file_faults.append(Fault(where=checkpoint_file.name, problem=problem))
            if (head.position, head.ends_at) != (position, place) or head.tree not in trees:
                yield Fault(where=where, problem="its row is not in its place")
                continue
            if not signed[head.tree] <= head.tree_size <= signed[head.tree] + 1:
                yield Fault(where=where, problem=f"the one before it has {signed[head.tree]}")
            signed[head.tree] = head.tree_size
            if whose is not None:
                yield from _signature_faults(where, head, whose, trees[head.tree])
        if not file_faults and file.read(1):
            problem = "it has heads that the database has not: that is an older copy of itself"
            file_faults.append(Fault(where=checkpoint_file.name, problem=problem))
    yield from file_faults
    for name, tree in trees.items():
        if signed[name] != tree.size:
            problem = f"it has {tree.size} leaves and {signed[name]} of them are signed"
            yield Fault(where=f"the tree {name}", problem=problem)


def _signature_faults(
    where: str, head: log.SignedCheckpoint, whose: log.Log, tree: _Tree
) -> Iterator[Fault]:
    try:
        opened = open_checkpoint(head.note, [whose.key], origin=whose.origin_of(head.tree))
    except LotteryError as error:
        yield Fault(where=where, problem=str(error))
        return
    checkpoint = opened.checkpoint
    if checkpoint.size != head.tree_size:
        yield Fault(where=where, problem=f"it signs {checkpoint.size} leaves")
    elif checkpoint.size > tree.size:
        problem = f"only {tree.size} leaves are there: records are missing"
        yield Fault(where=where, problem=problem)
    elif (root := tree.root_of(checkpoint.size)) != checkpoint.root:
        problem = f"it signs the root {checkpoint.root.hex()}; the records give {root.hex()}"
        yield Fault(where=where, problem=problem)


def _cosigner_faults(
    connection: sa.Connection, whose: log.Log, key: VerifierKey
) -> Iterator[Fault]:
    """A key that was given besides the log's has signed a head of the runs."""
    query = sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.tree == log.RUNS_TREE)
    origin = whose.origin_of(log.RUNS_TREE)
    for note in connection.execute(query.order_by(CHECKPOINTS.c.position.desc())).scalars():
        try:
            if key in open_checkpoint(note, [whose.key, key], origin=origin).signed_by:
                return
        except LotteryError as error:
            yield Fault(where=f"a checkpoint signed by {key.name}", problem=str(error))
            return
    yield Fault(where=f"the key {key.name}", problem="it has signed no checkpoint of the runs")
