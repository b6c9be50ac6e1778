"""What is recorded of a run: its record, its allocations and its pools."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lottery.audit.explain import not_in_run, pools_of
from lottery.day.allocate import Break
from lottery.day.population import POOL, breaks_in, pool_name
from lottery.errors import PoolBroken
from lottery.ledger import evidence
from lottery.ledger.continuing import drawn_positions
from lottery.ledger.date_runs import described
from lottery.ledger.draft import RecordedRun
from lottery.ledger.entry import as_json, canonical, digest_of
from lottery.ledger.evidence import RUN_FILE, matching, write_parquet
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.ledger.run_record import (
    ALLOCATED,
    RunRecord,
    is_run_id,
)
from lottery.method.methodology import Pooling
from lottery.operations.settings import LOCK_SECONDS
from lottery.operations.validation import checked_series

if TYPE_CHECKING:  # What formats an answer loads no ledger.
    from lottery.ledger.commit import Ledger

__all__ = [
    "ALLOCATED",
    "LOCK_SECONDS",
    "RUN_FILE",
    "Break",
    "Proposal",
    "RunRecord",
    "Verdict",
    "allocations",
    "as_json",
    "brief",
    "canonical",
    "four_eyes_document",
    "is_run_id",
    "notices",
    "pool_name",
    "pools",
    "record_sha256",
    "recorded_run",
    "recorded_runs",
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
        Conflict: It is a proposal that is not approved: nobody is to take it for an allocation.
        NotInRun: The run has no such pool, or the account is in none of them.
        PoolBroken: What was asked for is a break: nothing of it is allocated (D5).
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    ledger.runs_of(record.business_date).refuse_uncounted(record.run)
    read = ledger.reader(record)
    of_pools = {"series": _padded(series), "occ_account": occ_account}
    wanted = {**of_pools, "account": account}
    where = matching(**wanted)
    rows = read(evidence.ALLOCATIONS_FILE, where)
    if rows.num_rows or where is None:
        return rows
    found = pools_of(record, read, **of_pools)
    if account is not None:
        drawn = drawn_positions(record, read, matching(series=of_pools["series"], account=account))
        found = found.join(drawn.select(POOL), list(POOL), join_type="left semi")
        if not found.num_rows:
            raise not_in_run(record, "row", **wanted)
    first = breaks_in(found.sort_by([(name, "ascending") for name in POOL]))[0]
    raise PoolBroken(
        first.reason,
        assigned_quantity=first.assigned_quantity,
        total_short=first.total_short,
        assigned_before=first.assigned_before,
    )


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
    return pools_of(record, ledger.reader(record), series=_padded(series), occ_account=occ_account)


def notices(
    ledger: Ledger, run: str, *, series: str | None = None, occ_account: str | None = None
) -> pa.Table:
    """Return the recorded notices of a run, all or those of a series or of a pool, breaks too.

    Returns:
        `tables.NOTICES`, each row with the OCC account of the notice itself.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool.
        Refused: The series is not an OSI symbol.
    """
    record = ledger.get(run)
    wanted = {"series": _padded(series), "occ_account": occ_account}
    pools_of(record, ledger.reader(record), **wanted)
    if record.method.pooling is Pooling.SERIES:  # The pool's account is not its notices' (P3).
        wanted["occ_account"] = None
    return ledger.read(record, evidence.NOTICES_FILE, matching(**wanted))


def _padded(series: str | None) -> str | None:
    return None if series is None else checked_series(series)


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
    return replace(ledger.described(record), breaks=ledger.breaks_of(record))


def recorded_runs(
    ledger: Ledger,
    *,
    first: dt.date | None = None,
    last: dt.date | None = None,
    after: str | None = None,
    newest_first: bool = False,
) -> Iterator[RecordedRun]:
    """Yield what is recorded of the runs between two dates, proposals too, without their breaks.

    Args:
        ledger: The ledger.
        first: The first date; None for the first one recorded.
        last: The last date; None for the last one recorded.
        after: The run after which to begin.
        newest_first: Whether the last run of the last date is the first.
    """
    records = ledger.iterate(first=first, last=last, after=after, newest_first=newest_first)
    for date, of_date in groupby(records, lambda record: record.business_date):
        runs, now = ledger.runs_of(date), ledger.now()
        yield from (described(runs, record, now) for record in of_date)


def summary(recorded: RecordedRun) -> Mapping[str, Any]:
    """Return what `lottery run --json` prints of a recorded run."""
    return {
        **brief(recorded),
        "already_recorded": recorded.already_recorded,
        "dry_run": recorded.is_rehearsed,
        "breaks": [asdict(broken) for broken in recorded.breaks],
    }


def brief(recorded: RecordedRun) -> Mapping[str, Any]:
    """Return what `lottery runs --json` prints of a run."""
    record = recorded.record
    return {
        "run": record.run,
        "state": recorded.state,
        "business_date": record.business_date.isoformat(),
        "cycle": record.cycle,
        "supersedes": list(record.supersedes),
        "reason": record.reason,
        "acknowledgements": [asdict(one) for one in record.acknowledgements],
        "rests_on": list(record.rests_on),
        "charter": record.charter,
        "method": record.method.id,
        "composite": str(record.seed.composite),
        "digits": record.seed.digits,
        "fraction": record.seed.fraction,
        "clearing_member": record.clearing_member,
        "pool_count": record.pool_count,
        "notice_count": record.notice_count,
        "assigned_quantity": record.assigned_quantity,
        "allocated_quantity": record.allocated_quantity,
        "break_count": record.break_count,
        "warnings": [asdict(warning) for warning in record.warnings],
        "request_id": record.request_id,
        "recorded_at": record.recorded_at,
        "superseded_by": recorded.superseded_by,
        **four_eyes_document(recorded),
    }


def four_eyes_document(recorded: RecordedRun) -> Mapping[str, Any]:
    """Return what a proposal has beside a run: until when it waits, and its verdict."""
    record, verdict = recorded.record, recorded.verdict
    if not isinstance(record, Proposal):
        return {}
    return {
        "record_sha256": record_sha256(record),
        "proposed_by": asdict(record.requested_by),
        "expires_at": record.expires_at,
        "verdict": None if verdict is None else as_json(verdict),
    }


def record_sha256(record: RunRecord) -> str:
    """Return the SHA-256 of a run's record, by which a verdict names it, hexadecimal."""
    return digest_of(canonical(record))
