"""Proofs from the log: its key, its latest checkpoint, inclusion, consistency, and its trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from lottery.audit.bundle import ProvenApproval, ProvenRun
from lottery.errors import Problem, Refused
from lottery.ledger import log, queries
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Entry, as_json, read_run
from lottery.ledger.publish import witnessed_name
from lottery.operations.standing import PublicKeys
from lottery.tlog import merkle
from lottery.tlog.keys import VerifierKey, create_key_file, read_key_file
from lottery.tlog.merkle import leaf_hash
from lottery.tlog.proof import LogProof

__all__ = [
    "Entry",
    "Inclusion",
    "SignedHead",
    "VerifierKey",
    "as_json",
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
class Inclusion:
    """Proof that a run is in the log.

    Attributes:
        run: The run.
        canonical: The leaf: the bytes of the run's record.
        tree_size: Number of entries in the tree.
        proof: The proof, with the checkpoint of that size.
    """

    run: str
    canonical: bytes
    tree_size: int
    proof: LogProof


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The signed head of the log.

    Attributes:
        tree_size: Number of entries.
        note: The signed note, with the cosignatures of witnesses if it has them.
        key: The key that signed it; that of the next head is another one after a `key` entry.
    """

    tree_size: int
    note: bytes
    key: VerifierKey


def public_keys(ledger: Ledger) -> PublicKeys:
    """Return the log's origin and the public key that signs its next head."""
    found = ledger.log()
    return PublicKeys(origin=found.origin, key=found.key)


def checkpoint(ledger: Ledger) -> SignedHead:
    """Return the latest head."""
    with ledger.reading() as connection:
        size = log.read_size(connection)
        return SignedHead(
            tree_size=size,
            note=_note(ledger, connection, size),
            key=log.read_log(connection).key_of(size),
        )


def inclusion(ledger: Ledger, run: str, tree_size: int | None = None) -> Inclusion:
    """Prove that a run is in the log.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        tree_size: Number of entries in the tree to prove it in; None for all of them.

    Raises:
        RunNotFound: There is no such run.
        Refused: The tree of that size does not have the run, or is larger than the log.
    """
    with ledger.reading() as connection:
        index, canonical = queries.stored_leaf(connection, run)
        latest = log.read_size(connection)
        size = latest if tree_size is None else tree_size
        if not index < size <= latest:
            message = f"tree size must be {index + 1} to {latest} to have entry {index}, got {size}"
            raise Refused([Problem(source="tree_size", message=message)])
        proof = _proof(ledger, connection, index, size)
    return Inclusion(run=read_run(canonical).run, canonical=canonical, tree_size=size, proof=proof)


def consistency(
    ledger: Ledger, first_size: int, second_size: int | None = None
) -> tuple[int, tuple[bytes, ...]]:
    """Prove that the log of one size is the beginning of the log of a later size.

    Returns:
        The later size, which is the latest if None was given, and the proof.

    Raises:
        Refused: The sizes are not 1 or more, in order, and at most the log's.
    """
    with ledger.reading() as connection:
        latest = log.read_size(connection)
        size = latest if second_size is None else second_size
        if not 1 <= first_size <= size <= latest:
            message = f"sizes must be in order from 1 to {latest}, got {first_size} and {size}"
            wrong = "first_size" if 1 <= size <= latest else "second_size"
            raise Refused([Problem(source=wrong, message=message)])
        return size, log.consistency_proof(connection, first_size, size)


@contextmanager
def proven_run(ledger: Ledger, run: str) -> Iterator[ProvenRun]:
    """Open a run's evidence, with the proof that it is in the log as signed when it came to count.

    That is when it was recorded, or approved: of both entries there is the proof to that one head.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It is a proposal that is not approved: what leaves the ledger counts.
    """
    with ledger.reading() as connection:
        index, canonical = queries.stored_leaf(connection, run)
        record = read_run(canonical)
        stored = queries.stored_approval(connection, record.run)
        size = (index if stored is None else stored[0]) + 1
        proof = _proof(ledger, connection, index, size)
        approval = None
        if stored is not None:
            at, encoded = stored
            approval = ProvenApproval(canonical=encoded, proof=_proof(ledger, connection, at, size))
        key = log.read_log(connection).key_of(size)
    ledger.runs_of(record.business_date).refuse_uncounted(record.run)
    with ledger.evidence_of(record) as directory:
        yield ProvenRun(
            record=record,
            canonical=canonical,
            directory=directory,
            proof=proof,
            key=key,
            approval=approval,
        )


def trail(ledger: Ledger) -> Iterator[Entry]:
    """Return the entries that are not of a run, in order."""
    return ledger.trail()


def _note(ledger: Ledger, connection: sa.Connection, size: int) -> bytes:
    """Return the head of a size, with its cosignatures if there are any."""
    try:
        return ledger.ports.objects.get(witnessed_name(size))
    except OSError:
        return log.note_of(connection, size)


def _proof(ledger: Ledger, connection: sa.Connection, index: int, size: int) -> LogProof:
    hashes = merkle.inclusion_proof(index, size, log.node_reader(connection, size, index))
    return LogProof(index=index, hashes=hashes, note=_note(ledger, connection, size))
