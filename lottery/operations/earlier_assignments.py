"""Gross positions: what earlier runs of the date assigned (the contract's ledger rule 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import EARLIER_ASSIGNMENTS
from lottery.day.taken_off import Unmatched
from lottery.intake.sources import Received
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord
from lottery.operations.validation import pool_name

_POOL: Final = ["occ_account", "series"]


def assigned_before(
    ledger: Ledger, standing: Sequence[RunRecord], pools: pa.Table
) -> tuple[tuple[str, ...], pa.Table]:
    """What runs assigned in some pools.

    Args:
        ledger: Where they are recorded.
        standing: The runs.
        pools: `tables.POOLS`, the pools that matter.

    Returns:
        The runs that assigned something there, and `occ_account`, `series`, `account` and
        `assigned_quantity`, one row for an account of a pool.

    Raises:
        LedgerDamaged: The evidence of one is not what was recorded.
    """
    wanted = pools.select(_POOL)
    was_assigned = (pc.field("assigned_quantity") > 0) & pc.field("series").isin(
        wanted.column("series").combine_chunks()
    )
    runs, parts = [], [EARLIER_ASSIGNMENTS.empty_table()]
    for record in standing:
        rows = ledger.read(record, evidence.ALLOCATIONS_FILE, was_assigned)
        in_pools = (
            rows.select(EARLIER_ASSIGNMENTS.names)
            .cast(EARLIER_ASSIGNMENTS)
            .join(wanted, _POOL, None, "inner")
        )
        if in_pools.num_rows:
            runs.append(record.run)
            parts.append(in_pools.select(EARLIER_ASSIGNMENTS.names))
    summed = (
        pa.concat_tables(parts)
        .group_by([*_POOL, "account"])
        .aggregate([("assigned_quantity", "sum")])
        .rename_columns(EARLIER_ASSIGNMENTS.names)
    )
    return tuple(runs), summed


def refuse_unmatched(positions: Received, unmatched: Iterable[Unmatched]) -> None:
    """Refuses positions that cannot be gross: an account has less than it was assigned before."""
    for account in unmatched:
        told = (
            f"account {account.account} of {pool_name(account.occ_account, account.series)} was "
            f"assigned {account.assigned_quantity} before on this date"
        )
        if account.row is None:
            positions.places[0].refuse(f"{told} and has no position: these are not gross")
            continue
        place, row = positions.place_of(account.row)
        place.refuse_row(
            row,
            f"{told} and is short {account.short_quantity}: these are not gross",
            column="short_quantity",
        )
