"""What proves the record to others: heads, proofs, bundles, verification, a second signature."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lottery.audit.bundle import ProvenRun, verify_evidence, write_bundle
from lottery.audit.verify import Progress as VerifyProgress
from lottery.audit.verify import Trust, verify
from lottery.audit.verify_log import Fault, verify_log
from lottery.errors import (
    LedgerDamaged,
    LedgerUnwritable,
    LotteryError,
    Problem,
    Refused,
    RunNotFound,
)
from lottery.ledger import log, write_transaction
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.run_record import Identity, read_record
from lottery.ledger.trail import (
    CHECKPOINT_COSIGNED,
    RUN_EXPORTED,
    TrailEntry,
    entry_now,
)
from lottery.tlog import merkle
from lottery.tlog.checkpoint import add_signature
from lottery.tlog.keys import SigningKey, VerifierKey, create_key_file, read_key_file
from lottery.tlog.merkle import leaf_hash
from lottery.tlog.proof import LogProof

__all__ = [
    "Fault",
    "Inclusion",
    "LogProof",
    "ProvenRun",
    "PublicKeys",
    "SigningKey",
    "TrailEntry",
    "VerifierKey",
    "VerifyProgress",
    "checkpoint",
    "consistency",
    "cosign",
    "create_key_file",
    "export_run",
    "exported_parts",
    "inclusion",
    "leaf_hash",
    "proven_run",
    "public_keys",
    "read_key_file",
    "trail",
    "verify_ledger",
]


def _silent(_run: str, _place: int, _of: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """Whose log it is.

    Attributes:
        origin: The origin line of its checkpoints.
        key: Its public key.
    """

    origin: str
    key: VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """That a run is in the log.

    Attributes:
        run: The run.
        canonical: Its record's bytes: the leaf.
        tree_size: Leaves of the tree.
        proof: With the checkpoint of that size.
    """

    run: str
    canonical: bytes
    tree_size: int
    proof: LogProof


def public_keys(ledger: Ledger) -> PublicKeys:
    """The log's origin and its public key."""
    whose = ledger.log()
    return PublicKeys(origin=whose.origin, key=whose.key)


def checkpoint(ledger: Ledger) -> log.SignedCheckpoint:
    """The latest signed head of the runs, with every signature that was added to it.

    Raises:
        RunNotFound: Nothing is recorded yet, so that nothing is signed.
    """
    with ledger.reading_log() as connection:
        head = log.latest_checkpoint(connection, log.RUNS_TREE)
    if head is None:
        raise RunNotFound("latest")
    return head


def inclusion(ledger: Ledger, run: str, tree_size: int | None = None) -> Inclusion:
    """The proof that a run is in the log.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        tree_size: Leaves of the tree to prove it in; None for all of them.

    Raises:
        RunNotFound: There is no such run.
        Refused: The tree of that size does not hold it, or is larger than the log.
    """
    index, canonical = ledger.leaf(run)
    with ledger.reading_log() as connection:
        latest = log.latest_checkpoint(connection, log.RUNS_TREE)
        assert latest is not None, "a run is signed with its row"  # noqa: S101
        size = latest.tree_size if tree_size is None else tree_size
        if not index < size <= latest.tree_size:
            message = f"{size} is no size of a tree that holds entry {index} of {latest.tree_size}"
            raise Refused([Problem(source="tree_size", message=message)])
        head = latest
        if size != latest.tree_size:
            first = log.first_checkpoint_of(connection, log.RUNS_TREE, size)
            if first is None:
                raise LedgerDamaged(f"no head of {size} leaves is kept")
            head = first
        hashes = merkle.inclusion_proof(
            index,
            size,
            partial(log.node, connection, log.RUNS_TREE),
        )
    return Inclusion(
        run=read_record(canonical).run,
        canonical=canonical,
        tree_size=size,
        proof=LogProof(index=index, hashes=hashes, note=head.note),
    )


def consistency(
    ledger: Ledger, first_size: int, second_size: int | None = None
) -> tuple[int, tuple[bytes, ...]]:
    """The proof that the log of a size is the beginning of the log of a later one.

    Returns:
        The later size, which is the latest where none was given, and the proof.

    Raises:
        Refused: The sizes are not 1 or more, in order, and at most the log's.
    """
    latest = checkpoint(ledger).tree_size
    size = latest if second_size is None else second_size
    if not 1 <= first_size <= size <= latest:
        message = f"{first_size} and {size} are no two sizes, in order, of a log of {latest}"
        raise Refused([Problem(source="first_size", message=message)])
    with ledger.reading_log() as connection:
        return size, merkle.consistency_proof(
            first_size,
            size,
            partial(log.node, connection, log.RUNS_TREE),
        )


def proven_run(ledger: Ledger, run: str) -> ProvenRun:
    """A run and what proves that it is in the log, as of the head signed when it was recorded.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.

    Raises:
        RunNotFound: There is no such run.
    """
    index, canonical = ledger.leaf(run)
    record = read_record(canonical)
    proven = inclusion(ledger, record.run, index + 1)
    with ledger.reading_log() as connection:
        first = log.first_checkpoint_of(connection, log.RUNS_TREE, index + 1)
        key = log.read_log(connection).key
    assert first is not None, "a run is signed with its row"  # noqa: S101
    # The head as it was signed first, so that a signature that was added later changes nothing.
    proof = LogProof(index=index, hashes=proven.proof.hashes, note=first.note)
    return ProvenRun(
        record=record,
        canonical=canonical,
        directory=ledger.evidence_of(record),
        proof=proof,
        key=key,
    )


def export_run(ledger: Ledger, run: str, file: BinaryIO, by: Identity) -> str:
    """Writes a run's bundle, which replays anywhere; the trail says so first.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        file: Written to and sought in.
        by: Who asks.

    Returns:
        The run.

    Raises:
        RunNotFound: There is no such run.
        LedgerDamaged: Its evidence is not what was recorded.
        LedgerBusy: The trail cannot be written now.
    """
    bundled = proven_run(ledger, run)
    verify_evidence(bundled)
    exported = bundled.record.run
    ledger.enter(entry_now(RUN_EXPORTED, exported, "exported", by))
    write_bundle(bundled, file)
    return exported


def exported_parts(ledger: Ledger, run: str, by: Identity, part_bytes: int) -> Iterator[bytes]:
    """A run's bundle in parts; as `export_run`, through a file without a name in the ledger.

    Raises:
        LedgerUnwritable: There is no place for it.
    """
    try:
        with tempfile.TemporaryFile(dir=ledger.directory / write_transaction.STAGING) as file:
            export_run(ledger, run, file, by)
            file.seek(0)
            while part := file.read(part_bytes):
                yield part
    except OSError as error:
        raise LedgerUnwritable(f"{ledger.directory}: {error.strerror or error}") from error


def verify_ledger(
    directory: Path,
    *,
    key_file: Path | None = None,
    keys: Sequence[VerifierKey] = (),
    lock_seconds: float,
    progress: VerifyProgress = _silent,
) -> Iterator[Fault]:
    """Yields every fault of a ledger; what a killed writer left is completed first.

    Args:
        directory: The ledger's directory.
        key_file: The log's private key, in the ledger if None; it must be there unless public keys
            are given.
        keys: Public keys known from elsewhere: the log's, and of others who sign its heads.
        lock_seconds: How long to wait for a writer.
        progress: Told each run.

    Raises:
        LedgerNotFound: There is no ledger.
        LedgerBusy: A writer kept its lock for too long.
    """
    if write_transaction.is_unfinished(directory):
        with suppress(LotteryError, OSError):  # Otherwise it is one of the faults.
            Ledger.open(directory, lock_seconds=lock_seconds, key=key_file).recover()
    own = key_file or directory / KEY_FILE
    trust = Trust(key_file=None if keys else own, keys=tuple(keys))
    yield from verify(directory, trust, lock_seconds=lock_seconds, progress=progress)


def cosign(ledger: Ledger, key: SigningKey, by: Identity) -> log.SignedCheckpoint:
    """Adds another key's signature to the latest head, once all of the log was derived again.

    Args:
        ledger: The ledger.
        key: The other key, as a compliance officer's.
        by: Who asks.

    Raises:
        RunNotFound: Nothing is recorded yet.
        LedgerDamaged: The log is not what was signed before: nothing is signed on top of it.
        CheckpointInvalid: That key has signed it already.
    """
    checkpoint(ledger)
    with ledger.changing_log() as connection:
        faults = verify_log(
            connection, ledger.directory / write_transaction.CHECKPOINT_FILE, (), []
        )
        for fault in faults:
            raise LedgerDamaged(f"{fault.where}: {fault.problem}; nothing is signed")
        head = log.latest_checkpoint(connection, log.RUNS_TREE)
        assert head is not None, "asked above"  # noqa: S101
        log.add_checkpoint(connection, head.tree, head.tree_size, add_signature(head.note, key))
        entry = entry_now(
            CHECKPOINT_COSIGNED, f"{head.tree_size} runs", f"signed by {key.verifier}", by
        )
        ledger.enter_within(connection, entry)
    return checkpoint(ledger)


def trail(ledger: Ledger) -> Iterator[TrailEntry]:
    """Who did what when, in order."""
    return ledger.trail_entries()
