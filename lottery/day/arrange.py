"""Which rows belong together: notices and positions by pool, accounts in order (P1 to P5, R1).

A pool is (occ_account, series), and pools never mix (P3). Pools with a notice come first, sorted by
occ_account and series; positions of other pools are arranged too, because a doubled account is
refused wherever it stands (P4).
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

if TYPE_CHECKING:  # It imports much that only types are for.
    import numpy.typing as npt

NOWHERE: Final = -1
"""The code of a row that belongs to no pool."""
_PAIRS_IN_A_TABLE: Final = 1 << 26
_PAIRS_A_ROW: Final = 64
"""A small file does not ask for a large table, whatever it says of series and OCC accounts."""
_GIANT_SLOTS: Final = 1 << 19
_MARKS_A_ROW: Final = 16
"""Bits of the table of repeats for each row; the more, the fewer rows share one by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has a row in the same pool already (P4, R2); rows count from 0."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Positions by pool, each pool's accounts in order.

    Attributes:
        assigned: The pools with notices, sorted by occ_account and series.
        positions: The table arranged, as it came.
        starts: int64[assigned + 1], where each assigned pool's slots start.
        keys: int64[slots], the sorted keys (`loops.scatter_rows`).
        rows: int64[slots], the row in each unsorted slot.
        index_bits: Bits of the place within a pool in `keys`.
        doubled: Every row that repeats an account of its pool.
        wrong_accounts: int64[], rows whose account is none (R2); they are in no pool.
    """

    assigned: AssignedPools
    positions: pa.Table
    starts: Integers
    keys: Integers
    rows: Integers
    index_bits: int
    doubled: tuple[Doubled, ...]
    wrong_accounts: Integers


def arrange(notices: pa.Table, positions: pa.Table, account_order: AccountOrder) -> Arrangement:
    """Brings a day's rows into their pools and each pool's accounts into order.

    Args:
        notices: `tables.NOTICES`.
        positions: `tables.POSITIONS`.
        account_order: The choice of R2.
    """
    assigned = assigned_pools(notices)
    codes, counts = _pool_codes(positions, assigned)
    index_bits = max(1, int(counts.max(initial=0)).bit_length())
    accounts = account_numbers(positions.column("account"), account_order, spare_bits=index_bits)
    if accounts.bits + index_bits > KEY_BITS:  # Past 2**31 rows of as many distinct accounts.
        raise OverflowError(f"{len(codes)} rows are too many to arrange")
    if accounts.wrong.size:
        codes[accounts.wrong] = NOWHERE
        counts = _rows_of_pools(codes, len(assigned))
    starts = np.zeros(len(assigned) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    keys, rows = _scatter(codes, accounts.numbers, starts, index_bits)
    _sort_giants(starts, index_bits, keys)
    has_doubled = np.zeros(len(assigned), np.bool_)
    in_threads(
        lambda first, last: loops.sort_pools(starts, first, last, index_bits, keys, has_doubled),
        split_pools(starts),
    )
    doubled = (
        *doubled_rows(np.flatnonzero(has_doubled), starts, keys, rows, index_bits),
        *_doubled_without_notices(codes, accounts.numbers, len(assigned)),
    )
    return Arrangement(
        assigned=assigned,
        positions=positions,
        starts=starts,
        keys=keys,
        rows=rows,
        index_bits=index_bits,
        doubled=tuple(sorted(doubled, key=lambda found: found.row)),
        wrong_accounts=accounts.wrong,
    )


def split_pools(starts: Integers) -> list[tuple[int, int]]:
    """Ranges of pools (first, after last) with about as many rows each, one a thread."""
    cuts = [int(np.searchsorted(starts, last)) for _, last in split_rows(int(starts[-1]))[:-1]]
    return list(pairwise([0, *cuts, starts.size - 1]))


def _pool_codes(
    positions: pa.Table, assigned: AssignedPools
) -> tuple[npt.NDArray[np.int32], Integers]:
    """Each row's pool code, int32[n], and the rows of each assigned pool, int64[assigned].

    Assigned pools have the codes from 0 on, in their order, and the others those behind.
    """
    series, series_texts = label_indices(positions.column("series"))
    occ_accounts, occ_texts = label_indices(positions.column("occ_account"))
    width = len(series_texts)
    if len(occ_texts) * width <= min(_PAIRS_IN_A_TABLE, _PAIRS_A_ROW * positions.num_rows):
        present = np.arange(len(occ_texts) * width)
        shape = (len(occ_texts), width)
    else:
        pairs = occ_accounts.astype(np.int64) * width + series
        present, places = np.unique(pairs, return_inverse=True)
        series, occ_accounts = places.astype(np.int32), np.zeros(len(places), np.int32)
        shape = (1, present.size)
    pool_of = _codes_of_pairs(present, series_texts, occ_texts, assigned).reshape(shape)
    codes = np.empty(positions.num_rows, np.int32)
    parts = split_rows(positions.num_rows)
    counts = np.zeros((len(parts), len(assigned)), np.int64)
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
    pairs: Integers,
    series_texts: pa.StringArray,
    occ_texts: pa.StringArray,
    assigned: AssignedPools,
) -> npt.NDArray[np.int32]:
    """int32[pairs]: the pool code of each pair occ_account * series count + series, sorted."""
    width = len(series_texts)
    codes = np.arange(len(assigned), len(assigned) + len(pairs), dtype=np.int32)
    occ = _places_in(occ_texts, assigned.occ_texts)[assigned.occ_accounts]
    series = _places_in(series_texts, assigned.series_texts)[assigned.series]
    here = np.flatnonzero((occ >= 0) & (series >= 0))
    wanted = occ[here].astype(np.int64) * width + series[here]
    at = np.searchsorted(pairs, wanted)
    found = at < len(pairs)
    found[found] = pairs[at[found]] == wanted[found]
    codes[at[found]] = here[found]
    return codes


def _places_in(texts: pa.StringArray, wanted: pa.StringArray) -> npt.NDArray[np.int32]:
    """int32[wanted]: where each text stands; -1 where it does not."""
    places: npt.NDArray[np.int32] = (
        pc.index_in(wanted, value_set=texts).fill_null(-1).to_numpy(zero_copy_only=False)
    )
    return places


def _rows_of_pools(codes: npt.NDArray[np.int32], pool_count: int) -> Integers:
    """int64[pools]: how many of the rows each assigned pool has."""
    in_pools = codes[(codes >= 0) & (codes < pool_count)]
    return np.bincount(in_pools, minlength=pool_count)


def _scatter(
    codes: npt.NDArray[np.int32], numbers: Integers, starts: Integers, index_bits: int
) -> tuple[Integers, Integers]:
    """The keys and the rows of every slot; each thread's rows go behind those of the one before."""
    keys = np.empty(int(starts[-1]), np.int64)
    rows = np.empty(int(starts[-1]), np.int64)
    parts = split_rows(codes.size)
    places = {}
    free = starts[:-1].copy()
    for first, last in parts:
        places[first] = free.copy()
        if last < codes.size:
            free += _rows_of_pools(codes[first:last], free.size)
    in_threads(
        lambda first, last: loops.scatter_rows(
            codes[first:last],
            numbers[first:last],
            starts,
            places[first],
            index_bits,
            first,
            keys,
            rows,
        ),
        parts,
    )
    return keys, rows


def _sort_giants(starts: Integers, index_bits: int, keys: Integers) -> None:
    """Sorts the pools that are too large for one thread: each half by one, then merged."""
    for pool in np.flatnonzero(np.diff(starts) >= _GIANT_SLOTS):
        slots = keys[starts[pool] : starts[pool + 1]]
        spare = np.empty_like(slots)
        halves = split_rows(slots.size)
        in_threads(partial(_sort_half, slots, spare, index_bits), halves)
        middle = halves[0][1]
        loops.merge_sorted(slots[:middle], slots[middle:], spare)
        slots[:] = spare


def _sort_half(slots: Integers, spare: Integers, index_bits: int, first: int, last: int) -> None:
    loops.sort_slots(slots[first:last], spare[first:last], index_bits)


def _doubled_without_notices(
    codes: npt.NDArray[np.int32], numbers: Integers, first_code: int
) -> list[Doubled]:
    """Every repeated row of the pools without notices: few are marked, and those are compared."""
    words = 1 << max(0, (codes.size * _MARKS_A_ROW // 64).bit_length())
    seen, again = np.zeros((2, words), np.uint64)
    parts = len(split_rows(codes.size))
    shares = [(part, parts) for part in range(parts)]
    in_threads(
        lambda part, parts: loops.mark_repeats(
            codes, numbers, first_code, part, parts, seen, again
        ),
        shares,
    )
    if not again.any():
        return []
    rows = np.empty(codes.size, np.int64)
    marks = np.empty(codes.size, np.uint64)
    count = loops.list_repeats(codes, numbers, first_code, again, rows, marks)
    ordered = np.sort(marks[:count])
    if not (ordered[1:] == ordered[:-1]).any():
        return []  # They shared a bit of the table and no more.
    rows = rows[:count]
    rows = rows[np.lexsort((rows, numbers[rows], codes[rows]))]
    same = (codes[rows[1:]] == codes[rows[:-1]]) & (numbers[rows[1:]] == numbers[rows[:-1]])
    found = []
    first_row = -1
    for place in (np.flatnonzero(same) + 1).tolist():
        if place < 2 or not same[place - 2]:  # noqa: PLR2004 - the pair before this one.
            first_row = int(rows[place - 1])
        found.append(Doubled(row=int(rows[place]), first_row=first_row))
    return found


def doubled_rows(
    pools: npt.NDArray[Any], starts: Integers, keys: Integers, rows: Integers, index_bits: int
) -> tuple[Doubled, ...]:
    """Every repeated row of the pools given, sorted by row."""
    found = []
    for pool in pools:
        slots = keys[starts[pool] : starts[pool + 1]]
        row_of = rows[starts[pool] + (slots & ((1 << index_bits) - 1))]
        first_row = -1
        for place in range(1, slots.size):
            if slots[place] >> index_bits != slots[place - 1] >> index_bits:
                first_row = -1
                continue
            if first_row < 0:
                first_row = int(row_of[place - 1])
            found.append(Doubled(row=int(row_of[place]), first_row=first_row))
    return tuple(sorted(found, key=lambda doubled: doubled.row))
