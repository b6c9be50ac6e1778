"""What happened to an account or a series over the dates, run by run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lottery.errors import Problem, Refused
from lottery.ledger import evidence
from lottery.ledger.continuing import drawn_positions
from lottery.ledger.evidence import matching
from lottery.ledger.run_record import RunRecord
from lottery.operations.answers import HistoryRow
from lottery.operations.validation import checked_series

if TYPE_CHECKING:  # What formats an answer loads no ledger.
    from lottery.ledger.commit import Ledger


def history(
    ledger: Ledger,
    *,
    account: str | None = None,
    series: str | None = None,
    first: dt.date | None = None,
    last: dt.date | None = None,
) -> Iterator[HistoryRow]:
    """Yield what the runs between two dates, both inclusive, did with an account or a series.

    One run is read at a time. Rows are in the order of the dates, of the runs within a date, and of
    the pools within a run.

    Args:
        ledger: The ledger.
        account: The account, compared digit by digit.
        series: Instead of an account: a series, padded or compact, with all of its pools.
        first: The first date; None for the first one recorded.
        last: The last date; None for the last one recorded.

    Raises:
        Refused: The series is not an OSI symbol, or it is not either an account or a series.
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    if account == "" or (account is None) == (series is None):
        got = "neither" if series is None else "both"
        message = f"expected an account or a series, got {got}"
        raise Refused([Problem(source="account", message=message)])
    padded = None if series is None else checked_series(series)
    return _rows(ledger, account, padded, ledger.iterate(first=first, last=last))


def history_document(row: HistoryRow) -> dict[str, Any]:
    """Return a row as JSON values."""
    return {**asdict(row), "business_date": row.business_date.isoformat()}


def _rows(
    ledger: Ledger, account: str | None, series: str | None, records: Iterator[RunRecord]
) -> Iterator[HistoryRow]:
    for business_date, _ in groupby(records, lambda record: record.business_date):
        runs = ledger.runs_of(business_date)
        superseded_by = runs.superseded_by()
        for record in runs.counting():
            rows = (
                _of_series(ledger, record, series)
                if account is None
                else _of_account(ledger, record, account)
            )
            for row in rows:
                yield HistoryRow(
                    business_date=business_date,
                    run=record.run,
                    cycle=record.cycle,
                    superseded_by=superseded_by.get(record.run),
                    **row,
                )


def _of_series(
    ledger: Ledger, record: RunRecord, series: str | None
) -> Iterator[Mapping[str, Any]]:
    """Yield the pools of a series in a run."""
    if not record.pool_count:
        return
    for pool in ledger.read(record, evidence.POOLS_FILE, matching(series=series)).to_pylist():
        names = ("occ_account", "series", "assigned_quantity", "break_reason")
        yield {
            **{name: pool[name] for name in names},
            "account": None,
            "short_quantity": pool["total_short"],
        }


def _of_account(ledger: Ledger, record: RunRecord, account: str) -> Iterator[Mapping[str, Any]]:
    """Yield an account's rows in a run, those in breaks too, by pool."""
    names = ("occ_account", "series", "account", "short_quantity")
    rows: list[dict[str, Any]] = []
    if record.pool_count:
        allocated = ledger.read(record, evidence.ALLOCATIONS_FILE, matching(account=account))
        rows += allocated.select([*names, "assigned_quantity"]).to_pylist()
    reasons: dict[tuple[str, str], str] = {}
    if record.break_count:
        reasons = {
            (pool.occ_account, pool.series): pool.reason for pool in ledger.breaks_of(record)
        }
        drawn = drawn_positions(record, ledger.reader(record), matching(account=account))
        rows += [
            {**row, "assigned_quantity": 0}
            for row in drawn.to_pylist()
            if (row["occ_account"], row["series"]) in reasons
        ]
    for row in sorted(rows, key=lambda row: (row["occ_account"], row["series"])):
        yield {**row, "break_reason": reasons.get((row["occ_account"], row["series"]))}
