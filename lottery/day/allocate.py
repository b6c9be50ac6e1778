"""The day: every assigned pool allocated, or broken (rules P2, P5, D1 to D6).

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

if TYPE_CHECKING:  # It imports much that only types need.
    import numpy.typing as npt

EXCEEDS_SHORT: Final = "EXCEEDS_SHORT"
NO_POSITION: Final = "NO_POSITION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """An assigned pool that cannot be allocated, with both figures (D5)."""

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
        """Contracts assigned to accounts: the sum over the allocated pools."""
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
        super().__init__(f"total short must be up to {INT64_MAX}, exceeded by {len(pools)} pools")


def allocate(arrangement: Arrangement, *, ten_thousandths: int, zero_hit: ZeroHit) -> Day:
    """Allocate a day.

    Args:
        arrangement: The day's rows in their pools, without repeated or invalid accounts.
        ten_thousandths: The fraction's numerator over 10,000 (S6).
        zero_hit: The choice of D2.

    Raises:
        TotalTooLarge: A pool's shorts add up to more than 2**63 - 1.
    """
    pools = arrangement.pools
    result = _allocate_pools(arrangement, ten_thousandths, zero_hit)
    overflowed = np.flatnonzero(result.totals < 0).tolist()
    if overflowed:
        raise TotalTooLarge([pools[index] for index in overflowed])
    allocated = result.first_hits > 0
    breaks = tuple(
        _break_of(pools[index], int(result.totals[index]))
        for index in np.flatnonzero(~allocated).tolist()
    )
    # The rows of broken pools are copied first: closing up the others writes over them.
    broken_positions = _position_rows(
        arrangement,
        np.where(allocated, 0, result.account_counts),
        *result.copied(arrangement, ~allocated),
    )
    rows, shorts, first_numbers, assigned_of = result.closed_up(arrangement, allocated)
    allocations = _position_rows(
        arrangement, np.where(allocated, result.account_counts, 0), rows, shorts
    )
    last_numbers = rows  # These have been used, and the memory of a large day is scarce.
    np.add(first_numbers, shorts, out=last_numbers)
    last_numbers -= 1
    outcome = (first_numbers, last_numbers, assigned_of)
    for field, values in zip(list(ALLOCATIONS)[-len(outcome) :], outcome, strict=True):
        allocations = allocations.append_column(field, [values])
    return Day(
        pools=_pool_table(pools, result, breaks),
        allocations=allocations,
        broken_positions=broken_positions,
        breaks=breaks,
    )


def break_reason(total_short: int) -> str:
    """Return why more is assigned to a pool than its total short (D5)."""
    return EXCEEDS_SHORT if total_short else NO_POSITION


def _break_of(pool: AssignedPool, total_short: int) -> Break:
    return Break(
        occ_account=pool.occ_account,
        series=pool.series,
        reason=break_reason(total_short),
        assigned_quantity=pool.assigned_quantity,
        total_short=total_short,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _AllocatedPools:
    """What `loops.allocate_pools` wrote; its docstring gives the shapes."""

    totals: Integers
    first_hits: Integers
    account_counts: Integers
    hit_counts: Integers
    row_of: Integers
    short_of: Integers
    first_numbers: Integers
    assigned_of: Integers

    def copied(
        self, arrangement: Arrangement, chosen: npt.NDArray[np.bool_]
    ) -> tuple[Integers, Integers]:
        """Return copies of the rows and shorts of the chosen pools' open accounts, in order."""
        indices = np.empty(int(self.account_counts[chosen].sum()), np.int64)
        loops.list_indices(arrangement.starts, self.account_counts, chosen, indices)
        return self.row_of[indices], self.short_of[indices]

    def closed_up(
        self, arrangement: Arrangement, chosen: npt.NDArray[np.bool_]
    ) -> tuple[Integers, ...]:
        """Return rows, shorts, first numbers and assigned quantities of the chosen pools.

        They are moved within their arrays, so that a large day has them once; two threads share the
        columns.
        """
        columns = (self.row_of, self.short_of, self.first_numbers, self.assigned_of)
        middle = len(columns) // 2

        def close_up(first: int, last: int) -> None:
            for column in columns[first:last]:
                loops.close_up(arrangement.starts, self.account_counts, chosen, column)

        in_threads(close_up, [(0, middle), (middle, len(columns))])
        in_use = int(self.account_counts[chosen].sum())
        return tuple(column[:in_use] for column in columns)


def _allocate_pools(
    arrangement: Arrangement, ten_thousandths: int, zero_hit: ZeroHit
) -> _AllocatedPools:
    starts = arrangement.starts
    row_count = int(starts[-1])
    per_pool = (np.zeros(len(arrangement.pools), np.int64) for _ in range(4))
    per_row = (np.empty(row_count, np.int64) for _ in range(4))
    result = _AllocatedPools(
        totals=next(per_pool),
        first_hits=next(per_pool),
        account_counts=next(per_pool),
        hit_counts=next(per_pool),
        row_of=next(per_row),
        short_of=next(per_row),
        first_numbers=next(per_row),
        assigned_of=next(per_row),
    )
    # A sum beyond 2**63 - 1 exceeds every total short, as this value does: a total of as much as
    # 2**63 - 1 with such a sum is refused before (`AssignedPools.overflowing`).
    quantities = arrangement.pools.quantities()
    shorts = arrangement.positions.column("short_quantity").to_numpy()
    # By rows, so that two threads share the largest pool too.
    in_threads(
        lambda first, last: loops.look_up_rows(
            starts,
            first,
            last,
            arrangement.index_bits,
            arrangement.keys,
            arrangement.rows,
            shorts,
            result.row_of,
            result.short_of,
        ),
        split_rows(row_count),
    )
    in_threads(
        lambda first, last: loops.allocate_pools(
            starts,
            first,
            last,
            quantities,
            ten_thousandths,
            zero_hit is ZeroHit.FIRST,
            result.totals,
            result.first_hits,
            result.account_counts,
            result.hit_counts,
            result.row_of,
            result.short_of,
            result.first_numbers,
            result.assigned_of,
        ),
        split_pools(starts),
    )
    return result


def _pool_table(
    pools: AssignedPools, result: _AllocatedPools, breaks: tuple[Break, ...]
) -> pa.Table:
    broken = result.first_hits == 0
    reasons = np.full(len(pools), None, np.object_)
    reasons[broken] = [each.reason for each in breaks]
    return pa.table(
        {
            "occ_account": pools.occ_texts.take(pa.array(pools.occ_accounts)),
            "series": pools.series_texts.take(pa.array(pools.series)),
            "notice_count": pools.notice_counts,
            "assigned_quantity": pools.quantities(),
            "total_short": result.totals,
            "first_hit": pa.array(result.first_hits, mask=broken),
            "account_count": result.account_counts,
            "hit_account_count": result.hit_counts,
            "break_reason": reasons,
        },
        POOLS,
    )


def _position_rows(
    arrangement: Arrangement, counts: Integers, rows: Integers, shorts: Integers
) -> pa.Table:
    """Return `tables.BROKEN_POSITIONS` of some positions, pool after pool.

    Args:
        arrangement: The arrangement that they are from.
        counts: int64[pools], how many are of each pool.
        rows: int64[], their rows.
        shorts: int64[], their short quantities.
    """
    pools = arrangement.pools
    return pa.table(
        {
            "occ_account": _labels(pools.occ_texts, pools.occ_accounts, counts),
            "series": _labels(pools.series_texts, pools.series, counts),
            "account": _taken(arrangement.positions.column("account"), rows),
            "short_quantity": shorts,
        },
        BROKEN_POSITIONS,
    )


def _taken(texts: pa.ChunkedArray, rows: Integers) -> pa.ChunkedArray:
    """Return the texts of some rows, taken by two threads."""
    parts = split_rows(len(rows))
    taken = in_threads(lambda first, last: texts.take(pa.array(rows[first:last])), parts)
    return pa.chunked_array([chunk for part in taken for chunk in part.chunks], texts.type)


def _labels(
    texts: pa.StringArray, indices: npt.NDArray[np.int32], counts: Integers
) -> pa.DictionaryArray:
    """Return each pool's text as often as its count; the dictionary has those in use, sorted."""
    new_index, in_use = labels_in_use(indices[counts > 0], texts)
    repeated = np.repeat(new_index[indices].astype(np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(repeated), in_use).cast(LABEL)
