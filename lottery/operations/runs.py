"""What is recorded of a run: its record, its allocations and its pools."""

from __future__ import annotations

from functools import reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import Break
from lottery.ledger import evidence
from lottery.ledger.commit import LOCK_SECONDS, Ledger
from lottery.ledger.evidence import RUN_FILE, write_parquet
from lottery.ledger.run_record import (
    ALLOCATED,
    GROSS,
    NET,
    RunRecord,
    is_run_id,
    summary,
)
from lottery.operations.validation import checked_series

__all__ = [
    "ALLOCATED",
    "GROSS",
    "LOCK_SECONDS",
    "NET",
    "RUN_FILE",
    "Break",
    "Ledger",
    "RunRecord",
    "allocations",
    "is_run_id",
    "pools",
    "summary",
    "write_parquet",
]


def allocations(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> pa.Table:
    """Return the recorded allocations of a run, all or those of a pool or an account.

    Returns:
        `tables.ALLOCATIONS`.

    Raises:
        RunNotFound: There is no such run.
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    wanted = {
        "series": None if series is None else checked_series(series),
        "occ_account": occ_account,
        "account": account,
    }
    matches = [pc.field(name) == value for name, value in wanted.items() if value is not None]
    rows = reduce(and_, matches) if matches else None
    return ledger.read(record, evidence.ALLOCATIONS_FILE, rows)


def pools(ledger: Ledger, run: str) -> pa.Table:
    """Return the recorded pools of a run, `tables.POOLS`.

    Raises:
        RunNotFound: There is no such run.
    """
    return ledger.read(ledger.get(run), evidence.POOLS_FILE)
