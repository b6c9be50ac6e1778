"""What is recorded: shown, explained, replayed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.explain import PoolWorking, explain_account, explain_pool
from lottery.audit.replay import Replayed, replay
from lottery.ledger import evidence
from lottery.ledger.store import Ledger
from lottery.operations.checks import checked_series


def explain(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> list[PoolWorking]:
    """The working of one pool of a recorded run, or of every pool that an account is in.

    Args:
        ledger: The ledger.
        run: The run's id, or `latest`.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None where the series has one pool only.
        account: Instead of a series: every pool of this account, with this account alone.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool or account, or several pools and none was named.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    read = ledger.reader(record)
    if account is not None:
        return list(explain_account(record, read, account))
    return [explain_pool(record, read, checked_series(series or ""), occ_account)]


def replay_run(ledger: Ledger, run: str) -> Replayed:
    """Computes a recorded run again and compares every value.

    Raises:
        RunNotFound: There is no such run.
    """
    record = ledger.get(run)
    return replay(record, ledger.evidence_of(record))


def replay_dates(
    ledger: Ledger, *, first: dt.date | None = None, last: dt.date | None = None
) -> Iterator[Replayed]:
    """Computes every run between two dates again, both inclusive; without dates, all of them."""
    for record in ledger.iterate(first=first, last=last):
        yield replay(record, ledger.evidence_of(record))


def allocations(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> pa.Table:
    """The recorded allocations of a run, all or those of a pool or an account.

    Returns:
        `tables.ALLOCATIONS`.

    Raises:
        RunNotFound: There is no such run.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    wanted = {
        "series": None if series is None else checked_series(series),
        "occ_account": occ_account,
        "account": account,
    }
    where = None
    for name, value in wanted.items():
        if value is not None:
            match = pc.field(name) == value
            where = match if where is None else where & match
    return ledger.read(record, evidence.ALLOCATIONS_FILE, where)


def pools(ledger: Ledger, run: str) -> pa.Table:
    """The recorded pools of a run, `tables.POOLS`.

    Raises:
        RunNotFound: There is no such run.
    """
    record = ledger.get(run)
    return ledger.read(record, evidence.POOLS_FILE)


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a run's id, as `2024-09-16-001`."""
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{3,9}", text) is not None
