"""Proofs from the log: its key, its latest checkpoint, inclusion, consistency, and its trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from lottery.audit.bundle import ProvenRun
from lottery.errors import LedgerDamaged, Problem, Refused, RunNotFound
from lottery.ledger import log
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import read_record
from lottery.ledger.trail import TrailEntry
from lottery.tlog import merkle
from lottery.tlog.keys import VerifierKey, create_key_file, read_key_file
from lottery.tlog.merkle import leaf_hash
from lottery.tlog.proof import LogProof

__all__ = [
    "Inclusion",
    "PublicKeys",
    "TrailEntry",
    "VerifierKey",
    "checkpoint",
    "consistency",
    "create_key_file",
    "inclusion",
    "leaf_hash",
    "proven_run",
    "public_keys",
    "read_key_file",
    "trail",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What identifies a log.

    Attributes:
        origin: The origin line of its checkpoints.
        key: Its public key.
    """

    origin: str
    key: VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Proof that a run is in the log.

    Attributes:
        run: The run.
        canonical: The leaf: the bytes of the run's record.
        tree_size: Number of leaves in the tree.
        proof: The proof, with the checkpoint of that size.
    """

    run: str
    canonical: bytes
    tree_size: int
    proof: LogProof


def public_keys(ledger: Ledger) -> PublicKeys:
    """Return the log's origin and public key."""
    found = ledger.log()
    return PublicKeys(origin=found.origin, key=found.key)


def checkpoint(ledger: Ledger) -> log.SignedCheckpoint:
    """Return the latest checkpoint of the runs, with all of its cosignatures.

    Raises:
        RunNotFound: No run is recorded, so that nothing is signed.
    """
    with ledger.reading_log() as connection:
        latest = log.latest_checkpoint(connection, log.RUNS_TREE)
    if latest is None:
        raise RunNotFound("latest")
    return latest


def inclusion(ledger: Ledger, run: str, tree_size: int | None = None) -> Inclusion:
    """Prove that a run is in the log.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        tree_size: Number of leaves in the tree to prove it in; None for all of them.

    Raises:
        RunNotFound: There is no such run.
        Refused: The tree of that size does not have the run, or is larger than the log.
    """
    index, canonical = ledger.leaf(run)
    latest = checkpoint(ledger)
    size = latest.tree_size if tree_size is None else tree_size
    if not index < size <= latest.tree_size:
        message = (
            f"tree size must be {index + 1} to {latest.tree_size} to have entry {index}, got {size}"
        )
        raise Refused([Problem(source="tree_size", message=message)])
    with ledger.reading_log() as connection:
        signed = latest if size == latest.tree_size else _first_checkpoint(connection, size)
        proof = _proof(connection, index, signed)
    return Inclusion(
        run=read_record(canonical).run, canonical=canonical, tree_size=size, proof=proof
    )


def consistency(
    ledger: Ledger, first_size: int, second_size: int | None = None
) -> tuple[int, tuple[bytes, ...]]:
    """Prove that the log of one size is the beginning of the log of a later size.

    Returns:
        The later size, which is the latest if None was given, and the proof.

    Raises:
        Refused: The sizes are not 1 or more, in order, and at most the log's.
    """
    latest = checkpoint(ledger).tree_size
    size = latest if second_size is None else second_size
    if not 1 <= first_size <= size <= latest:
        message = f"sizes must be in order from 1 to {latest}, got {first_size} and {size}"
        raise Refused([Problem(source="first_size", message=message)])
    with ledger.reading_log() as connection:
        node_of = partial(log.node, connection, log.RUNS_TREE)
        return size, merkle.consistency_proof(first_size, size, node_of)


def proven_run(ledger: Ledger, run: str) -> ProvenRun:
    """Return a run and the proof that it is in the log, as signed when it was recorded.

    Cosignatures that were added later are left out, so that they change nothing.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.

    Raises:
        RunNotFound: There is no such run.
    """
    index, canonical = ledger.leaf(run)
    record = read_record(canonical)
    with ledger.reading_log() as connection:
        proof = _proof(connection, index, _first_checkpoint(connection, index + 1))
        key = log.read_log(connection).key
    return ProvenRun(
        record=record,
        canonical=canonical,
        directory=ledger.evidence_of(record),
        proof=proof,
        key=key,
    )


def trail(ledger: Ledger) -> Iterator[TrailEntry]:
    """Return the entries of the trail, in order."""
    return ledger.trail_entries()


def _first_checkpoint(connection: sa.Connection, size: int) -> log.SignedCheckpoint:
    """Return the checkpoint of a size without cosignatures."""
    first = log.first_checkpoint_of(connection, log.RUNS_TREE, size)
    if first is None:
        raise LedgerDamaged(
            f"expected a checkpoint of {size} leaves, got none; lottery verify says what is wrong"
        )
    return first


def _proof(connection: sa.Connection, index: int, signed: log.SignedCheckpoint) -> LogProof:
    node_of = partial(log.node, connection, log.RUNS_TREE)
    hashes = merkle.inclusion_proof(index, signed.tree_size, node_of)
    return LogProof(index=index, hashes=hashes, note=signed.note)
