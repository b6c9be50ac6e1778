"""What stands for a date, over all cycles: what is booked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from lottery.day.cycles import Cycle, WholeDate, add_up
from lottery.errors import RunNotFound
from lottery.ledger import evidence
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.run_record import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    RunRecord,
    Superseding,
)
from lottery.operations.answers import StandingDay

if TYPE_CHECKING:  # What formats an answer loads no ledger.
    from lottery.ledger.commit import Ledger

DAY_FILE: Final = "day.json"
"""What stands for a date, in the output."""


def standing_day(ledger: Ledger, business_date: dt.date) -> StandingDay:
    """Return what stands for a date, over all cycles.

    The last run of a date always stands. Where it has no pool, nothing is assigned, or all was
    withdrawn (N1); that is not the same as no run at all.

    Raises:
        RunNotFound: The date has no run.
        AllocationWrong: Two runs have allocated a pool to different accounts.
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    runs = runs_of(ledger, business_date)
    last = runs.counting()[-1]
    standing = runs.standing(Superseding())
    whole = whole_date(ledger, standing)
    return StandingDay(
        business_date=business_date,
        state=_state(whole.pools, last=standing[-1].state),
        runs=tuple(record.run for record in standing),
        superseded_by=runs.superseded_by(),
        last_run=last.run,
        recorded_at=last.recorded_at,
        pools=whole.pools,
        allocations=whole.allocations,
    )


def runs_of(ledger: Ledger, business_date: dt.date) -> DateRuns:
    """Return the runs of a date.

    Raises:
        RunNotFound: It has none that counts.
    """
    runs = ledger.runs_of(business_date)
    if not runs.counting():
        date = business_date.isoformat()
        which = "is approved" if runs.records else "is recorded"
        raise RunNotFound(date, f"no run {which} for {date}; lottery runs lists those that are")
    return runs


def whole_date(ledger: Ledger, standing: Iterable[RunRecord]) -> WholeDate:
    """Return the sums of some runs of a date."""
    return add_up(
        [
            Cycle(
                notices=ledger.read(record, evidence.NOTICES_FILE),
                pooling=record.method.pooling,
                pools=ledger.read(record, evidence.POOLS_FILE),
                allocations=ledger.read(record, evidence.ALLOCATIONS_FILE),
            )
            for record in standing
            if record.pool_count
        ]
    )


def day_document(day: StandingDay) -> dict[str, Any]:
    """Return what stands for a date as JSON values, without its pools and accounts."""
    return {
        "business_date": day.business_date.isoformat(),
        "state": day.state,
        "runs": list(day.runs),
        "superseded": [
            {"run": run, "superseded_by": later} for run, later in day.superseded_by.items()
        ],
        "last_run": day.last_run,
        "recorded_at": day.recorded_at,
        "pool_count": day.pool_count,
        "notice_count": day.notice_count,
        "assigned_quantity": day.assigned_quantity,
        "allocated_quantity": day.allocated_quantity,
        "break_count": len(day.breaks),
        "breaks": [asdict(broken) for broken in day.breaks],
    }


def _state(pools: pa.Table, *, last: str) -> str:
    """Return the outcome of the pools of a date; without pools it is that of the last run."""
    if not pools.num_rows:
        return last
    has_breaks = pools.column("break_reason").null_count < pools.num_rows
    return ALLOCATED_WITH_BREAKS if has_breaks else ALLOCATED
