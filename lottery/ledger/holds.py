"""What holds a run until somebody acknowledges it: what is possible and nearly always a mistake.

Rule H1 lists the codes. Some follow from the run, its charter and the date; the others from what is
recorded, and are looked for again under the writer's lock if the ledger has grown since.

Notices of other dates are found by an index that decides nothing: what it finds is looked up in the
evidence of the run that it names.

Invariants:
- A run that takes notices back and allocates nothing is never held (N1).
- What a message says is as true for a reader of the record years later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lottery.day.assigned_pools import pooled
from lottery.day.identifiers import expired_before
from lottery.day.population import allocated_pools, pool_name, pools_in
from lottery.errors import Held, Hold, some
from lottery.ledger import evidence
from lottery.ledger.claim import Claim
from lottery.ledger.draft import RunDraft
from lottery.ledger.entry import Charter, read_run
from lottery.ledger.evidence import Reader
from lottery.ledger.log import numbers_in
from lottery.ledger.queries import runs_of_date
from lottery.ledger.run_record import Acknowledgement, RunRecord
from lottery.ledger.schema import ENTRIES, NOTICES, RUNS
from lottery.ledger.trading_days import date_in_new_york, why_closed

STALE_VOLUMES: Final = "STALE_VOLUMES"
NOTICE_ON_ANOTHER_DATE: Final = "NOTICE_ON_ANOTHER_DATE"
SERIES_EXPIRED: Final = "SERIES_EXPIRED"
NOT_A_TRADING_DAY: Final = "NOT_A_TRADING_DAY"
FUTURE_DATE: Final = "FUTURE_DATE"
CYCLE_OUT_OF_ORDER: Final = "CYCLE_OUT_OF_ORDER"
MAY_BE_CUT_OFF: Final = "MAY_BE_CUT_OFF"
MOSTLY_BREAKS: Final = "MOSTLY_BREAKS"
ASSIGNED_EXCEEDS_OCC_SHORT: Final = "ASSIGNED_EXCEEDS_OCC_SHORT"

HOLDS: Final = frozenset(
    {
        STALE_VOLUMES,
        NOTICE_ON_ANOTHER_DATE,
        SERIES_EXPIRED,
        NOT_A_TRADING_DAY,
        FUTURE_DATE,
        CYCLE_OUT_OF_ORDER,
        MAY_BE_CUT_OFF,
        MOSTLY_BREAKS,
        ASSIGNED_EXCEEDS_OCC_SHORT,
    }
)
"""Every hold of rule H1."""

_ENTRIES_READ: Final = 64
"""Number of entries read at a time: the first that stands ends the search."""
_NAMED: Final = 3
"""How many notices or series a message names; it counts the others."""


def holds_of_run(draft: RunDraft, charter: Charter, now: dt.datetime) -> tuple[Hold, ...]:
    """Return what holds a run by itself.

    Args:
        draft: The run.
        charter: The charter in force.
        now: The present time, UTC.
    """
    return () if draft.takes_back else tuple(_holds_of_run(draft, charter, now))


def holds_by_record(
    connection: sa.Connection, read: Reader, claim: Claim, notice_keys: Sequence[int]
) -> tuple[Hold, ...]:
    """Return what holds a run because of what is recorded.

    Args:
        connection: The connection.
        read: Reads a table of a run's evidence.
        claim: The run.
        notice_keys: The keys of its notices (`log.notice_keys`).

    Raises:
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    if claim.takes_back:
        return ()
    return tuple(_holds_by_record(connection, read, claim, notice_keys))


def acknowledged(draft: RunDraft, holds: Iterable[Hold]) -> tuple[Acknowledgement, ...]:
    """Return the acknowledgement of each hold.

    Raises:
        Held: There are holds that are not acknowledged.
    """
    holds = tuple(holds)
    left = [hold for hold in holds if hold.code not in draft.acknowledged]
    if left:
        raise Held(left)
    return tuple(
        Acknowledgement(code=hold.code, message=hold.message, reason=draft.acknowledged[hold.code])
        for hold in holds
    )


def _holds_of_run(draft: RunDraft, charter: Charter, now: dt.datetime) -> Iterator[Hold]:
    date = draft.business_date
    expired = _expired(draft)
    if expired:
        yield Hold(
            code=SERIES_EXPIRED,
            message=f"{some(expired, _NAMED)} expired before {date}; check the date of the notices",
        )
    closed = why_closed(date, charter)
    if closed is not None:
        yield Hold(
            code=NOT_A_TRADING_DAY,
            message=f"{date} is not a trading day: {closed}; check the business date",
        )
    today = date_in_new_york(now)
    if date > today:
        yield Hold(
            code=FUTURE_DATE,
            message=f"{date} is after {today}, the date in New York; check the business date",
        )
    if draft.may_be_cut_off:
        yield Hold(
            code=MAY_BE_CUT_OFF,
            message=f"the last line of {some(draft.may_be_cut_off, _NAMED)} has no line end, and "
            "neither control totals nor a checksum came with it; check that it is complete",
        )
    yield from _holds_of_pools(draft)
    for code in charter.holding_warnings:
        messages = [one.message for one in draft.warnings if one.code == code]
        if messages:
            yield Hold(code=code, message=some(messages, 1))


def _holds_of_pools(draft: RunDraft) -> Iterator[Hold]:
    assigned = sum(draft.day.pools.column("assigned_quantity").to_pylist())
    broken = sum(one.assigned_quantity for one in draft.day.breaks)
    if 2 * broken > assigned:
        yield Hold(
            code=MOSTLY_BREAKS,
            message=f"{broken} of {assigned} contracts are in breaks; check that the positions are "
            "those of this date and of all accounts",
        )
    if draft.occ_shorts is not None:
        quantity = draft.day.pools.column("assigned_quantity")
        reported = draft.occ_shorts.column("occ_short").fill_null(0)
        exceeding = draft.occ_shorts.append_column("assigned", quantity).filter(
            pc.greater(quantity, reported)
        )
        if exceeding.num_rows:
            named = [
                pool_name(pool["occ_account"], pool["series"])
                + f" (assigned {pool['assigned']}, short {pool['occ_short'] or 0})"
                for pool in exceeding.slice(0, _NAMED).to_pylist()
            ]
            yield Hold(
                code=ASSIGNED_EXCEEDS_OCC_SHORT,
                message="OCC's own positions show fewer contracts short than OCC assigned: "
                f"{some(named, _NAMED, exceeding.num_rows)}; check the notices and both position "
                "files",
            )


def _holds_by_record(
    connection: sa.Connection, read: Reader, claim: Claim, notice_keys: Sequence[int]
) -> Iterator[Hold]:
    date = claim.business_date.isoformat()
    counting = runs_of_date(connection, date).counting()
    cycle_of = {record.run: record.cycle for record in counting}
    highest = max(cycle_of.values(), default=0)
    # A run that supersedes another one has its place, and so may have its cycle.
    taken_over = {cycle_of.get(run) for run in claim.superseding.runs}
    if claim.cycle not in {highest, highest + 1} | taken_over:
        expected = f"{highest} or {highest + 1}" if highest else "1"
        yield Hold(
            code=CYCLE_OUT_OF_ORDER,
            message=f"expected cycle {expected} of {date}, whose highest is {highest or 'none'}, "
            f"got {claim.cycle}; check the cycle",
        )
    composite = str(claim.seed.composite)
    others = _standing(
        connection, date, sa.select(RUNS.c.log_index).where(RUNS.c.composite == composite)
    )
    latest = next(others, None)
    if latest is not None:
        yield Hold(
            code=STALE_VOLUMES,
            message=f"the composite {claim.seed.composite:,} is that of run {latest.run} of "
            f"{latest.business_date} too; check that the volumes are those of {date}",
        )
    keys = numbers_in(connection, notice_keys)
    found = sa.select(NOTICES.c.log_index).where(NOTICES.c.notice_key.in_(keys)).distinct()
    for record in _standing(connection, date, found):
        again = _allocated_again(read, record, claim.notices)
        if again:
            yield Hold(
                code=NOTICE_ON_ANOTHER_DATE,
                message=f"run {record.run} of {record.business_date} has allocated, of the same "
                f"series and quantity, the notice{'s' if len(again) > 1 else ''} "
                f"{some(again, _NAMED)}; check that the notices are those of {date}",
            )
            break


def _standing(
    connection: sa.Connection, date: str, log_indexes: sa.Select[Any]
) -> Iterator[RunRecord]:
    """Yield the standing runs of other dates among entries, the latest date first."""
    query = (
        sa.select(ENTRIES.c.entry)
        .join(RUNS, RUNS.c.log_index == ENTRIES.c.log_index)
        .where(RUNS.c.log_index.in_(log_indexes), RUNS.c.business_date != date)
        .order_by(RUNS.c.business_date.desc(), RUNS.c.sequence.desc())
        .execution_options(yield_per=_ENTRIES_READ)
    )
    for encoded in connection.execute(query).scalars():
        record = read_run(bytes(encoded))
        runs = runs_of_date(connection, record.business_date.isoformat())
        if runs.counts(record.run) and record.run not in runs.superseded_by():
            yield record


def _allocated_again(read: Reader, record: RunRecord, notices: pa.Table) -> list[str]:
    """Return the ids of the notices that a run of another date has allocated, sorted."""
    names = ("notice_id", "series", "quantity")
    theirs = pooled(read(record, evidence.NOTICES_FILE, None), record.method.pooling)
    allocated = set(pools_in(allocated_pools(read(record, evidence.POOLS_FILE, None))))
    columns = (theirs.column(name).to_pylist() for name in ("occ_account", *names))
    known = {
        (notice_id, series, quantity)
        for occ_account, notice_id, series, quantity in zip(*columns, strict=True)
        if (occ_account, series) in allocated
    }
    ours = zip(*(notices.column(name).to_pylist() for name in names), strict=True)
    return sorted({one[0] for one in known.intersection(ours)})


def _expired(draft: RunDraft) -> list[str]:
    """Return the series of the notices that expired before the date, sorted."""
    series = draft.notices.column("series").cast(pa.string()).unique()
    return sorted(series.filter(expired_before(series, draft.business_date)).to_pylist())
