"""What is recorded of a run: its record, its allocations and its pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import Break
from lottery.day.population import POOL
from lottery.errors import NotInRun, PoolBroken, quote
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.draft import RecordedRun
from lottery.ledger.entry import as_json, canonical
from lottery.ledger.evidence import RUN_FILE, write_parquet
from lottery.ledger.run_record import (
    ALLOCATED,
    RunRecord,
    is_run_id,
)
from lottery.operations.ledgers import LOCK_SECONDS
from lottery.operations.validation import checked_series

__all__ = [
    "ALLOCATED",
    "LOCK_SECONDS",
    "RUN_FILE",
    "Break",
    "Ledger",
    "RunRecord",
    "allocations",
    "as_json",
    "brief",
    "canonical",
    "is_run_id",
    "pools",
    "recorded_run",
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
        NotInRun: The run has no such pool, or the account is in none of them.
        PoolBroken: What was asked for is a break: nothing of it is allocated (D5).
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    of_pools = _matching(series, occ_account)
    of_account = {**of_pools, **({} if account is None else {"account": account})}
    rows = ledger.read(record, evidence.ALLOCATIONS_FILE, _expression(of_account))
    if of_account and not rows.num_rows:
        found = pools(ledger, run, series=series, occ_account=occ_account)
        if account is not None:
            broken = ledger.read(record, evidence.BROKEN_POSITIONS_FILE, _expression(of_account))
            if not broken.num_rows:
                raise NotInRun(f"run {record.run} has no row of {_words(of_account)}")
            found = found.join(broken.select(POOL), list(POOL), join_type="left semi")
        pool = found.sort_by([(name, "ascending") for name in POOL]).to_pylist()[0]
        figures = ("assigned_quantity", "total_short", "assigned_before")
        raise PoolBroken(pool["break_reason"], **{name: pool[name] for name in figures})
    return rows


def pools(
    ledger: Ledger, run: str, *, series: str | None = None, occ_account: str | None = None
) -> pa.Table:
    """Return the recorded pools of a run, all or those of a series or an OCC account.

    Returns:
        `tables.POOLS`.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool.
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    wanted = _matching(series, occ_account)
    rows = ledger.read(record, evidence.POOLS_FILE, _expression(wanted))
    if wanted and not rows.num_rows:
        raise NotInRun(f"run {record.run} has no pool of {_words(wanted)}")
    return rows


def _matching(series: str | None, occ_account: str | None) -> dict[str, str]:
    """Return the columns that are asked for, with their values."""
    asked = {
        "series": None if series is None else checked_series(series),
        "occ_account": occ_account,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _expression(wanted: Mapping[str, str]) -> pc.Expression | None:
    matches = [pc.field(name) == value for name, value in wanted.items()]
    return reduce(and_, matches) if matches else None


def _words(wanted: Mapping[str, str]) -> str:
    names = {"occ_account": "OCC account"}
    return ", ".join(f"{names.get(name, name)} {quote(value)}" for name, value in wanted.items())


def recorded_run(ledger: Ledger, run: str) -> RecordedRun:
    """Return what is recorded of a run, with its breaks.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.

    Raises:
        RunNotFound: There is no such run.
        LedgerDamaged: Its evidence is not what was recorded.
    """
    record = ledger.get(run)
    return RecordedRun(
        record=record,
        already_recorded=True,
        superseded_by=ledger.superseded_by(record.run),
        breaks=ledger.breaks_of(record),
    )


def summary(recorded: RecordedRun) -> Mapping[str, Any]:
    """Return what `lottery run --json` prints of a recorded run."""
    return {
        **brief(recorded.record, recorded.superseded_by),
        "already_recorded": recorded.already_recorded,
        "breaks": [asdict(broken) for broken in recorded.breaks],
    }


def brief(record: RunRecord, superseded_by: str | None) -> Mapping[str, Any]:
    """Return what `lottery runs --json` prints of a run.

    Args:
        record: Its record.
        superseded_by: The run that supersedes it, or None.
    """
    return {
        "run": record.run,
        "state": record.state,
        "business_date": record.business_date.isoformat(),
        "cycle": record.cycle,
        "supersedes": list(record.supersedes),
        "reason": record.reason,
        "rests_on": list(record.rests_on),
        "charter": record.charter,
        "method": record.method.id,
        "composite": str(record.seed.composite),
        "digits": record.seed.digits,
        "fraction": record.seed.fraction,
        "pool_count": record.pool_count,
        "notice_count": record.notice_count,
        "assigned_quantity": record.assigned_quantity,
        "allocated_quantity": record.allocated_quantity,
        "break_count": record.break_count,
        "warnings": [asdict(warning) for warning in record.warnings],
        "request_id": record.request_id,
        "recorded_at": record.recorded_at,
        "superseded_by": superseded_by,
    }
