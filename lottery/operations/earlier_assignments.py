"""Gross positions: what earlier runs assigned on the date and must be taken off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import EARLIER_ASSIGNMENTS
from lottery.day.taken_off import Unmatched
from lottery.errors import ProblemCollector, Problems
from lottery.intake.positions import ReceivedPositions
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import RunRecord
from lottery.operations.validation import pool_name

_POOL: Final = ["occ_account", "series"]


def assigned_before(
    ledger: Ledger, standing: Sequence[RunRecord], pools: pa.Table
) -> tuple[tuple[str, ...], pa.Table]:
    """Add up what runs assigned in given pools.

    Args:
        ledger: The ledger of the runs.
        standing: The standing runs of the date.
        pools: `tables.POOLS`.

    Returns:
        The runs that assigned contracts there, and `tables.EARLIER_ASSIGNMENTS`, one row for each
        account of a pool.

    Raises:
        LedgerDamaged: The evidence of a run is not what was recorded.
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


def unmatched_problems(positions: ReceivedPositions, unmatched: Iterable[Unmatched]) -> Problems:
    """Return a problem for each gross position that is less than was assigned earlier."""
    found = ProblemCollector()
    for account in unmatched:
        assigned = (
            f"account {account.account} of {pool_name(account.occ_account, account.series)} was "
            f"assigned {account.assigned_quantity} earlier on this date"
        )
        if account.row is None:
            message = f"{assigned} but has no position; gross positions include it"
            found.add(positions.locator.problem(message))
        else:
            message = (
                f"{assigned} but is short {account.short_quantity}; gross positions include it"
            )
            found.add(positions.row_problem(account.row, message, column="short_quantity"))
    return found.problems()
