"""The day: every assigned pool allocated, or broken (rules P2, P4, P5, R1 to R3, D1 to D6).

Invariants (D6):
- The assigned quantities of an allocated pool add up to its notices; none exceeds its short.
- Each number is hit at most once.
- The row order of the inputs changes nothing: tables come out by occ_account, series and account.
- Every assigned pool is in `pools`, allocated or broken; no notice is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.assigned_pools import AssignedPool, AssignedPools, Integers, labels_in_use
from lottery.day.keys import KeyedPositions, ranked, words_of
from lottery.day.tables import ALLOCATIONS, BROKEN_POSITIONS, INT64_MAX, LABEL, POOLS
from lottery.day.threads import THREADS, in_threads, split_rows, split_sizes
from lottery.method.methodology import ZeroHit

if TYPE_CHECKING:  # It imports much that only types are for.
    import numpy.typing as npt

EXCEEDS_SHORT: Final = "EXCEEDS_SHORT"
NO_POSITION: Final = "NO_POSITION"

_GIANT_ROWS: Final = 1 << 16
"""A pool of that many rows or more is cut into segments, so that threads share it."""
_SEGMENT_ROWS: Final = 1 << 13
"""Rows of a segment, about: their keys are sorted within the processor's cache."""
_SAMPLED: Final = 64
"""One row of so many is looked at to choose where a giant pool is cut."""
_PART_CHARACTERS: Final = 1 << 30
"""Most characters of accounts in one array: Arrow counts them in 31 bits."""


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
) -> Day:
    """Allocate a day.

    Args:
        assigned: The pools with notices; no sum of notices exceeds 2**63 - 1.
        positions: Their positions.
        ten_thousandths: The fraction's numerator over 10,000 (S6).
        zero_hit: The choice of D2.

    Raises:
        PositionsInvalid: An account has several rows in a pool, or the shorts of a pool add up to
            more than 2**63 - 1.
    """
    segments = _segments(len(assigned), positions)
    totals = _totals(assigned, segments)
    quantities = assigned.quantities()
    hits = np.empty(len(assigned), np.int64)
    zero_is_one = zero_hit is ZeroHit.FIRST
    loops.first_hits(totals, quantities, ten_thousandths, zero_is_one, hits)
    allocated = hits > 0
    write = _Writer(
        assigned=assigned,
        segments=segments,
        numbers_before=segments.numbers_before(),
        totals=totals,
        hits=hits,
        quantities=quantities,
    )
    allocations = write.table(allocated, ALLOCATIONS)
    broken_positions = write.table(~allocated, BROKEN_POSITIONS)
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
            "first_hit": pa.array(hits, mask=~allocated),
            "account_count": segments.per_pool(segments.account_counts),
            "hit_account_count": segments.per_pool(segments.hit_counts),
            "break_reason": reasons,
        },
        POOLS,
    )
    return Day(
        pools=pools, allocations=allocations, broken_positions=broken_positions, breaks=breaks
    )


def break_reason(total_short: int) -> str:
    """Return why more is assigned to a pool than its total short (D5)."""
    return EXCEEDS_SHORT if total_short else NO_POSITION


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segments:
    """The rows of the assigned pools, segment by segment: a pool, or a part of a giant one.

    Attributes:
        first: int64[pools + 1], the first segment of each pool.
        pool_of: int32[segments], the pool of each.
        starts: int64[segments + 1], where the rows of each start.
        rows: int64[n, 2], key and contracts, in any order within a segment.
        positions: What they are the rows of.
        totals: int64[segments], contracts short.
        account_counts: int64[segments], open positions.
        text_sizes: int64[segments], characters of their accounts.
        hit_counts: int64[segments], accounts with an assigned contract.
        repeated: bool[segments], whether an account comes several times.
    """

    first: Integers
    pool_of: npt.NDArray[np.int32]
    starts: Integers
    rows: Integers
    positions: KeyedPositions
    totals: Integers
    account_counts: Integers
    text_sizes: Integers
    hit_counts: Integers
    repeated: npt.NDArray[np.bool_]

    def numbers_before(self) -> Integers:
        """Return the numbers of the same pool in earlier segments, int64[segments]."""
        before = np.cumsum(self.totals) - self.totals
        return before - before[self.first[:-1]][self.pool_of]

    def per_pool(self, values: Integers) -> Integers:
        """Return the sums of the segments' values, int64[pools]."""
        return np.add.reduceat(values, self.first[:-1]) if values.size else values

    def parts(self, sizes: Integers) -> list[tuple[int, int]]:
        """Return ranges of segments that threads share, none with too many characters."""
        count = max(len(split_rows(len(self.rows))), -(-int(sizes.sum()) // _PART_CHARACTERS))
        return split_sizes(sizes, count)


def _segments(pool_count: int, positions: KeyedPositions) -> _Segments:
    """Bring the rows of each pool together, those of giant pools in segments by account number."""
    first, bounds = _cuts(pool_count, positions)
    segment_count = int(first[-1])
    blocks = positions.blocks
    counts = np.zeros((THREADS, segment_count), np.int64)
    segment_of = [np.empty(len(block), np.int32) for block in blocks]
    shares = [range(thread, len(blocks), THREADS) for thread in range(THREADS)]

    def count(thread: int, _: int) -> None:
        for index in shares[thread]:
            block = blocks[index]
            loops.count_segments(
                block.pools, block.keys, first, bounds, segment_of[index], counts[thread]
            )

    threads = [(thread, thread + 1) for thread in range(min(THREADS, max(1, len(blocks))))]
    in_threads(count, threads)
    starts = np.zeros(segment_count + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=starts[1:])
    largest = int(np.diff(starts).max(initial=1))
    if positions.key_bits + (largest - 1).bit_length() > loops.KEY_BITS:
        return _segments(pool_count, ranked(positions))
    free = starts[:-1] + np.cumsum(counts, axis=0) - counts
    rows = np.empty((int(starts[-1]), 2), np.int64)

    def scatter(thread: int, _: int) -> None:
        for index in shares[thread]:
            block = blocks[index]
            loops.scatter_rows(segment_of[index], block.keys, block.shorts, free[thread], rows)

    in_threads(scatter, threads)
    per_segment = [np.zeros(segment_count, np.int64) for _ in range(4)]
    segments = _Segments(
        first=first,
        pool_of=np.repeat(np.arange(pool_count, dtype=np.int32), np.diff(first)),
        starts=starts,
        rows=rows,
        positions=positions,
        totals=per_segment[0],
        account_counts=per_segment[1],
        text_sizes=per_segment[2],
        hit_counts=per_segment[3],
        repeated=np.zeros(segment_count, np.bool_),
    )
    in_threads(
        lambda start, end: loops.sum_segments(starts, start, end, rows, *per_segment[:3]),
        segments.parts(np.diff(starts)),
    )
    return segments


def _cuts(pool_count: int, positions: KeyedPositions) -> tuple[Integers, Integers]:
    """Return the first segment of each pool, and the lowest account number of each segment.

    Giant pools are cut at quantiles of a sample, so that one thread does not get all of them.
    """
    counts = np.zeros(pool_count, np.int64)
    for block in positions.blocks:
        counts += np.bincount(block.pools, minlength=pool_count)
    giant = counts >= _GIANT_ROWS
    first = np.zeros(pool_count + 1, np.int64)
    np.cumsum(np.where(giant, -(-counts // _SEGMENT_ROWS), 1), out=first[1:])
    bounds = np.zeros(int(first[-1]), np.int64)
    if giant.any():
        pools = np.concatenate([block.pools[::_SAMPLED] for block in positions.blocks])
        numbers = np.concatenate([block.keys[::_SAMPLED] for block in positions.blocks])
        numbers >>= loops.LENGTH_BITS
        order = np.lexsort((numbers, pools))
        pools, numbers = pools[order], numbers[order]
        for pool in np.flatnonzero(giant).tolist():
            sample = numbers[slice(*np.searchsorted(pools, [pool, pool + 1]))]
            size = int(first[pool + 1] - first[pool])
            cuts = sample[np.arange(1, size) * len(sample) // size] if len(sample) else 0
            bounds[first[pool] + 1 : first[pool + 1]] = cuts
    return first, bounds


def _totals(assigned: AssignedPools, segments: _Segments) -> Integers:
    """Return the contracts short of each pool, int64[pools].

    Raises:
        PositionsInvalid: A sum exceeds 2**63 - 1.
    """
    # By halves, because the sum of two segments may exceed 64 bits.
    high = segments.per_pool(segments.totals >> 32)
    low = segments.per_pool(segments.totals & 0xFFFF_FFFF)
    too_large = high + (low >> 32) >= 1 << 31
    too_large |= segments.per_pool((segments.totals < 0).astype(np.int64)) > 0
    if too_large.any():
        raise PositionsInvalid(
            repeated=_repeated_accounts(segments, np.arange(len(segments.totals))),
            too_large=[assigned[index] for index in np.flatnonzero(too_large).tolist()],
        )
    return (high << 32) + low


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Writer:
    """What the rows of the tables are made from."""

    assigned: AssignedPools
    segments: _Segments
    numbers_before: Integers
    totals: Integers
    hits: Integers
    quantities: Integers

    def table(self, chosen: npt.NDArray[np.bool_], schema: pa.Schema) -> pa.Table:
        """Return the open positions of some pools in order, each part as a chunk.

        Args:
            chosen: bool[pools], the pools.
            schema: `tables.ALLOCATIONS` or `tables.BROKEN_POSITIONS`.
        """
        assigned = self.assigned
        in_use = chosen & (self.segments.per_pool(self.segments.account_counts) > 0)
        labels = []
        for codes, texts in (
            (assigned.occ_accounts, assigned.occ_texts),
            (assigned.series, assigned.series_texts),
        ):
            indices, texts_in_use = labels_in_use(codes[in_use], texts)
            labels.append((indices.astype(np.int32)[codes], texts_in_use))
        chunks = in_threads(
            lambda first, last: self._chunk(chosen, labels, schema, first, last),
            self.segments.parts(self.segments.text_sizes),
        )
        return pa.concat_tables(chunks) if chunks else schema.empty_table()

    def _chunk(
        self,
        chosen: npt.NDArray[np.bool_],
        labels: Sequence[tuple[npt.NDArray[np.int32], pa.StringArray]],
        schema: pa.Schema,
        first: int,
        last: int,
    ) -> pa.Table:
        segments = self.segments
        here = chosen[segments.pool_of[first:last]]
        row_count = int(segments.account_counts[first:last][here].sum())
        characters = int(segments.text_sizes[first:last][here].sum())
        pools = np.empty(row_count, np.int32)
        offsets = np.empty(row_count + 1, np.int32)
        text = np.empty(characters + loops.SLACK, np.uint8)
        values = [np.empty(row_count, np.int64) for _ in range(4)]
        loops.allocate_segments(
            segments.starts,
            first,
            last,
            segments.rows,
            segments.pool_of,
            chosen,
            self.numbers_before,
            self.totals,
            self.hits,
            self.quantities,
            *segments.positions.ranks(),
            pools,
            offsets,
            text,
            words_of(text),
            *values,
            segments.hit_counts,
            segments.repeated,
        )
        columns = [
            *(
                pa.DictionaryArray.from_arrays(pa.array(indices[pools]), texts).cast(LABEL)
                for indices, texts in labels
            ),
            pa.StringArray.from_buffers(row_count, pa.py_buffer(offsets), pa.py_buffer(text)),
            *map(pa.array, values),
        ]
        return pa.table(columns[: len(schema)], schema)


def _repeated_accounts(segments: _Segments, among: Integers) -> dict[int, frozenset[str]]:
    """Return the repeated accounts of some segments, as `PositionsInvalid` has them."""
    found: dict[int, set[str]] = {}
    for segment in among.tolist():
        rows = segments.rows[slice(*segments.starts[segment : segment + 2])]
        numbers, counts = np.unique(rows[:, 0] >> loops.LENGTH_BITS, return_counts=True)
        for number in numbers[counts > 1].tolist():
            account = segments.positions.plain_account(number)
            found.setdefault(int(segments.pool_of[segment]), set()).add(account)
    return {pool: frozenset(accounts) for pool, accounts in found.items()}
