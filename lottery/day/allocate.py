"""The day: every noticed pool allocated by one compiled call, or broken (rules P2, P5, D1 to D6).

Invariants (D6):
- The assigned quantities of an allocated pool add up to its notices; none exceeds its short.
- Each number is hit at most once.
- The row order of the inputs changes nothing: tables come out by occ_account, series and account.
- Every noticed pool is in `pools`, allocated or broken; no notice is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from lottery.day import compiled
from lottery.day.accounts import Integers, read_only
from lottery.day.pools import Arrangement, NoticedPool, split_pools
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
        pools: `tables.POOLS`, every noticed pool.
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
        noticed: int = sum(self.pools.column("assigned_quantity").to_pylist())
        return noticed - broken


class TotalTooLarge(Exception):
    """Pools whose shorts add up to more than 2**63 - 1.

    Attributes:
        pools: The pools.
    """

    def __init__(self, pools: list[NoticedPool]) -> None:
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
    noticed = arrangement.noticed
    spun = _spin(arrangement, ten_thousandths, zero_hit)
    overflowed = np.flatnonzero(spun.totals < 0)
    if overflowed.size:
        raise TotalTooLarge([noticed[pool] for pool in overflowed])
    allocated = spun.first_hits > 0
    slots = spun.slots_of(arrangement.starts, allocated)
    broken_slots = spun.slots_of(arrangement.starts, ~allocated)
    breaks = tuple(
        Break(
            occ_account=noticed[pool].occ_account,
            series=noticed[pool].series,
            reason=EXCEEDS_SHORT if spun.totals[pool] else NO_POSITION,
            assigned_quantity=noticed[pool].assigned_quantity,
            total_short=int(spun.totals[pool]),
        )
        for pool in np.flatnonzero(~allocated)
    )
    return Day(
        pools=_pool_table(noticed, spun, breaks),
        allocations=_position_rows(arrangement, spun, slots, allocated)
        .append_column(ALLOCATIONS.field("first_number"), [spun.first_numbers[slots]])
        .append_column(ALLOCATIONS.field("last_number"), [spun.last_numbers[slots]])
        .append_column(ALLOCATIONS.field("assigned_quantity"), [spun.assigned_of[slots]]),
        broken_positions=_position_rows(arrangement, spun, broken_slots, ~allocated),
        breaks=breaks,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spun:
    """What `compiled.allocate_pools` wrote; its docstring says the shapes."""

    totals: Integers
    first_hits: Integers
    account_counts: Integers
    hit_counts: Integers
    row_of: Integers
    short_of: Integers
    first_numbers: Integers
    last_numbers: Integers
    assigned_of: Integers

    def slots_of(self, starts: Integers, chosen: npt.NDArray[np.bool_]) -> Integers:
        """int64[]: the slots in use of the chosen pools, in order."""
        slots = np.empty(int(self.account_counts[chosen].sum()), np.int64)
        compiled.gather_slots(starts, self.account_counts, chosen, slots)
        return slots


def _spin(arrangement: Arrangement, ten_thousandths: int, zero_hit: ZeroHit) -> _Spun:
    noticed = arrangement.noticed
    starts = arrangement.starts
    slot_count = int(starts[-1])
    per_pool = (np.zeros(len(noticed), np.int64) for _ in range(4))
    per_slot = (np.empty(slot_count, np.int64) for _ in range(5))
    spun = _Spun(
        totals=next(per_pool),
        first_hits=next(per_pool),
        account_counts=next(per_pool),
        hit_counts=next(per_pool),
        row_of=next(per_slot),
        short_of=next(per_slot),
        first_numbers=next(per_slot),
        last_numbers=next(per_slot),
        assigned_of=next(per_slot),
    )
    # A sum past 2**63 - 1 exceeds every total short, as this value does: a total of as much as
    # 2**63 - 1 with such a sum is refused before (`overflowing_pools`).
    assigned = np.array([min(pool.assigned_quantity, INT64_MAX) for pool in noticed], np.int64)
    shorts = read_only(arrangement.positions.column("short_quantity").to_numpy())
    # By slots, so that two threads share the largest pool too.
    in_threads(
        lambda first, last: compiled.gather_rows(
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
        lambda first, last: compiled.allocate_pools(
            starts,
            first,
            last,
            assigned,
            ten_thousandths,
            zero_hit is ZeroHit.FIRST,
            spun.totals,
            spun.first_hits,
            spun.account_counts,
            spun.hit_counts,
            spun.row_of,
            spun.short_of,
            spun.first_numbers,
            spun.last_numbers,
            spun.assigned_of,
        ),
        split_pools(starts),
    )
    return spun


def _pool_table(
    noticed: tuple[NoticedPool, ...], spun: _Spun, breaks: tuple[Break, ...]
) -> pa.Table:
    reasons: dict[tuple[str, str], str] = {
        (broken.occ_account, broken.series): broken.reason for broken in breaks
    }
    return pa.table(
        {
            "occ_account": [pool.occ_account for pool in noticed],
            "series": [pool.series for pool in noticed],
            "notice_count": [pool.notice_count for pool in noticed],
            "assigned_quantity": [pool.assigned_quantity for pool in noticed],
            "total_short": spun.totals,
            "first_hit": pa.array(spun.first_hits, mask=spun.first_hits == 0),
            "account_count": spun.account_counts,
            "hit_account_count": spun.hit_counts,
            "break_reason": [reasons.get((pool.occ_account, pool.series)) for pool in noticed],
        },
        POOLS,
    )


def _position_rows(
    arrangement: Arrangement, spun: _Spun, slots: Integers, chosen: npt.NDArray[np.bool_]
) -> pa.Table:
    """`tables.BROKEN_POSITIONS` rows of the chosen pools' slots."""
    rows = spun.row_of[slots]
    counts = np.where(chosen, spun.account_counts, 0)
    positions = arrangement.positions
    return pa.table(
        {
            "occ_account": _labels([pool.occ_account for pool in arrangement.noticed], counts),
            "series": _labels([pool.series for pool in arrangement.noticed], counts),
            "account": _taken(positions.column("account"), rows),
            "short_quantity": spun.short_of[slots],
        },
        BROKEN_POSITIONS,
    )


def _taken(texts: pa.ChunkedArray, rows: Integers) -> pa.ChunkedArray:
    """The texts of some rows, taken by two threads."""
    parts = split_rows(len(rows))
    taken = in_threads(lambda first, last: texts.take(pa.array(rows[first:last])), parts)
    return pa.chunked_array([chunk for part in taken for chunk in part.chunks], texts.type)


def _labels(texts: list[str], counts: npt.NDArray[Any]) -> pa.DictionaryArray:
    """Each text as often as its count; the dictionary has the texts in use, sorted."""
    used = sorted({text for text, count in zip(texts, counts, strict=True) if count})
    place = {text: index for index, text in enumerate(used)}
    indices = np.array([place.get(text, 0) for text in texts], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(indices, counts)), pa.array(used, pa.string())
    ).cast(LABEL)
