"""Verify a ledger, and cosign its latest checkpoint once its log is verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lottery.audit.verify import Progress as VerifyProgress
from lottery.audit.verify import verify
from lottery.audit.verify_log import Fault, verify_log
from lottery.errors import LedgerDamaged, LotteryError
from lottery.ledger import log, write_transaction
from lottery.ledger.commit import KEY_FILE, Ledger
from lottery.ledger.run_record import Identity
from lottery.ledger.trail import CHECKPOINT_COSIGNED, entry_now
from lottery.operations.proofs import checkpoint
from lottery.tlog.checkpoint import add_signature
from lottery.tlog.keys import SigningKey, VerifierKey

__all__ = ["Fault", "VerifyProgress", "cosign", "verify_ledger"]


def verify_ledger(
    directory: Path,
    *,
    key_file: Path | None = None,
    keys: Sequence[VerifierKey] = (),
    lock_seconds: float,
    progress: VerifyProgress | None = None,
) -> Iterator[Fault]:
    """Yield every fault of a ledger, after completing what a killed writer left.

    Args:
        directory: The ledger's directory.
        key_file: The log's private key, by default the one in the ledger; it must be there unless
            public keys are given.
        keys: Public keys known from elsewhere: the log's, and those of other signers.
        lock_seconds: How long to wait for a writer.
        progress: Called with each run.

    Raises:
        LedgerNotFound: There is no ledger.
        LedgerBusy: A writer held the lock for too long.
    """
    if write_transaction.is_unfinished(directory):
        with suppress(LotteryError, OSError):  # What cannot be completed is one of the faults.
            Ledger.open(directory, lock_seconds=lock_seconds, key=key_file).recover()
    private = None if keys else key_file or directory / KEY_FILE
    yield from verify(
        directory, key_file=private, keys=keys, lock_seconds=lock_seconds, progress=progress
    )


def cosign(ledger: Ledger, key: SigningKey, by: Identity) -> log.SignedCheckpoint:
    """Add another key's signature to the latest checkpoint, once the log is verified.

    Args:
        ledger: The ledger.
        key: The other key, such as a compliance officer's.
        by: The requester.

    Raises:
        RunNotFound: No run is recorded.
        LedgerDamaged: The log is not what was signed before.
        CheckpointInvalid: The key has signed the checkpoint already.
    """
    checkpoint(ledger)  # A ledger without a run is not an error of the log.
    with ledger.changing_log() as connection:
        checkpoint_file = ledger.directory / write_transaction.CHECKPOINT_FILE
        for fault in verify_log(connection, checkpoint_file):
            raise LedgerDamaged(f"{fault.where}: {fault.problem}; nothing is signed")
        latest = log.latest_checkpoint(connection, log.RUNS_TREE)
        assert latest is not None, "there is one above"  # noqa: S101
        note = add_signature(latest.note, key)
        log.add_checkpoint(connection, latest.tree, latest.tree_size, note)
        subject, outcome = f"{latest.tree_size} runs", f"signed by {key.verifier}"
        entry = entry_now(CHECKPOINT_COSIGNED, subject, outcome, by)
        ledger.enter_within(connection, entry)
    return checkpoint(ledger)
