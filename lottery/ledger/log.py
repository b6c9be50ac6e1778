"""The two logs in the database, of the runs and of the trail, each an RFC 9162 tree.

A leaf, the nodes that it completes, and the checkpoint signed over it are one transaction.

Invariants:
- A new checkpoint extends the one signed before: that one is verified first, and the new tree is
  its compact range with one more leaf.
- Appending and proving read log n nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa

from lottery.errors import LedgerDamaged
from lottery.ledger.database import CHECKPOINTS, LOG, NODES
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey, VerifierKey
from lottery.tlog.note import join_notes

RUNS_TREE: Final = "runs"
TRAIL_TREE: Final = "trail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The identity of a log.

    Attributes:
        origin: Its name in its checkpoints.
        key: Its public key.
    """

    origin: str
    key: VerifierKey

    def origin_of(self, tree: str) -> str:
        """Return the origin line of a tree's checkpoints."""
        return self.origin if tree == RUNS_TREE else f"{self.origin}/{tree}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as the database has it.

    Attributes:
        position: Its index among all checkpoints.
        tree: The tree that it states the root of.
        tree_size: Number of leaves of that tree.
        note: The bytes of the signed note.
        ends_at: Offset of its end in the checkpoint file.
    """

    position: int
    tree: str
    tree_size: int
    note: bytes
    ends_at: int


def read_log(connection: sa.Connection) -> Log:
    """Return the identity of the log.

    Raises:
        LedgerDamaged: The table has not exactly one row.
        KeyUnusable: The public key is malformed.
    """
    rows = connection.execute(sa.select(LOG.c.origin, LOG.c.public_key)).all()
    if len(rows) != 1:
        raise LedgerDamaged(f"expected one row in the table log, got {len(rows)}")
    return Log(origin=rows[0].origin, key=VerifierKey.parse(rows[0].public_key))


def append(connection: sa.Connection, tree: str, leaf: bytes, log: Log, key: SigningKey) -> None:
    """Add a leaf to a tree, and sign its new checkpoint.

    Args:
        connection: Within the transaction that writes the leaf's own row.
        tree: `RUNS_TREE` or `TRAIL_TREE`.
        leaf: The leaf's bytes.
        log: The log's identity.
        key: The log's private key.

    Raises:
        LedgerDamaged: The nodes do not give the root that was signed last.
        CheckpointInvalid: The last checkpoint is not signed by the log's key.
    """
    before = latest_checkpoint(connection, tree)
    size = 0 if before is None else before.tree_size
    subtrees = merkle.compact_range_of(size, partial(node, connection, tree))
    if before is not None:
        signed = open_checkpoint(before.note, [log.key], origin=log.origin_of(tree)).checkpoint
        root = merkle.root_of_compact_range(subtrees)
        if (signed.size, signed.root) != (size, root):
            raise LedgerDamaged(
                f"expected the signed root {signed.root.hex()} of {signed.size} leaves, "
                f"got {root.hex()} of {size} in the tree {tree}; nothing more is signed"
            )
    subtrees, completed = merkle.append(size, subtrees, merkle.leaf_hash(leaf))
    rows = [
        {"tree": tree, "level": new.level, "position": new.index, "hash": new.hash}
        for new in completed
    ]
    connection.execute(sa.insert(NODES), rows)
    checkpoint = Checkpoint(
        origin=log.origin_of(tree), size=size + 1, root=merkle.root_of_compact_range(subtrees)
    )
    add_checkpoint(connection, tree, size + 1, sign_checkpoint(checkpoint, key))


def add_checkpoint(connection: sa.Connection, tree: str, tree_size: int, note: bytes) -> None:
    """Store a signed checkpoint after all others."""
    last = last_checkpoint(connection)
    position, starts_at = (0, 0) if last is None else (last.position + 1, last.ends_at)
    connection.execute(
        sa.insert(CHECKPOINTS).values(
            position=position,
            tree=tree,
            tree_size=tree_size,
            note=note,
            ends_at=starts_at + len(join_notes([note])),
        )
    )


def last_checkpoint(connection: sa.Connection) -> SignedCheckpoint | None:
    """Return the checkpoint of either tree that was signed last."""
    return _first(connection, _CHECKPOINTS.order_by(CHECKPOINTS.c.position.desc()))


def latest_checkpoint(connection: sa.Connection, tree: str) -> SignedCheckpoint | None:
    """Return a tree's latest checkpoint with all cosignatures, or None if the tree is empty."""
    return _first(
        connection,
        _CHECKPOINTS.where(CHECKPOINTS.c.tree == tree).order_by(
            CHECKPOINTS.c.tree_size.desc(), CHECKPOINTS.c.position.desc()
        ),
    )


def first_checkpoint_of(
    connection: sa.Connection, tree: str, tree_size: int
) -> SignedCheckpoint | None:
    """Return the checkpoint of a size as it was signed first, without later cosignatures."""
    of_size = _CHECKPOINTS.where(CHECKPOINTS.c.tree == tree, CHECKPOINTS.c.tree_size == tree_size)
    return _first(connection, of_size.order_by(CHECKPOINTS.c.position))


def checkpoints_after(connection: sa.Connection, position: int) -> list[SignedCheckpoint]:
    """Return the checkpoints after the one at a position; after -1 are all of them."""
    query = _CHECKPOINTS.where(CHECKPOINTS.c.position > position).order_by(CHECKPOINTS.c.position)
    return [SignedCheckpoint(**row._asdict()) for row in connection.execute(query)]


def all_checkpoints(connection: sa.Connection) -> Iterator[SignedCheckpoint]:
    """Yield every checkpoint in the order of signing."""
    for row in connection.execute(_CHECKPOINTS.order_by(CHECKPOINTS.c.position)).yield_per(256):
        yield SignedCheckpoint(**row._asdict())


def node(connection: sa.Connection, tree: str, level: int, position: int) -> bytes:
    """Return the hash of a complete subtree.

    Raises:
        LedgerDamaged: The node is missing.
    """
    found = connection.execute(
        sa.select(NODES.c.hash).where(
            NODES.c.tree == tree, NODES.c.level == level, NODES.c.position == position
        )
    ).scalar()
    if found is None:
        raise LedgerDamaged(f"the tree {tree} has no node {position} of level {level}")
    return bytes(found)


_CHECKPOINTS: Final = sa.select(
    CHECKPOINTS.c.position,
    CHECKPOINTS.c.tree,
    CHECKPOINTS.c.tree_size,
    CHECKPOINTS.c.note,
    CHECKPOINTS.c.ends_at,
)


def _first(
    connection: sa.Connection, query: sa.Select[tuple[int, str, int, bytes, int]]
) -> SignedCheckpoint | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else SignedCheckpoint(**row._asdict())
