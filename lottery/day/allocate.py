"""The day: every assigned pool allocated, or broken (rules P2, P4 to P6, R1 to R3, D1 to D6).

Invariants (D6):
- The assigned quantities of an allocated pool add up to its notices; none exceeds its short.
- Each number is hit at most once.
- The row order of the inputs changes nothing: tables come out by occ_account, series and account.
- Every assigned pool is in `pools`, allocated or broken; no notice is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.assigned_pools import (
    AssignedPool,
    AssignedPools,
    Integers,
    halves_overflow,
    labels_in_use,
)
from lottery.day.keys import KeyedPositions, words_of
from lottery.day.segments import Segments, segments_of
from lottery.day.tables import ALLOCATIONS, INT64_MAX, LABEL, POOLS, POSITIONS
from lottery.day.threads import in_threads
from lottery.method.methodology import ZeroHit

EXCEEDS_SHORT: Final = "EXCEEDS_SHORT"
NO_POSITION: Final = "NO_POSITION"

_NUMBERS: Final = ("short_quantity", "first_number", "last_number", "assigned_quantity")
_ROWS: Final = pa.schema(
    [("pool", pa.int32()), ("account", pa.string()), *((name, pa.int64()) for name in _NUMBERS)]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """An assigned pool that cannot be allocated, with both figures (D5).

    Earlier cycles of the date have assigned some of the total short if it is late notices that
    break (P6).
    """

    occ_account: str
    series: str
    reason: str
    assigned_quantity: int
    total_short: int
    assigned_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day allocated.

    Attributes:
        pools: `tables.POOLS`, every assigned pool.
        allocations: `tables.ALLOCATIONS`, every open account of every allocated pool.
        positions: `tables.POSITIONS`, every open account of every assigned pool, allocated or
            broken: what it was drawn from, each with the OCC account of its pool.
        breaks: The broken pools, in the order of `pools`.
    """

    pools: pa.Table
    allocations: pa.Table
    positions: pa.Table
    breaks: tuple[Break, ...]

    @property
    def allocated_quantity(self) -> int:
        """Contracts assigned to accounts: the sum over the allocated pools."""
        broken = sum(broken.assigned_quantity for broken in self.breaks)
        assigned: int = sum(self.pools.column("assigned_quantity").to_pylist())
        return assigned - broken


class PositionsInvalid(Exception):
    """Positions that cannot be allocated; everything that is wrong with them together.

    Attributes:
        repeated: Accounts with several rows in one pool (P4), in whatever spelling (R2): by the
            index of their pool, without leading zeros.
        too_large: Pools whose shorts add up to more than 2**63 - 1.
    """

    def __init__(
        self, *, repeated: dict[int, frozenset[str]], too_large: Sequence[AssignedPool]
    ) -> None:
        self.repeated = repeated
        self.too_large = too_large
        super().__init__(
            f"accounts are repeated in {len(repeated)} pools, "
            f"shorts add up to more than {INT64_MAX} in {len(too_large)}"
        )


def allocate(
    assigned: AssignedPools,
    positions: KeyedPositions,
    *,
    ten_thousandths: int,
    zero_hit: ZeroHit,
    assigned_before: Integers | None = None,
) -> Day:
    """Allocate a day.

    Args:
        assigned: The pools with notices; no sum of notices exceeds 2**63 - 1.
        positions: Their positions.
        ten_thousandths: The fraction's numerator over 10,000 (S6).
        zero_hit: The choice of D2.
        assigned_before: int64[pools], what earlier cycles of the date assigned from these very
            positions, at most their total; the draw continues after it (P6). None for no pool.

    Raises:
        PositionsInvalid: An account has several rows in a pool, or the shorts of a pool add up to
            more than 2**63 - 1.
    """
    segments = segments_of(len(assigned), positions)
    totals = _totals(assigned, segments)
    quantities = assigned.quantities()
    hits = np.empty(len(assigned), np.int64)
    zero_is_one = zero_hit is ZeroHit.FIRST
    loops.first_hits(totals, quantities, ten_thousandths, zero_is_one, hits)
    before = np.zeros(len(assigned), np.int64) if assigned_before is None else assigned_before
    allocated = (hits > 0) & (quantities <= totals - before)
    hit_from = np.where(allocated, continued_numbers(hits, before, totals), 0)
    rows = _open_rows(segments, totals, hit_from, quantities)
    if segments.repeated.any():
        repeated = _repeated_accounts(segments, np.flatnonzero(segments.repeated))
        raise PositionsInvalid(repeated=repeated, too_large=())
    breaks = tuple(
        Break(
            occ_account=pool.occ_account,
            series=pool.series,
            reason=break_reason(int(totals[index])),
            assigned_quantity=pool.assigned_quantity,
            total_short=int(totals[index]),
            assigned_before=int(before[index]),
        )
        for index in np.flatnonzero(~allocated).tolist()
        for pool in (assigned[index],)
    )
    reasons = np.full(len(assigned), None, np.object_)
    reasons[~allocated] = [broken.reason for broken in breaks]
    pools = pa.table(
        {
            "occ_account": assigned.occ_texts.take(pa.array(assigned.occ_accounts)),
            "series": assigned.series_texts.take(pa.array(assigned.series)),
            "notice_count": assigned.notice_counts,
            "assigned_quantity": quantities,
            "total_short": totals,
            "assigned_before": before,
            "first_hit": pa.array(hits, mask=~allocated),
            "account_count": segments.per_pool(segments.account_counts),
            "hit_account_count": segments.per_pool(segments.hit_counts),
            "break_reason": reasons,
        },
        POOLS,
    )
    is_kept = allocated[rows.column("pool").to_numpy()]
    allocations = _with_labels(rows if is_kept.all() else rows.filter(is_kept), assigned)
    every = allocations if is_kept.all() else _with_labels(rows, assigned)
    return Day(
        pools=pools,
        allocations=allocations,
        positions=every.select(POSITIONS.names),
        breaks=breaks,
    )


def continued_numbers(hits: Integers, before: Integers, totals: Integers) -> Integers:
    """Return the number that each pool's contracts are assigned from (P6): int64[pools]."""
    left = totals - hits
    return np.where(before <= left, hits + np.minimum(before, left), before - left)


def break_reason(total_short: int) -> str:
    """Return why more is assigned to a pool than its total short (D5)."""
    return EXCEEDS_SHORT if total_short else NO_POSITION


def _totals(assigned: AssignedPools, segments: Segments) -> Integers:
    """Return the contracts short of each pool, int64[pools].

    Raises:
        PositionsInvalid: A sum exceeds 2**63 - 1.
    """
    # By halves, because the sum of two segments may exceed 64 bits.
    high = segments.per_pool(segments.totals >> 32)
    low = segments.per_pool(segments.totals & 0xFFFF_FFFF)
    too_large = halves_overflow(high, low)
    too_large |= segments.per_pool((segments.totals < 0).astype(np.int64)) > 0
    if too_large.any():
        raise PositionsInvalid(
            repeated=_repeated_accounts(segments, np.arange(len(segments.totals))),
            too_large=[assigned[index] for index in np.flatnonzero(too_large).tolist()],
        )
    return (high << 32) + low


def _open_rows(
    segments: Segments, totals: Integers, hit_from: Integers, quantities: Integers
) -> pa.Table:
    """Return the open positions of all pools in order, each part as a chunk.

    Returns:
        The columns of `tables.ALLOCATIONS`, but for `pool` instead of its labels. Of a break, whose
        `hit_from` is 0, nothing is assigned.
    """
    before = segments.numbers_before()

    def chunk(first: int, last: int) -> pa.Table:
        row_count = int(segments.account_counts[first:last].sum())
        characters = int(segments.text_sizes[first:last].sum())
        pools = np.empty(row_count, np.int32)
        offsets = np.empty(row_count + 1, np.int32)
        text = np.empty(characters + loops.SLACK, np.uint8)
        values = [np.empty(row_count, np.int64) for _ in _NUMBERS]
        loops.allocate_segments(
            segments.starts,
            first,
            last,
            segments.rows,
            segments.pool_of,
            before,
            totals,
            hit_from,
            quantities,
            *segments.positions.ranks(),
            pools,
            offsets,
            text,
            words_of(text),
            *values,
            segments.hit_counts,
            segments.repeated,
        )
        texts = pa.StringArray.from_buffers(row_count, pa.py_buffer(offsets), pa.py_buffer(text))
        return pa.table(
            {"pool": pools, "account": texts, **dict(zip(_NUMBERS, values, strict=True))}
        )

    chunks = in_threads(chunk, segments.parts(segments.text_sizes))
    return pa.concat_tables(chunks) if chunks else _ROWS.empty_table()


def _with_labels(rows: pa.Table, assigned: AssignedPools) -> pa.Table:
    """Return `tables.ALLOCATIONS` of rows; the dictionaries have the labels in use, sorted."""
    pools = [chunk.to_numpy() for chunk in rows.column("pool").chunks]
    in_use = np.zeros(len(assigned), np.bool_)
    for chunk in pools:
        in_use[chunk] = True
    columns = {}
    for name, codes, texts in (
        ("occ_account", assigned.occ_accounts, assigned.occ_texts),
        ("series", assigned.series, assigned.series_texts),
    ):
        new_codes = np.zeros_like(codes)
        new_codes[in_use], texts_in_use = labels_in_use(codes[in_use], texts)
        columns[name] = pa.chunked_array(
            [pa.DictionaryArray.from_arrays(new_codes[chunk], texts_in_use) for chunk in pools],
            LABEL,
        )
    columns |= {name: rows.column(name) for name in ("account", *_NUMBERS)}
    return pa.table(columns, ALLOCATIONS)


def _repeated_accounts(segments: Segments, among: Integers) -> dict[int, frozenset[str]]:
    """Return the repeated accounts of some segments, as `PositionsInvalid` has them."""
    found: dict[int, set[str]] = {}
    for segment in among.tolist():
        rows = segments.rows[slice(*segments.starts[segment : segment + 2])]
        numbers, counts = np.unique(rows[:, 0] >> loops.LENGTH_BITS, return_counts=True)
        for number in numbers[counts > 1].tolist():
            account = segments.positions.plain_account(number)
            found.setdefault(int(segments.pool_of[segment]), set()).add(account)
    return {pool: frozenset(accounts) for pool, accounts in found.items()}
