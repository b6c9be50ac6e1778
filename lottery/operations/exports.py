"""Export a run as a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from lottery.audit.bundle import verify_evidence, write_bundle
from lottery.errors import LedgerUnwritable
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity
from lottery.ledger.trail import RUN_EXPORTED, entry_now
from lottery.ledger.write_transaction import STAGING
from lottery.operations.proofs import proven_run


def export_run(ledger: Ledger, run: str, file: BinaryIO, by: Identity) -> str:
    """Write a run's bundle, which replays anywhere, once the trail has an entry of it.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        file: A seekable file.
        by: The requester.

    Returns:
        The run.

    Raises:
        RunNotFound: There is no such run.
        LedgerDamaged: Its evidence is not what was recorded.
        LedgerBusy: The trail cannot be written now.
    """
    proven = proven_run(ledger, run)
    verify_evidence(proven)
    exported = proven.record.run
    ledger.enter(entry_now(RUN_EXPORTED, exported, "exported", by))
    write_bundle(proven, file)
    return exported


def exported_parts(ledger: Ledger, run: str, by: Identity, part_bytes: int) -> Iterator[bytes]:
    """Yield a run's bundle in parts, from an unnamed file within the ledger, as `export_run`.

    Raises:
        LedgerUnwritable: The disk does not take the bundle.
    """
    try:
        with tempfile.TemporaryFile(dir=ledger.directory / STAGING) as file:
            export_run(ledger, run, file, by)
            file.seek(0)
            while part := file.read(part_bytes):
                yield part
    except OSError as error:
        raise LedgerUnwritable(f"{ledger.directory}: {error.strerror or error}") from error
