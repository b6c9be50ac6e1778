"""The log in the database: an RFC 9162 tree of entries, with a signed head of every size.

Invariants:
- A new head extends the one before: that one is verified first, and the new tree is its compact
  range with one more leaf.
- An entry, its nodes, the rows that follow from it and its head are one transaction.
- Appending and proving read log n nodes, in one query.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lottery.errors import LedgerDamaged
from lottery.ledger.entry import Charter, Entry, NamedRequest, NextKey
from lottery.ledger.four_eyes import Verdict
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
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey, VerifierKey

_NOTICE_KEY: Final = ("notice_id", "series", "quantity")
_KEY_BYTES: Final = 8

Row = tuple[sa.Table, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The identity of a log.

    Attributes:
        origin: Its name in its checkpoints.
        keys: Its public keys, each with the first size that it signs, ascending from 1.
    """

    origin: str
    keys: tuple[tuple[int, VerifierKey], ...]

    @property
    def key(self) -> VerifierKey:
        """The key that signs the next head."""
        return self.keys[-1][1]

    def key_of(self, tree_size: int) -> VerifierKey:
        """Return the key that signs the head of a size."""
        sizes = [signs_from for signs_from, _ in self.keys]
        return self.keys[max(bisect.bisect_right(sizes, tree_size) - 1, 0)][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The signed head of the log.

    Attributes:
        tree_size: Number of entries; 0 for a log that has none yet.
        note: The bytes of the signed note, empty at size 0.
        compact_range: The compact range of the tree.
    """

    tree_size: int
    note: bytes
    compact_range: tuple[bytes, ...]


EMPTY: Final = Head(tree_size=0, note=b"", compact_range=())


def read_log(connection: sa.Connection) -> Log:
    """Return the identity of the log.

    Raises:
        LedgerDamaged: The tables do not have it, or are of another version.
        KeyUnusable: A public key is malformed.
    """
    both = LEDGER.join(KEYS, sa.true())
    query = sa.select(LEDGER, KEYS).select_from(both).order_by(KEYS.c.signs_from)
    rows = connection.execute(query).all()
    if len({row.origin for row in rows}) != 1:
        raise LedgerDamaged(
            f"expected one row in the table ledger and a key, got {len(rows)} of both together"
        )
    if rows[0].schema_version != SCHEMA_VERSION:
        raise LedgerDamaged(
            f"expected schema version {SCHEMA_VERSION}, got {rows[0].schema_version}"
        )
    return Log(
        origin=rows[0].origin,
        keys=tuple((row.signs_from, VerifierKey.parse(row.public_key)) for row in rows),
    )


def read_size(connection: sa.Connection) -> int:
    """Return the number of entries that are signed."""
    return connection.execute(sa.select(sa.func.max(HEADS.c.tree_size))).scalar() or 0


def read_head(connection: sa.Connection, log: Log) -> Head:
    """Return the log's head, verified.

    Raises:
        LedgerDamaged: The nodes do not give the root that was signed.
        CheckpointInvalid: The head is not signed by the log's key.
    """
    size = read_size(connection)
    if not size:
        return EMPTY
    note = note_of(connection, size)
    signed = open_checkpoint(note, [log.key_of(size)], origin=log.origin).checkpoint
    compact_range = merkle.compact_range_of(size, node_reader(connection, size, 0))
    root = merkle.root_of_compact_range(compact_range)
    if (signed.size, signed.root) != (size, root):
        raise LedgerDamaged(
            f"expected the signed root {signed.root.hex()} of {signed.size} entries, got "
            f"{root.hex()} of {size}; nothing more is signed; lottery verify says what is wrong"
        )
    return Head(tree_size=size, note=note, compact_range=compact_range)


def append(
    connection: sa.Connection, log: Log, head: Head, entry: Entry, encoded: bytes, key: SigningKey
) -> Head:
    """Add an entry with every row that follows from it, and sign the new head.

    Args:
        connection: A transaction of the only writer.
        log: The log's identity.
        head: Its head, as `read_head` returned it.
        entry: The entry.
        encoded: Its canonical bytes.
        key: The log's private key.
    """
    compact_range, nodes = merkle.append(
        head.tree_size, head.compact_range, merkle.leaf_hash(encoded)
    )
    size = head.tree_size + 1
    root = merkle.root_of_compact_range(compact_range)
    note = sign_checkpoint(Checkpoint(origin=log.origin, size=size, root=root), key)
    for table, values in rows_of(head.tree_size, entry, encoded):
        connection.execute(sa.insert(table).values(values))
    connection.execute(sa.insert(NODES), list(map(node_row, nodes)))
    connection.execute(sa.insert(HEADS).values(tree_size=size, note=note))
    return Head(tree_size=size, note=note, compact_range=compact_range)


def rows_of(log_index: int, entry: Entry, encoded: bytes) -> Iterator[Row]:
    """Yield the rows that follow from an entry, each with its table; nodes and head are apart."""
    yield ENTRIES, {"log_index": log_index, "type": entry.type, "entry": encoded}
    if isinstance(entry, RunRecord):
        yield (
            RUNS,
            {
                "run": entry.run,
                "log_index": log_index,
                "business_date": entry.business_date.isoformat(),
                "sequence": sequence_of(entry.run),
                "content_sha256": entry.content_sha256,
                "composite": str(entry.seed.composite),
            },
        )
    if isinstance(entry, RunRecord | NamedRequest):
        yield REQUESTS, {"request_id": entry.request_id, "run": entry.run}
    elif isinstance(entry, Verdict):
        yield (
            VERDICTS,
            {
                "run": entry.run,
                "log_index": log_index,
                "business_date": entry.run.rpartition("-")[0],
            },
        )
    elif isinstance(entry, NextKey):
        yield KEYS, {"signs_from": entry.signs_from, "public_key": entry.public_key}
    elif isinstance(entry, Charter) and entry.public_key is not None:
        yield LEDGER, {"origin": entry.origin, "schema_version": SCHEMA_VERSION}
        yield KEYS, {"signs_from": 1, "public_key": entry.public_key}


def add_notices(connection: sa.Connection, log_index: int, keys: Sequence[int]) -> None:
    """Add the keys by which a run's notices are found.

    Args:
        connection: A transaction of the only writer.
        log_index: The index of the run's entry.
        keys: Those of its notices (`notice_keys`).
    """
    numbers = numbers_in(connection, keys).subquery()
    rows = sa.select(sa.literal(log_index), *numbers.c)
    connection.execute(sa.insert(NOTICES).from_select(NOTICES.c.keys(), rows))


def numbers_in(connection: sa.Connection, numbers: Sequence[int]) -> sa.Select[Any]:
    """Return a selection of numbers that are sent as one value, however many they are."""
    if connection.dialect.name == "sqlite":
        rows = sa.func.json_each(json.dumps(numbers)).table_valued("value")
        return sa.select(rows.c.value)
    text = sa.cast(json.dumps(numbers), sa.Text)
    values = sa.func.json_array_elements_text(sa.cast(text, sa.JSON)).column_valued("value")
    return sa.select(sa.cast(values, sa.BigInteger).label("value"))


def notice_keys(notices: pa.Table) -> list[int]:
    """Return the keys by which notices are found again: each id, series and quantity, sorted.

    Args:
        notices: `tables.NOTICES`.

    Returns:
        The first 64 bits of a SHA-256 as signed integers.
    """
    columns = [notices.column(name).cast(pa.string()) for name in _NOTICE_KEY]
    texts = pc.binary_join_element_wise(*columns, "\0").cast(pa.binary()).to_pylist()
    digests = b"".join([hashlib.sha256(text).digest()[:_KEY_BYTES] for text in texts])
    keys: list[int] = np.unique(np.frombuffer(digests, ">i8")).tolist()
    return keys


def node_row(node: merkle.Node) -> Mapping[str, Any]:
    """Return the row of a node."""
    return {"level": node.level, "position": node.index, "hash": node.hash}


def sequence_of(run: str) -> int:
    """Return the number of a run within its date, from 1."""
    return int(run.rpartition("-")[2])


def note_of(connection: sa.Connection, tree_size: int) -> bytes:
    """Return the signed head of a size.

    Raises:
        LedgerDamaged: It is missing.
    """
    note = connection.execute(
        sa.select(HEADS.c.note).where(HEADS.c.tree_size == tree_size)
    ).scalar()
    if note is None:
        raise LedgerDamaged(
            f"expected a head of {tree_size} entries, got none; lottery verify says what is wrong"
        )
    return bytes(note)


def entries_between(connection: sa.Connection, first: int, end: int) -> list[bytes]:
    """Return the entries from index `first` to before `end`.

    Raises:
        LedgerDamaged: One is missing.
    """
    return _each_between(
        connection,
        sa.select(ENTRIES.c.entry),
        (ENTRIES.c.log_index, first, end),
        f"entries {first} to {end - 1}",
    )


def notes_between(connection: sa.Connection, first: int, last: int) -> list[bytes]:
    """Return the signed heads of the sizes from `first` to `last`.

    Raises:
        LedgerDamaged: One is missing.
    """
    return _each_between(
        connection,
        sa.select(HEADS.c.note),
        (HEADS.c.tree_size, first, last + 1),
        f"heads of {first} to {last} entries",
    )


def nodes_between(connection: sa.Connection, level: int, first: int, end: int) -> list[bytes]:
    """Return the hashes of a level from index `first` to before `end`.

    Raises:
        LedgerDamaged: One is missing.
    """
    return _each_between(
        connection,
        sa.select(NODES.c.hash).where(NODES.c.level == level),
        (NODES.c.position, first, end),
        f"nodes {first} to {end - 1} of level {level}",
    )


def _each_between(
    connection: sa.Connection,
    query: sa.Select[Any],
    bounds: tuple[sa.Column[int], int, int],
    what: str,
) -> list[bytes]:
    """Return the one value of each row whose number lies from the first to before the end.

    Raises:
        LedgerDamaged: One is missing.
    """
    number, first, end = bounds
    query = query.where(number >= first, number < end).order_by(number)
    rows = connection.execute(query).scalars().all()
    if len(rows) != end - first:
        raise LedgerDamaged(f"expected {what}, got {len(rows)} of them")
    return [bytes(row) for row in rows]


def nodes_of(connection: sa.Connection, places: Iterable[tuple[int, int]]) -> merkle.NodeOf:
    """Return a `NodeOf` of some subtrees, which are read in one query.

    Args:
        connection: The connection.
        places: Level and index of each.

    Raises:
        LedgerDamaged: One is missing.
    """
    wanted = sorted(set(places))
    # Not a tuple that is in a list: SQLite would scan the table for it.
    conditions = [
        sa.and_(NODES.c.level == level, NODES.c.position == index) for level, index in wanted
    ]
    query = sa.select(NODES.c.level, NODES.c.position, NODES.c.hash).where(
        sa.or_(sa.false(), *conditions)
    )
    found = {(row.level, row.position): bytes(row.hash) for row in connection.execute(query)}
    for level, index in wanted:
        if (level, index) not in found:
            raise LedgerDamaged(f"expected a node {index} of level {level}, got none")
    return lambda level, index: found[level, index]


def node_reader(connection: sa.Connection, size: int, index: int) -> merkle.NodeOf:
    """Return a `NodeOf` for the root of a tree and the inclusion of one of its leaves."""

    def read(node_of: merkle.NodeOf) -> None:
        merkle.compact_range_of(size, node_of)
        merkle.inclusion_proof(index, size, node_of)

    return nodes_of(connection, _noted(read))


def consistency_proof(
    connection: sa.Connection, first_size: int, second_size: int
) -> tuple[bytes, ...]:
    """Return the proof that the log of one size begins with that of another (RFC 9162, 2.1.4)."""

    def proof(node_of: merkle.NodeOf) -> tuple[bytes, ...]:
        return merkle.consistency_proof(first_size, second_size, node_of)

    return proof(nodes_of(connection, _noted(proof)))


def _noted(read: Callable[[merkle.NodeOf], object]) -> list[tuple[int, int]]:
    """Return level and index of each subtree that a computation asks for."""
    places: list[tuple[int, int]] = []

    def note(level: int, index: int) -> bytes:
        places.append((level, index))
        return merkle.EMPTY_ROOT

    read(note)
    return places
