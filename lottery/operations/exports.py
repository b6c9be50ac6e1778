"""Export a run as a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lottery.audit.bundle import verify_evidence, write_bundle
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import EXPORT
from lottery.ledger.ports import writing_to
from lottery.ledger.run_record import Identity
from lottery.operations.proofs import proven_run


def export_run(ledger: Ledger, run: str, file: BinaryIO, by: Identity) -> str:
    """Write a run's bundle, which replays anywhere, once the log has an entry of it.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        file: A seekable file.
        by: The requester.

    Returns:
        The run.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It is a proposal that is not approved.
        LedgerDamaged: Its evidence is not what was recorded.
        LedgerBusy: The log cannot be written now.
    """
    with proven_run(ledger, run) as proven:
        verify_evidence(proven)
        exported = proven.record.run
        ledger.enter(EXPORT, exported, "exported", by)
        write_bundle(proven, file)
    return exported


def exported_parts(ledger: Ledger, run: str, by: Identity, part_bytes: int) -> Iterator[bytes]:
    """Yield a run's bundle in parts, by way of a file beside the ledger's objects, as `export_run`.

    Raises:
        LedgerUnwritable: The disk does not take the bundle.
    """
    objects = ledger.ports.objects
    with (
        writing_to(objects),
        objects.staging() as staged,
        (staged / "bundle").open("x+b") as file,
    ):
        export_run(ledger, run, file, by)
        file.seek(0)
        while part := file.read(part_bytes):
            yield part
