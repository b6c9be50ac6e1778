"""Verify a ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lottery.audit.verify import Fault, Tally, Verification
from lottery.audit.verify import Progress as VerifyProgress
from lottery.errors import LotteryError
from lottery.intake.memory import UNLIMITED, DayMemory
from lottery.ledger.commit import Ledger
from lottery.operations.ledgers import LedgerSettings, open_ports
from lottery.tlog.keys import VerifierKey

__all__ = ["Fault", "Tally", "Verification", "VerifyProgress", "verify_ledger"]


def verify_ledger(
    settings: LedgerSettings,
    *,
    keys: Sequence[VerifierKey] = (),
    checkpoint: Mapping[str, bytes] | None = None,
    progress: VerifyProgress | None = None,
    memory: DayMemory = UNLIMITED.day,
) -> Verification:
    """Verify a ledger: what is returned yields every fault, and counts what it looked at.

    What is committed and not published yet is published first, as every next writer does.

    Args:
        settings: Where it is.
        keys: Public keys known from elsewhere, as an auditor has them; then no private key is
            expected here.
        checkpoint: Heads that somebody else kept, each by the name that faults give it.
        progress: Called with each run.
        memory: What the tables of each run may take.

    Raises:
        LedgerNotFound: There is no ledger.
        KeyUnusable: No key is given, and no file of the private key is named.
        LedgerBusy: A writer held the lock for too long, while faults are yielded.
        ConnectionLost: The database cannot be reached.
        LimitExceeded: A table of a run needs more memory, while faults are yielded.
    """
    ports = open_ports(settings)
    with suppress(LotteryError, OSError):  # What cannot be published is a fault below.
        Ledger(ports, key_file=Path()).publish()
    return Verification(
        ports,
        key_file=None if keys else settings.signing_key(),
        keys=keys,
        checkpoints=checkpoint,
        progress=progress,
        memory=memory,
    )
