"""Which rows belong together: notices and positions by pool, accounts in order (P1 to P5, R1).

A pool is (occ_account, series), and pools never mix (P3). Assigned pools come first, sorted by
occ_account and series; positions of other pools are checked too, because a repeated account is
refused in any pool (P4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day import loops
from lottery.day.account_keys import KEY_BITS, Integers, account_numbers
from lottery.day.assigned_pools import AssignedPools, assigned_pools, label_indices
from lottery.day.threads import in_threads, split_rows
from lottery.method.methodology import AccountOrder

if TYPE_CHECKING:  # It imports much that only types need.
    import numpy.typing as npt

_NO_POOL: Final = -1
"""Code of a row that belongs to no pool."""
_PAIRS_IN_A_TABLE: Final = 1 << 26
_PAIRS_A_ROW: Final = 64
"""Maximum pairs for each row, so that a small file cannot demand a large table."""
_GIANT_ROWS: Final = 1 << 19
"""Rows from which on two threads sort a pool."""
_FLAGS_A_ROW: Final = 16
"""Bits of the table of repeats for each row; the more, the fewer rows share one by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has an earlier row in the same pool (P4, R2)."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Positions by pool, each pool's accounts in order.

    Attributes:
        pools: The assigned pools, sorted by occ_account and series.
        positions: The table arranged, as received.
        starts: int64[pools + 1], the index of each assigned pool's first arranged row.
        keys: int64[arranged rows], the sorted keys (`loops.scatter_rows`).
        rows: int64[arranged rows], the rows of the table that the keys refer to.
        index_bits: Bits of the index within a pool in `keys`.
        doubled: Every row that repeats an account of its pool, by row.
        wrong_accounts: int64[], rows whose account is invalid (R2); they are in no pool.
    """

    pools: AssignedPools
    positions: pa.Table
    starts: Integers
    keys: Integers
    rows: Integers
    index_bits: int
    doubled: tuple[Doubled, ...]
    wrong_accounts: Integers


def arrange(notices: pa.Table, positions: pa.Table, account_order: AccountOrder) -> Arrangement:
    """Bring a day's rows into their pools, and each pool's accounts into order.

    Args:
        notices: `tables.NOTICES`.
        positions: `tables.POSITIONS`.
        account_order: The choice of R2.

    Raises:
        OverflowError: There are more rows than keys can hold, which is beyond 2**31.
    """
    pools = assigned_pools(notices)
    codes, counts = _pool_codes(positions, pools)
    index_bits = max(1, int(counts.max(initial=0)).bit_length())
    accounts = account_numbers(positions.column("account"), account_order, spare_bits=index_bits)
    if accounts.bits + index_bits > KEY_BITS:  # More than 2**31 rows of as many distinct accounts.
        raise OverflowError(f"positions have more rows than can be sorted: {len(codes)}")
    if accounts.wrong.size:
        codes[accounts.wrong] = _NO_POOL
        counts = _count_rows(codes, len(pools))
    starts = np.zeros(len(pools) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    keys, rows = _scatter(codes, accounts.numbers, starts, index_bits)
    _sort_giants(starts, index_bits, keys)
    repeated = np.zeros(len(pools), np.bool_)
    in_threads(
        lambda first, last: loops.sort_pools(starts, first, last, index_bits, keys, repeated),
        split_pools(starts),
    )
    doubled = (
        *doubled_rows(np.flatnonzero(repeated), starts, keys, rows, index_bits),
        *_doubled_without_notices(codes, accounts.numbers, len(pools)),
    )
    return Arrangement(
        pools=pools,
        positions=positions,
        starts=starts,
        keys=keys,
        rows=rows,
        index_bits=index_bits,
        doubled=tuple(sorted(doubled, key=lambda found: found.row)),
        wrong_accounts=accounts.wrong,
    )


def split_pools(starts: Integers) -> list[tuple[int, int]]:
    """Return ranges of pools (first, after last) with about as many rows each, one a thread."""
    cuts = [int(np.searchsorted(starts, last)) for _, last in split_rows(int(starts[-1]))[:-1]]
    return list(pairwise([0, *cuts, starts.size - 1]))


def doubled_rows(
    pools: npt.NDArray[Any], starts: Integers, keys: Integers, rows: Integers, index_bits: int
) -> tuple[Doubled, ...]:
    """Return every repeated row of some pools, by row.

    Args:
        pools: integer[], the pools' indices.
        starts: As in `Arrangement`, like all that follow.
        keys: Sorted.
        rows: What the keys refer to.
        index_bits: Bits of the index within a pool.
    """
    found = []
    for pool in pools:
        own = keys[starts[pool] : starts[pool + 1]]
        row_of = rows[starts[pool] + (own & ((1 << index_bits) - 1))]
        found += _doubled(row_of, own[1:] >> index_bits == own[:-1] >> index_bits)
    return tuple(sorted(found, key=lambda doubled: doubled.row))


def _doubled(rows: Integers, same: npt.NDArray[np.bool_]) -> list[Doubled]:
    """Return the repeated rows of rows in account order.

    Args:
        rows: int64[n]; of equal accounts the first row comes first.
        same: bool[n - 1], whether a row has the account of the one before it.
    """
    found = []
    first_row = -1
    for index in np.flatnonzero(same).tolist():
        if index == 0 or not same[index - 1]:
            first_row = int(rows[index])
        found.append(Doubled(row=int(rows[index + 1]), first_row=first_row))
    return found


def _pool_codes(
    positions: pa.Table, pools: AssignedPools
) -> tuple[npt.NDArray[np.int32], Integers]:
    """Return each row's pool code, int32[n], and the rows of each assigned pool, int64[pools].

    Assigned pools have the codes from 0 on, in their order, and the other pools those after them.
    """
    series, series_texts = label_indices(positions.column("series"))
    occ_accounts, occ_texts = label_indices(positions.column("occ_account"))
    width = len(series_texts)
    if len(occ_texts) * width <= min(_PAIRS_IN_A_TABLE, _PAIRS_A_ROW * positions.num_rows):
        present = np.arange(len(occ_texts) * width)
        shape = (len(occ_texts), width)
    else:
        pairs = occ_accounts.astype(np.int64) * width + series
        present, pair_of = np.unique(pairs, return_inverse=True)
        series, occ_accounts = pair_of.astype(np.int32), np.zeros(len(pair_of), np.int32)
        shape = (1, present.size)
    pool_of = _codes_of_pairs(present, series_texts, occ_texts, pools).reshape(shape)
    codes = np.empty(positions.num_rows, np.int32)
    parts = split_rows(positions.num_rows)
    counts = np.zeros((len(parts), len(pools)), np.int64)
    in_threads(
        lambda first, last: loops.count_rows(
            series[first:last],
            occ_accounts[first:last],
            pool_of,
            codes[first:last],
            counts[parts.index((first, last))],
        ),
        parts,
    )
    return codes, counts.sum(axis=0)


def _codes_of_pairs(
    pairs: Integers, series_texts: pa.StringArray, occ_texts: pa.StringArray, pools: AssignedPools
) -> npt.NDArray[np.int32]:
    """Return int32[pairs], the pool code of each pair occ_account * series count + series."""
    width = len(series_texts)
    codes = np.arange(len(pools), len(pools) + len(pairs), dtype=np.int32)
    occ = _indices_in(occ_texts, pools.occ_texts)[pools.occ_accounts]
    series = _indices_in(series_texts, pools.series_texts)[pools.series]
    here = np.flatnonzero((occ >= 0) & (series >= 0))
    wanted = occ[here].astype(np.int64) * width + series[here]
    at = np.searchsorted(pairs, wanted)
    found = at < len(pairs)
    found[found] = pairs[at[found]] == wanted[found]
    codes[at[found]] = here[found]
    return codes


def _indices_in(texts: pa.StringArray, wanted: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return int32[wanted], each text's index in `texts`; -1 if it is not there."""
    indices: npt.NDArray[np.int32] = (
        pc.index_in(wanted, value_set=texts).fill_null(-1).to_numpy(zero_copy_only=False)
    )
    return indices


def _count_rows(codes: npt.NDArray[np.int32], pool_count: int) -> Integers:
    """Return int64[pools], how many of the rows each assigned pool has."""
    in_pools = codes[(codes >= 0) & (codes < pool_count)]
    return np.bincount(in_pools, minlength=pool_count)


def _scatter(
    codes: npt.NDArray[np.int32], numbers: Integers, starts: Integers, index_bits: int
) -> tuple[Integers, Integers]:
    """Return keys and rows by pool; each thread's rows follow those of the thread before it."""
    keys = np.empty(int(starts[-1]), np.int64)
    rows = np.empty(int(starts[-1]), np.int64)
    parts = split_rows(codes.size)
    free_of = {}
    free = starts[:-1].copy()
    for first, last in parts:
        free_of[first] = free.copy()
        if last < codes.size:
            free += _count_rows(codes[first:last], free.size)
    in_threads(
        lambda first, last: loops.scatter_rows(
            codes[first:last],
            numbers[first:last],
            starts,
            free_of[first],
            index_bits,
            first,
            keys,
            rows,
        ),
        parts,
    )
    return keys, rows


def _sort_giants(starts: Integers, index_bits: int, keys: Integers) -> None:
    """Sort the pools that are too large for one thread: each half by one, then merged."""
    for pool in np.flatnonzero(np.diff(starts) >= _GIANT_ROWS):
        own = keys[starts[pool] : starts[pool + 1]]
        spare = np.empty_like(own)
        halves = split_rows(own.size)
        in_threads(partial(_sort_half, own, spare, index_bits), halves)
        middle = halves[0][1]
        loops.merge_sorted(own[:middle], own[middle:], spare)
        own[:] = spare


def _sort_half(keys: Integers, spare: Integers, index_bits: int, first: int, last: int) -> None:
    loops.sort_part(keys[first:last], spare[first:last], index_bits)


def _doubled_without_notices(
    codes: npt.NDArray[np.int32], numbers: Integers, first_code: int
) -> list[Doubled]:
    """Return every repeated row of the pools without notices: few are flagged, and compared."""
    words = 1 << max(0, (codes.size * _FLAGS_A_ROW // 64).bit_length())
    seen, again = np.zeros((2, words), np.uint64)
    parts = len(split_rows(codes.size))
    in_threads(
        lambda part, parts: loops.flag_repeats(
            codes, numbers, first_code, part, parts, seen, again
        ),
        [(part, parts) for part in range(parts)],
    )
    if not again.any():
        return []
    rows = np.empty(codes.size, np.int64)
    fingerprints = np.empty(codes.size, np.uint64)
    count = loops.list_repeats(codes, numbers, first_code, again, rows, fingerprints)
    ordered = np.sort(fingerprints[:count])
    if not (ordered[1:] == ordered[:-1]).any():
        return []  # They shared a bit of the table and no more.
    rows = rows[:count]
    rows = rows[np.lexsort((rows, numbers[rows], codes[rows]))]
    same = (codes[rows[1:]] == codes[rows[:-1]]) & (numbers[rows[1:]] == numbers[rows[:-1]])
    return _doubled(rows, same)
