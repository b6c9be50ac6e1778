"""A second look at an allocated day, by other code than the compiled loops (rules P6, D1 to D6).

Every pool is checked before anything is recorded, so that wrong machine code cannot be: what came
in is what is kept, the ranges follow each other from 1 to the total (R3), the first hit is the
fraction's (D1, D2), and every account has what the numbers hit take from its range (D3, D4).

Not here: whether the accounts are in their order (R1), which replay computes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.allocate import Day
from lottery.day.assigned_pools import AssignedPools, Integers
from lottery.day.keys import KeyedPositions
from lottery.day.population import POOL, pool_name
from lottery.day.threads import in_threads
from lottery.errors import AllocationWrong
from lottery.method.methodology import ZeroHit
from lottery.method.seed import DENOMINATOR

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

_ROWS: Final = 1 << 16
"""Rows looked at together, which stay in the processor's cache."""
_LIMB_BITS: Final = 21
"""Sums of as many limbs as memory has room for are exact as doubles."""


def recheck(
    day: Day,
    assigned: AssignedPools,
    positions: KeyedPositions,
    *,
    ten_thousandths: int,
    zero_hit: ZeroHit,
    assigned_before: Integers | None = None,
) -> None:
    """Check an allocated day against what it was made from.

    Args:
        day: The day.
        assigned: Its pools with notices.
        positions: Their positions.
        ten_thousandths: The fraction's numerator over 10,000 (S6).
        zero_hit: The choice of D2.
        assigned_before: As for `allocate`.

    Raises:
        AllocationWrong: Something is not as the rules have it; the pool is named.
    """
    totals = _column(day.pools, "total_short")
    counts = _column(day.pools, "account_count")
    quantities = _column(day.pools, "assigned_quantity")
    is_broken = np.asarray(pc.is_valid(day.pools.column("break_reason")))
    open_counts, sums = _sums_of(positions, len(assigned))
    _expect(day, counts == open_counts, "the accounts that came in")
    _expect(day, totals == sums, "the contracts short that came in")
    _expect(day, quantities == assigned.quantities(), "the contracts of its notices")
    before = _column(day.pools, "assigned_before")
    expected_before = np.zeros_like(before) if assigned_before is None else assigned_before
    _expect(day, before == expected_before, "what was assigned before")
    _expect(
        day, is_broken == (quantities > totals - before), "a break if more is assigned than is left"
    )
    hits = day.pools.column("first_hit").fill_null(0).to_numpy()
    expected = _first_hits(totals, ten_thousandths, zero_hit)
    _expect(day, is_broken | (hits == expected), "the first hit of the fraction")
    starts = np.where(is_broken, 0, _continued(hits, before, totals))
    # The positions of allocated pools are the allocations' own.
    of_breaks = day.positions.filter(_rows_of(day, is_broken, counts))
    for table, chosen in ((day.allocations, ~is_broken), (of_breaks, is_broken)):
        _check_rows(day, table, np.flatnonzero(chosen), counts, totals, starts, quantities)


def _sums_of(positions: KeyedPositions, pool_count: int) -> tuple[Integers, Integers]:
    """Return the open accounts of each pool, and their contracts short."""
    counts, sums = np.zeros((2, pool_count), np.int64)
    for block in positions.blocks:
        is_open = block.shorts > 0
        pools, shorts = block.pools[is_open], block.shorts[is_open]
        counts += np.bincount(pools, minlength=pool_count)
        for shift in range(0, int(shorts.max(initial=0)).bit_length(), _LIMB_BITS):
            limbs = (shorts >> shift) & ((1 << _LIMB_BITS) - 1)
            sums += np.bincount(pools, limbs, pool_count).astype(np.int64) << shift
    return counts, sums


def _first_hits(totals: Integers, ten_thousandths: int, zero_hit: ZeroHit) -> Integers:
    """Return the first hit of each total: the product without its decimals (D1), or D2's."""
    whole, rest = np.divmod(totals, DENOMINATOR)
    hits = whole * ten_thousandths + rest * ten_thousandths // DENOMINATOR
    wrapped = totals if zero_hit is ZeroHit.WRAP else np.minimum(totals, 1)
    return np.where(hits == 0, wrapped, hits)


def _continued(hits: Integers, before: Integers, totals: Integers) -> Integers:
    """Return the number that each pool's contracts are assigned from: round the circle (P6, D4).

    In unsigned numbers, of which one more bit holds a number past the total.
    """
    number = hits.astype(np.uint64) + before.astype(np.uint64)
    total = totals.astype(np.uint64)
    continued: Integers = np.where(number > total, number - total, number).astype(np.int64)
    return continued


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Expected:
    """What the rows of some pools must have, which lie in a table one pool after the other.

    Attributes:
        pools: int64[k], the indices of the pools.
        ends: int64[k], the row after each one's last.
        labels: By column, the index of every pool's label in the table's dictionary.
        totals: Contracts short of every pool.
        hits: The number that its contracts are assigned from.
        before_wrap: How many are assigned up to its total (D3).
        after_wrap: How many after it, from 1 on (D4).
    """

    pools: Integers
    ends: Integers
    labels: Mapping[str, Integers]
    totals: Integers
    hits: Integers
    before_wrap: Integers
    after_wrap: Integers


def _check_rows(
    day: Day,
    table: pa.Table,
    pools: Integers,
    counts: Integers,
    totals: Integers,
    hits: Integers,
    quantities: Integers,
) -> None:
    """Check the rows of some pools, which lie in the table one pool after the other.

    Raises:
        AllocationWrong: A row is not as the rules have it.
    """
    ends = np.cumsum(counts[pools])
    if table.num_rows != (int(ends[-1]) if len(ends) else 0):
        raise AllocationWrong(f"expected {ends[-1:]} rows of positions, got {table.num_rows}")
    if not table.num_rows:
        return
    table = table.unify_dictionaries()
    before_wrap = np.minimum(quantities, totals - hits + 1)
    expected = _Expected(
        pools=pools,
        ends=ends,
        labels=_label_codes(day.pools, table),
        totals=totals,
        hits=hits,
        before_wrap=before_wrap,
        after_wrap=quantities - before_wrap,
    )
    cuts = [*range(0, table.num_rows, _ROWS), table.num_rows]
    for wrong in in_threads(partial(_first_wrong, expected, table), list(pairwise(cuts))):
        if wrong is not None:
            raise _wrong(day, wrong, "ranges and numbers hit")


def _first_wrong(expected: _Expected, table: pa.Table, start: int, end: int) -> int | None:
    """Return the pool of the first row, from `start` to before `end`, that is wrong; or None."""
    ends, totals, hits = expected.ends, expected.totals, expected.hits
    first_pool, last_pool = np.searchsorted(ends, (start, end - 1), "right")
    inside = ends[first_pool:last_pool]
    pool_of = np.repeat(
        expected.pools[first_pool : last_pool + 1], np.diff([start, *inside.tolist(), end])
    )
    rows = table.slice(start, end - start).combine_chunks()
    short = _column(rows, "short_quantity")
    right = short > 0
    for name, codes in expected.labels.items():
        right &= np.asarray(rows.column(name).chunk(0).indices) == codes[pool_of]
    if "assigned_quantity" in table.column_names:
        first, last = _column(rows, "first_number"), _column(rows, "last_number")
        before = np.zeros_like(last)
        before[1:] = last[:-1]
        # A pool begins at 1 where the one before has ended with its total.
        before[inside - start] = 0
        if start and not (first_pool and ends[first_pool - 1] == start):
            before[0] = table.column("last_number")[start - 1].as_py()
        right &= first == before + 1
        right &= last - first + 1 == short
        closes = ends[(ends > start) & (ends <= end)] - 1 - start
        right[closes] &= last[closes] == totals[pool_of[closes]]
        hit = np.minimum(last, hits[pool_of] + expected.before_wrap[pool_of] - 1)
        taken = np.maximum(0, hit - np.maximum(first, hits[pool_of]) + 1)
        taken += np.maximum(0, np.minimum(last, expected.after_wrap[pool_of]) - first + 1)
        right &= _column(rows, "assigned_quantity") == taken
    return None if right.all() else int(pool_of[np.argmin(right)])


def _rows_of(day: Day, chosen: npt.NDArray[np.bool_], counts: Integers) -> npt.NDArray[np.bool_]:
    """Return which positions of a day are of some pools.

    Raises:
        AllocationWrong: There are more or fewer positions than accounts.
    """
    rows = np.repeat(chosen, counts)
    if len(rows) != day.positions.num_rows:
        raise AllocationWrong(f"expected {len(rows)} positions, got {day.positions.num_rows}")
    return rows


def _label_codes(pools: pa.Table, table: pa.Table) -> dict[str, Integers]:
    """Return the index that each pool's OCC account and series have in a table's dictionaries."""
    return {
        name: pc.index_in(pools.column(name), value_set=table.column(name).chunk(0).dictionary)
        .fill_null(-1)
        .to_numpy()
        for name in POOL
    }


def _expect(day: Day, right: npt.NDArray[np.bool_], what: str) -> None:
    """Raise `AllocationWrong` for the first pool that is not right."""
    if not right.all():
        raise _wrong(day, int(np.argmin(right)), what)


def _wrong(day: Day, index: int, what: str) -> AllocationWrong:
    pool = day.pools.slice(index, 1).to_pylist()[0]
    name = pool_name(pool["occ_account"], pool["series"])
    return AllocationWrong(
        f"the allocation of {name} does not have {what} [D6]; nothing is recorded; "
        "the computation itself is wrong: check the machine, and report this"
    )


def _column(table: pa.Table, name: str) -> Integers:
    values: Integers = table.column(name).to_numpy()
    return values
