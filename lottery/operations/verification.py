"""Verify a ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lottery.audit.verify import Fault
from lottery.audit.verify import Progress as VerifyProgress
from lottery.operations.ledgers import LedgerSettings
from lottery.tlog.keys import VerifierKey

__all__ = ["Fault", "VerifyProgress", "verify_ledger"]


def verify_ledger(
    settings: LedgerSettings,
    *,
    keys: Sequence[VerifierKey] = (),
    progress: VerifyProgress | None = None,
) -> Iterator[Fault]:
    """Yield every fault of a ledger."""
    del settings, keys, progress
    raise NotImplementedError
