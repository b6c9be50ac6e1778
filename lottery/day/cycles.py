"""A date as a whole: the standing runs of its cycles, added up (rules P5, P6, D5).

Not here: which runs stand (`lottery.ledger`).

Invariants:
- Where no notice is a break, the sums are those of one draw of all notices (P6).
- The assigned quantities of the pools that are not breaks add up to those of the accounts.
- A notice counts once: one that was a break and was allocated later is no break any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.assigned_pools import pooled
from lottery.day.population import Pool, allocated_pools, by_pool, pool_name, pools_in
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.errors import AllocationWrong
from lottery.method.methodology import Pooling

_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What one standing run of a date did.

    Attributes:
        notices: `tables.NOTICES`, each with its own OCC account.
        pooling: What makes a pool of them (P3).
        pools: `tables.POOLS`.
        allocations: `tables.ALLOCATIONS`.
    """

    notices: pa.Table
    pooling: Pooling = Pooling.OCC_ACCOUNT
    pools: pa.Table
    allocations: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeDate:
    """What all cycles of a date did, together.

    Attributes:
        pools: `tables.POOLS`: one row for each allocated pool, with the sums of its notices, and
            after it one row for its notices that are a break (D5), with the figures of the run
            that had them last.
        allocations: `tables.ALLOCATIONS`: one row for each account of the allocated pools, with the
            sum that it was assigned.
    """

    pools: pa.Table
    allocations: pa.Table


def add_up(cycles: Sequence[Cycle]) -> WholeDate:
    """Add up the standing runs of a date.

    Args:
        cycles: The runs that have pools, in the order of recording.

    Raises:
        AllocationWrong: Two runs have allocated a pool to different accounts.
    """
    if len(cycles) == 1:
        return WholeDate(pools=cycles[0].pools, allocations=cycles[0].allocations)
    accounts: dict[Pool, pa.Table] = {}
    for cycle in cycles:
        for pool, rows in by_pool(cycle.allocations):
            accounts[pool] = _added(pool, accounts[pool], rows) if pool in accounts else rows
    allocated: dict[Pool, _Row] = {}
    for row in chain.from_iterable(allocated_pools(cycle.pools).to_pylist() for cycle in cycles):
        first = allocated.setdefault(_pool_of(row), row)
        if first is not row:
            first["notice_count"] += row["notice_count"]
            first["assigned_quantity"] += row["assigned_quantity"]
            assigned = accounts[_pool_of(row)].column("assigned_quantity")
            first["hit_account_count"] = pc.sum(pc.greater(assigned, 0)).as_py()
    broken = _broken(cycles)
    pools = [
        row
        for pool in sorted({*allocated, *broken})
        for row in (allocated.get(pool), broken.get(pool))
        if row is not None
    ]
    tables = [accounts[pool] for pool in sorted(accounts)]
    return WholeDate(
        pools=pa.Table.from_pylist(pools, POOLS),
        allocations=pa.concat_tables(tables).combine_chunks().cast(ALLOCATIONS)
        if tables
        else ALLOCATIONS.empty_table(),
    )


def _added(pool: Pool, first: pa.Table, later: pa.Table) -> pa.Table:
    """Return the accounts of a pool with what a later cycle assigned to them as well."""
    if not first.column("account").equals(later.column("account")):
        raise AllocationWrong(
            f"expected the same accounts of {pool_name(*pool)} in every cycle, got others"
        )
    index = first.schema.get_field_index("assigned_quantity")
    sums = pc.add_checked(first.column(index), later.column(index))
    return first.set_column(index, first.schema.field(index), sums)


def _broken(cycles: Sequence[Cycle]) -> dict[Pool, _Row]:
    """Return the breaks whose notices no later run has allocated, one row a pool."""
    last_row: dict[Pool, _Row] = {}
    left: dict[str, dict[str, tuple[Pool, int]]] = {}
    for cycle in cycles:
        rows = cycle.pools.filter(pc.is_valid(cycle.pools.column("break_reason"))).to_pylist()
        now = {_pool_of(row): row for row in rows}
        last_row |= now
        for pool, occ_account, notice_id, quantity in _notices(cycle, left, now):
            same = left.setdefault(notice_id, {})
            # An id with and without an OCC account is one notice.
            for other in [one for one in same if not (one and occ_account) or one == occ_account]:
                del same[other]
            if pool in now:
                same[occ_account] = (pool, quantity)
    broken: dict[Pool, _Row] = {}
    for pool, quantity in chain.from_iterable(same.values() for same in left.values()):
        row = broken.setdefault(pool, {**last_row[pool], "notice_count": 0, "assigned_quantity": 0})
        row["notice_count"] += 1
        row["assigned_quantity"] += quantity
    return broken


def _notices(
    cycle: Cycle, ids: Iterable[str], pools: Iterable[Pool]
) -> Iterator[tuple[Pool, str, str, int]]:
    """Yield the notices of some series and those of some ids: a day has many others."""
    series = cycle.notices.column("series").cast(pa.string())
    of_series = pc.is_in(series, pa.array({series for _, series in pools}, pa.string()))
    of_ids = pc.is_in(cycle.notices.column("notice_id"), pa.array(ids, pa.string()))
    wanted = cycle.notices.filter(pc.or_(of_series, of_ids)).combine_chunks()
    names = ("occ_account", "notice_id", "quantity")
    columns = (wanted.column(name).to_pylist() for name in names)
    return zip(pools_in(pooled(wanted, cycle.pooling)), *columns, strict=True)


def _pool_of(row: _Row) -> Pool:
    return row["occ_account"], row["series"]
