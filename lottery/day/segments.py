"""The rows of each pool brought together, those of giant pools in segments (rules P1, R1).

A segment is a pool, or a part of a giant one by account number, so that threads share it. Within a
segment rows are in any order: the day's loop sorts them, in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lottery.day import loops
from lottery.day.assigned_pools import Integers
from lottery.day.keys import KeyedPositions, ranked
from lottery.day.threads import THREADS, in_threads, split_rows, split_sizes

if TYPE_CHECKING:  # NumPy's types take long to import.
    import numpy.typing as npt

_GIANT_ROWS: Final = 1 << 16
"""A pool of that many rows or more is cut into segments, so that threads share it."""
_SEGMENT_ROWS: Final = 1 << 13
"""Rows of a segment, about: their keys are sorted within the processor's cache."""
_SAMPLED: Final = 64
"""One row of so many is looked at to choose where a giant pool is cut."""
_PART_CHARACTERS: Final = 1 << 30
"""Most characters of accounts in one array: Arrow counts them in 31 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
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


def segments_of(pool_count: int, positions: KeyedPositions) -> Segments:
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
        return segments_of(pool_count, ranked(positions))
    free = starts[:-1] + np.cumsum(counts, axis=0) - counts
    rows = np.empty((int(starts[-1]), 2), np.int64)

    def scatter(thread: int, _: int) -> None:
        for index in shares[thread]:
            block = blocks[index]
            loops.scatter_rows(segment_of[index], block.keys, block.shorts, free[thread], rows)

    in_threads(scatter, threads)
    per_segment = [np.zeros(segment_count, np.int64) for _ in range(4)]
    segments = Segments(
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
