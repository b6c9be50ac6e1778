"""The day: every assigned pool allocated by one compiled call, or broken (rules P2, P5, D1 to D6).

Invariants (D6):
- The assigned quantities of an allocated pool add up to its notices; none exceeds its short.
- Each number is hit at most once.
- The row order of the inputs changes nothing: tables come out by occ_account, series and account.
- Every assigned pool is in `pools`, allocated or broken; no notice is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.account_keys import Integers
from lottery.day.arrange import Arrangement, split_pools
from lottery.day.assigned_pools import AssignedPool, AssignedPools, labels_in_use
from lottery.day.tables import ALLOCATIONS, BROKEN_POSITIONS, INT64_MAX, LABEL, POOLS
from lottery.day.threads import in_threads, split_rows
from lottery.method.methodology import ZeroHit

if TYPE_CHECKING:  # It imports much that only types are for.
    import numpy.typing as npt

EXCEEDS_SHORT: Final = "EXCEEDS_SHORT"
NO_POSITION: Final = "NO_POSITION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A pool that got no allocation, with both figures (D5)."""

    occ_account: str
    series: str
    reason: str
    assigned_quantity: int
    total_short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day allocated.

    Attributes:
        pools: `tables.POOLS`, every assigned pool.
        allocations: `tables.ALLOCATIONS`, every open account of every allocated pool.
        broken_positions: `tables.BROKEN_POSITIONS`, the open accounts of every broken pool.
        breaks: The broken pools, in the order of `pools`.
    """

    pools: pa.Table
    allocations: pa.Table
    broken_positions: pa.Table
    breaks: tuple[Break, ...]

    @property
    def allocated_quantity(self) -> int:
        """Contracts that found an account: the sum over the allocated pools."""
        broken = sum(broken.assigned_quantity for broken in self.breaks)
        assigned: int = sum(self.pools.column("assigned_quantity").to_pylist())
        return assigned - broken


class TotalTooLarge(Exception):
    """Pools whose shorts add up to more than 2**63 - 1.

    Attributes:
        pools: The pools.
    """

    def __init__(self, pools: list[AssignedPool]) -> None:
        self.pools = pools
        super().__init__(f"{len(pools)} pools are short more than {INT64_MAX}")


def allocate(arrangement: Arrangement, *, ten_thousandths: int, zero_hit: ZeroHit) -> Day:
    """Allocates a day.

    Args:
        arrangement: The day's rows in their pools, without doubled or wrong accounts.
        ten_thousandths: The fraction's numerator over 10,000 (S6).
        zero_hit: The choice of D2.

    Raises:
        TotalTooLarge: A pool's shorts pass 2**63 - 1.
    """
    assigned = arrangement.assigned
    spun = _spin(arrangement, ten_thousandths, zero_hit)
    overflowed = np.flatnonzero(spun.totals < 0).tolist()
    if overflowed:
        raise TotalTooLarge([assigned.pool(place) for place in overflowed])
    allocated = spun.first_hits > 0
    broken = np.flatnonzero(~allocated).tolist()
    breaks = tuple(_break_of(assigned.pool(place), spun, place) for place in broken)
    # The rows of broken pools are taken out first: closing up the others writes over them.
    broken_positions = _position_rows(
        arrangement,
        np.where(allocated, 0, spun.account_counts),
        *spun.taken(arrangement, ~allocated),
    )
    rows, shorts, first_numbers, assigned_of = spun.closed_up(arrangement, allocated)
    allocations = _position_rows(
        arrangement, np.where(allocated, spun.account_counts, 0), rows, shorts
    )
    last_numbers = rows  # They were looked up, and the memory of a large day is scarce.
    np.add(first_numbers, shorts, out=last_numbers)
    last_numbers -= 1
    outcome = (first_numbers, last_numbers, assigned_of)
    for field, values in zip(list(ALLOCATIONS)[-len(outcome) :], outcome, strict=True):
        allocations = allocations.append_column(field, [values])
    return Day(
        pools=_pool_table(assigned, spun, breaks),
        allocations=allocations,
        broken_positions=broken_positions,
        breaks=breaks,
    )


def _break_of(pool: AssignedPool, spun: _Spun, place: int) -> Break:
    return Break(
        occ_account=pool.occ_account,
        series=pool.series,
        reason=EXCEEDS_SHORT if spun.totals[place] else NO_POSITION,
        assigned_quantity=pool.assigned_quantity,
        total_short=int(spun.totals[place]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spun:
    """What `loops.allocate_pools` wrote; its docstring says the shapes."""

    totals: Integers
    first_hits: Integers
    account_counts: Integers
    hit_counts: Integers
    row_of: Integers
    short_of: Integers
    first_numbers: Integers
    assigned_of: Integers

    def taken(
        self, arrangement: Arrangement, chosen: npt.NDArray[np.bool_]
    ) -> tuple[Integers, Integers]:
        """Copies of the rows and shorts of the chosen pools' slots in use, in order."""
        slots = np.empty(int(self.account_counts[chosen].sum()), np.int64)
        loops.gather_slots(arrangement.starts, self.account_counts, chosen, slots)
        return self.row_of[slots], self.short_of[slots]

    def closed_up(
        self, arrangement: Arrangement, chosen: npt.NDArray[np.bool_]
    ) -> tuple[Integers, ...]:
        """The rows, shorts, first numbers and assigned quantities of the chosen pools' slots.

        They are moved together where they are, so that a large day has them once; two threads
        share the columns.
        """
        columns = (self.row_of, self.short_of, self.first_numbers, self.assigned_of)
        middle = len(columns) // 2

        def close_up(first: int, last: int) -> None:
            for column in columns[first:last]:
                loops.close_up(arrangement.starts, self.account_counts, chosen, column)

        in_threads(close_up, [(0, middle), (middle, len(columns))])
        in_use = int(self.account_counts[chosen].sum())
        return tuple(column[:in_use] for column in columns)


def _spin(arrangement: Arrangement, ten_thousandths: int, zero_hit: ZeroHit) -> _Spun:
    assigned = arrangement.assigned
    starts = arrangement.starts
    slot_count = int(starts[-1])
    per_pool = (np.zeros(len(assigned), np.int64) for _ in range(4))
    per_slot = (np.empty(slot_count, np.int64) for _ in range(4))
    spun = _Spun(
        totals=next(per_pool),
        first_hits=next(per_pool),
        account_counts=next(per_pool),
        hit_counts=next(per_pool),
        row_of=next(per_slot),
        short_of=next(per_slot),
        first_numbers=next(per_slot),
        assigned_of=next(per_slot),
    )
    # A sum past 2**63 - 1 exceeds every total short, as this value does: a total of as much as
    # 2**63 - 1 with such a sum is refused before (`overflowing_pools`).
    quantities = assigned.assigned()
    shorts = arrangement.positions.column("short_quantity").to_numpy()
    # By slots, so that two threads share the largest pool too.
    in_threads(
        lambda first, last: loops.gather_rows(
            starts,
            first,
            last,
            arrangement.index_bits,
            arrangement.keys,
            arrangement.rows,
            shorts,
            spun.row_of,
            spun.short_of,
        ),
        split_rows(slot_count),
    )
    in_threads(
        lambda first, last: loops.allocate_pools(
            starts,
            first,
            last,
            quantities,
            ten_thousandths,
            zero_hit is ZeroHit.FIRST,
            spun.totals,
            spun.first_hits,
            spun.account_counts,
            spun.hit_counts,
            spun.row_of,
            spun.short_of,
            spun.first_numbers,
            spun.assigned_of,
        ),
        split_pools(starts),
    )
    return spun


def _pool_table(assigned: AssignedPools, spun: _Spun, breaks: tuple[Break, ...]) -> pa.Table:
    reasons = np.full(len(assigned), None, np.object_)
    reasons[spun.first_hits == 0] = [broken.reason for broken in breaks]
    return pa.table(
        {
            "occ_account": assigned.occ_texts.take(pa.array(assigned.occ_accounts)),
            "series": assigned.series_texts.take(pa.array(assigned.series)),
            "notice_count": assigned.notice_counts,
            "assigned_quantity": assigned.assigned(),
            "total_short": spun.totals,
            "first_hit": pa.array(spun.first_hits, mask=spun.first_hits == 0),
            "account_count": spun.account_counts,
            "hit_account_count": spun.hit_counts,
            "break_reason": reasons,
        },
        POOLS,
    )


def _position_rows(
    arrangement: Arrangement, counts: Integers, rows: Integers, shorts: Integers
) -> pa.Table:
    """`tables.BROKEN_POSITIONS` of some positions, pool after pool.

    Args:
        arrangement: Where they are from.
        counts: int64[assigned], how many are of each pool.
        rows: int64[], their rows.
        shorts: int64[], their contracts.
    """
    assigned = arrangement.assigned
    return pa.table(
        {
            "occ_account": _labels(assigned.occ_texts, assigned.occ_accounts, counts),
            "series": _labels(assigned.series_texts, assigned.series, counts),
            "account": _taken(arrangement.positions.column("account"), rows),
            "short_quantity": shorts,
        },
        BROKEN_POSITIONS,
    )


def _taken(texts: pa.ChunkedArray, rows: Integers) -> pa.ChunkedArray:
    """The texts of some rows, taken by two threads."""
    parts = split_rows(len(rows))
    taken = in_threads(lambda first, last: texts.take(pa.array(rows[first:last])), parts)
    return pa.chunked_array([chunk for part in taken for chunk in part.chunks], texts.type)


def _labels(
    texts: pa.StringArray, indices: npt.NDArray[np.int32], counts: Integers
) -> pa.DictionaryArray:
    """Each pool's text as often as its count; the dictionary has the texts in use, sorted."""
    places, in_use = labels_in_use(indices[counts > 0], texts)
    repeated = np.repeat(places[indices].astype(np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(repeated), in_use).cast(LABEL)
