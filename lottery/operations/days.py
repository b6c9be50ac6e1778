"""What stands for a date, over all cycles: what is booked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from lottery.day.allocate import Break
from lottery.day.cycles import Cycle, WholeDate, add_up
from lottery.day.population import POOL, allocated_pools
from lottery.errors import RunNotFound
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.reader import breaks_in
from lottery.ledger.run_record import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    RunRecord,
    Superseding,
)

DAY_FILE: Final = "day.json"
"""What stands for a date, in the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDay:
    """What stands for a date.

    Attributes:
        state: The outcome of all standing runs together; if none of them has a pool, the state of
            the last one.
        runs: The standing runs, in the order of recording.
        superseded_by: The superseded runs of the date, each with the run that supersedes it.
        last_run: The date's run that came to count last: `difference_since` takes it later.
        recorded_at: The time at which it was recorded, as its record has it.
        pools: `tables.POOLS`, as in `day.cycles.WholeDate`.
        allocations: `tables.ALLOCATIONS`.
    """

    business_date: dt.date
    state: str
    runs: tuple[str, ...]
    superseded_by: Mapping[str, str]
    last_run: str
    recorded_at: str
    pools: pa.Table
    allocations: pa.Table

    @property
    def breaks(self) -> tuple[Break, ...]:
        """The breaks whose notices no standing run has allocated."""
        return breaks_in(self.pools)

    @property
    def pool_count(self) -> int:
        """The number of assigned pools; one with a break of late notices counts once."""
        count: int = self.pools.group_by(list(POOL)).aggregate([]).num_rows
        return count

    @property
    def notice_count(self) -> int:
        """The number of notices, breaks included."""
        return sum(self.pools.column("notice_count").to_pylist())

    @property
    def assigned_quantity(self) -> int:
        """Contracts on all notices, breaks included."""
        return sum(self.pools.column("assigned_quantity").to_pylist())

    @property
    def allocated_quantity(self) -> int:
        """Contracts allocated to accounts."""
        return allocated_quantity(self.pools)


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


def allocated_quantity(pools: pa.Table) -> int:
    """Return the contracts of the pools that are not breaks: `tables.POOLS`."""
    return sum(allocated_pools(pools).column("assigned_quantity").to_pylist())


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
