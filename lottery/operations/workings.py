"""The working of recorded pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lottery.audit import wording
from lottery.audit.explain import AccountWorking, PoolWorking, explain_account, explain_pool
from lottery.day.identifiers import padded_series
from lottery.method.distribution import NumberRange
from lottery.operations.validation import checked_series

if TYPE_CHECKING:  # What works without a ledger loads none.
    from lottery.ledger.commit import Ledger

__all__ = [
    "AccountWorking",
    "NumberRange",
    "PoolWorking",
    "explain",
    "padded_series",
    "wording",
]


def explain(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> list[PoolWorking]:
    """Return the working of one pool of a recorded run, or of every pool that an account is in.

    Args:
        ledger: The ledger.
        run: The run's id, or `latest`.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None if the series has one pool only.
        account: Instead of a series: every pool of this account, with this account alone.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool or account, or several pools and none was named.
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    read = ledger.reader(record)
    if account is not None:
        return list(explain_account(record, read, account))
    return [explain_pool(record, read, checked_series(series or ""), occ_account)]
