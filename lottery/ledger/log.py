"""The two logs as the tables keep them: the runs' and the trail's, each an RFC 9162 tree.

A leaf, the nodes that it completes and the head signed over it are rows of one transaction.

Invariants:
- The head that is signed extends the head signed before it: its tree is that head's own edge with
  one leaf more, and that head is checked first.
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
    """Whose log it is.

    Attributes:
        origin: The log's name in its checkpoints.
        key: Its public key.
    """

    origin: str
    key: VerifierKey

    def origin_of(self, tree: str) -> str:
        """The origin line of a tree's checkpoints."""
        return self.origin if tree == RUNS_TREE else f"{self.origin}/{tree}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as it is kept.

    Attributes:
        position: Its place among all checkpoints, from 0.
        tree: Which tree's head it is.
        tree_size: Leaves that it covers.
        note: The signed note's bytes.
        ends_at: Where it ends in the checkpoint file, bytes.
    """

    position: int
    tree: str
    tree_size: int
    note: bytes
    ends_at: int


def read_log(connection: sa.Connection) -> Log:
    """Whose log it is.

    Raises:
        LedgerDamaged: That is not written down once.
        KeyUnusable: The public key written down is none.
    """
    rows = connection.execute(sa.select(LOG.c.origin, LOG.c.public_key)).all()
    if len(rows) != 1:
        raise LedgerDamaged(f"the table log has {len(rows)} rows; one is expected")
    return Log(origin=rows[0].origin, key=VerifierKey.parse(rows[0].public_key))


def append(connection: sa.Connection, tree: str, leaf: bytes, log: Log, key: SigningKey) -> None:
    """Adds a leaf to a tree, and signs its new head.

    Args:
        connection: Within the transaction that writes the leaf's own row.
        tree: `RUNS_TREE` or `TRAIL_TREE`.
        leaf: Its bytes.
        log: Whose log it is.
        key: Its private key.

    Raises:
        LedgerDamaged: The nodes kept do not give the head that was signed last.
        CheckpointInvalid: The head that was signed last is not by the log's key.
    """
    before = latest_checkpoint(connection, tree)
    size = 0 if before is None else before.tree_size
    edge = merkle.compact_range_of(size, partial(node, connection, tree))
    if before is not None:
        signed = open_checkpoint(before.note, [log.key], origin=log.origin_of(tree)).checkpoint
        root = merkle.root_of_compact_range(edge)
        if (signed.size, signed.root) != (size, root):
            raise LedgerDamaged(
                f"the tree {tree} of {size} leaves has the root {root.hex()}; signed is "
                f"{signed.root.hex()} of {signed.size}: nothing more is signed"
            )
    edge, completed = merkle.append(size, edge, merkle.leaf_hash(leaf))
    rows = [
        {"tree": tree, "level": new.level, "position": new.index, "hash": new.hash}
        for new in completed
    ]
    connection.execute(sa.insert(NODES), rows)
    checkpoint = Checkpoint(
        origin=log.origin_of(tree), size=size + 1, root=merkle.root_of_compact_range(edge)
    )
    add_checkpoint(connection, tree, size + 1, sign_checkpoint(checkpoint, key))


def add_checkpoint(connection: sa.Connection, tree: str, tree_size: int, note: bytes) -> None:
    """Keeps a signed head behind all others."""
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
    """The head that was signed last, of whichever tree."""
    return _head(connection, _HEADS.order_by(CHECKPOINTS.c.position.desc()))


def latest_checkpoint(connection: sa.Connection, tree: str) -> SignedCheckpoint | None:
    """A tree's latest head, with every signature that was added to it; None of an empty tree."""
    return _head(
        connection,
        _HEADS.where(CHECKPOINTS.c.tree == tree).order_by(
            CHECKPOINTS.c.tree_size.desc(), CHECKPOINTS.c.position.desc()
        ),
    )


def first_checkpoint_of(
    connection: sa.Connection, tree: str, tree_size: int
) -> SignedCheckpoint | None:
    """The head of a size as it was signed first, before others added their signatures."""
    return _head(
        connection,
        _HEADS.where(CHECKPOINTS.c.tree == tree, CHECKPOINTS.c.tree_size == tree_size).order_by(
            CHECKPOINTS.c.position
        ),
    )


def checkpoints_after(connection: sa.Connection, position: int) -> list[SignedCheckpoint]:
    """The heads that were signed behind the one at a position; -1 gives all of them."""
    query = _HEADS.where(CHECKPOINTS.c.position > position).order_by(CHECKPOINTS.c.position)
    return [SignedCheckpoint(**row._asdict()) for row in connection.execute(query)]


def all_checkpoints(connection: sa.Connection) -> Iterator[SignedCheckpoint]:
    """Every head, in the order of signing."""
    for row in connection.execute(_HEADS.order_by(CHECKPOINTS.c.position)).yield_per(256):
        yield SignedCheckpoint(**row._asdict())


def node(connection: sa.Connection, tree: str, level: int, position: int) -> bytes:
    """The hash of a complete subtree.

    Raises:
        LedgerDamaged: It is not there.
    """
    found = connection.execute(
        sa.select(NODES.c.hash).where(
            NODES.c.tree == tree, NODES.c.level == level, NODES.c.position == position
        )
    ).scalar()
    if found is None:
        raise LedgerDamaged(f"the tree {tree} lacks its node {position} of level {level}")
    return bytes(found)


_HEADS: Final = sa.select(
    CHECKPOINTS.c.position,
    CHECKPOINTS.c.tree,
    CHECKPOINTS.c.tree_size,
    CHECKPOINTS.c.note,
    CHECKPOINTS.c.ends_at,
)


def _head(
    connection: sa.Connection, query: sa.Select[tuple[int, str, int, bytes, int]]
) -> SignedCheckpoint | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else SignedCheckpoint(**row._asdict())
