"""The pools that an audit page shows whole: each one's working, its ribbon, and its accounts.

Of a pool with more accounts than there is room for, those that were hit come first, with the
accounts beside them and the first and the last of the pool; how many are left out is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.explain import PoolWorking, Reader, Row, pool_working
from lottery.audit.report.ribbon import Ribbon, pool_ribbon
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord

ACCOUNTS_LISTED: Final = 6_000
"""Rows of accounts of all pools together."""
ACCOUNTS_OF_A_POOL: Final = 400
FEWEST_OF_A_POOL: Final = 20

Names = Callable[[str], str]
"""What an account is called on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What a table leaves out: how many rows, and their contracts assigned."""

    count: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPool:
    """A pool with its working.

    Attributes:
        anchor: Its place on the page.
        working: Its steps, and those of its accounts that are shown.
        ribbon: None for a break.
        hit_left_out: Of the accounts left out, those that were assigned something.
    """

    anchor: str
    working: PoolWorking
    ribbon: Ribbon | None
    hit_left_out: LeftOut


def shown_pools(
    record: RunRecord, read: Reader, pools: Sequence[Row], names: Names
) -> Iterator[ShownPool]:
    """Yields the pools' workings.

    Args:
        record: The run.
        read: Reads a table of its evidence.
        pools: Rows of `tables.POOLS`.
        names: What accounts are called.
    """
    limit = max(FEWEST_OF_A_POOL, min(ACCOUNTS_OF_A_POOL, ACCOUNTS_LISTED // max(1, len(pools))))
    allocated = [pool["series"] for pool in pools if pool["break_reason"] is None]
    broken = [pool["series"] for pool in pools if pool["break_reason"] is not None]
    rows_of = _by_pool(read, evidence.ALLOCATIONS_FILE, allocated)
    rows_of |= _by_pool(read, evidence.BROKEN_POSITIONS_FILE, broken)
    for place, pool in enumerate(pools, start=1):
        rows = rows_of.get((pool["occ_account"], pool["series"]))
        is_broken = pool["break_reason"] is not None
        if rows is None:  # Nobody is short.
            rows = pa.table({"account": pa.array([], pa.string())})
        chosen = _chosen(rows, pool, limit)
        working = pool_working(record, pool, rows.take(pa.array(chosen, pa.int64())).to_pylist())
        named = _named(working, names)  # Before the ribbon, so that labels go by the table.
        yield ShownPool(
            anchor=f"pool-{place}",
            working=named,
            ribbon=None if is_broken else _ribbon(rows, pool, names),
            hit_left_out=_hit_left_out(pool, working),
        )


def _named(working: PoolWorking, names: Names) -> PoolWorking:
    accounts = (replace(one, account=names(one.account)) for one in working.accounts)
    return replace(working, accounts=tuple(accounts))


def _hit_left_out(pool: Row, working: PoolWorking) -> LeftOut:
    if pool["break_reason"] is not None:
        return LeftOut(count=0, assigned_quantity=0)
    hit = [one.assigned_quantity for one in working.accounts if one.assigned_quantity]
    return LeftOut(
        count=pool["hit_account_count"] - len(hit),
        assigned_quantity=pool["assigned_quantity"] - sum(hit),
    )


def _ribbon(rows: pa.Table, pool: Row, names: Names) -> Ribbon:
    accounts = rows.column("account")
    return pool_ribbon(
        first_numbers=_integers(rows, "first_number"),
        last_numbers=_integers(rows, "last_number"),
        first_hit=pool["first_hit"],
        assigned_quantity=pool["assigned_quantity"],
        total_short=pool["total_short"],
        name=lambda place: names(accounts[place].as_py()),
    )


def _chosen(rows: pa.Table, pool: Row, limit: int) -> list[int]:
    """The places of the accounts that are shown, in order."""
    if rows.num_rows <= limit or pool["break_reason"] is not None:
        return list(range(min(rows.num_rows, limit)))
    hit = np.flatnonzero(_integers(rows, "assigned_quantity"))
    before = np.searchsorted(_integers(rows, "last_number")[hit], pool["first_hit"])
    in_order = np.roll(hit, -int(before))[: limit - 4].tolist()  # Room for the four beside them.
    beside = (in_order[0] - 1, in_order[-1] + 1, 0, rows.num_rows - 1)
    return sorted({*in_order, *(place for place in beside if 0 <= place < rows.num_rows)})


def _by_pool(read: Reader, name: str, series: Sequence[str]) -> dict[tuple[str, str], pa.Table]:
    """The rows of pools of these series, cut into pools: the evidence is sorted by pool."""
    if not series:
        return {}
    rows = read(name, pc.field("series").isin(sorted(set(series))))
    if not rows.num_rows:
        return {}
    rows = rows.combine_chunks().unify_dictionaries()
    labels = [rows.column(label).combine_chunks() for label in ("occ_account", "series")]
    changes = np.zeros(rows.num_rows - 1, bool)
    for label in labels:
        changes |= np.diff(label.indices.to_numpy()) != 0
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    ends = [*starts[1:], rows.num_rows]
    return {
        (labels[0][start].as_py(), labels[1][start].as_py()): rows.slice(start, end - start)
        for start, end in zip(starts, ends, strict=True)
    }


def _integers(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(rows.column(name).to_numpy(), np.int64)
