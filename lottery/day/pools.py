"""Which rows belong together: notices and positions by pool, accounts in order (P1 to P5, R1).

A pool is (occ_account, series), and pools never mix (P3). Pools with a notice come first, sorted by
occ_account and series; positions of other pools are arranged too, because a doubled account is
refused wherever it stands (P4).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day import compiled
from lottery.day.accounts import KEY_BITS, Integers, account_numbers, read_only
from lottery.day.tables import INT64_MAX
from lottery.method.methodology import AccountOrder

_THREADS: Final = 2
_ROWS_WORTH_A_THREAD: Final = 50_000
_PAIRS_IN_A_TABLE: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticedPool:
    """A pool for which notices came (P3), and their sum (P5)."""

    occ_account: str
    series: str
    notice_count: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """A row whose account has a row in the same pool already (P4, R2); rows count from 0."""

    row: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Positions by pool, each pool's accounts in order.

    Attributes:
        noticed: The pools with notices, sorted by occ_account and series.
        positions: The table arranged, as it came.
        starts: int64[codes + 1], where each pool's slots start; noticed pools have the first codes.
        keys: int64[slots], the sorted keys (`compiled.scatter_rows`).
        rows: int64[slots], the row in each unsorted slot.
        index_bits: Bits of the place within a pool in `keys`.
        doubled: Every row that repeats an account of its pool.
        wrong_accounts: int64[], rows whose account is none (R2); they are in no pool.
    """

    noticed: tuple[NoticedPool, ...]
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
    noticed = noticed_pools(notices)
    row_count = positions.num_rows
    codes, counts = _pool_codes(positions, noticed)
    index_bits = max(1, int(counts.max(initial=0)).bit_length())
    accounts = account_numbers(positions.column("account"), account_order, spare_bits=index_bits)
    if accounts.bits + index_bits > KEY_BITS:  # Past 2**31 rows of as many distinct accounts.
        raise OverflowError(f"{row_count} rows are too many to arrange")
    if accounts.wrong.size:
        # The last code is of rows that belong nowhere.
        codes[accounts.wrong] = counts.size - 1
        counts = np.bincount(codes, minlength=counts.size).astype(np.int64)
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    keys = np.empty(row_count, np.int64)
    rows = np.empty(row_count, np.int64)
    _scatter(codes, accounts.numbers, starts, index_bits, keys, rows)
    doubled = np.zeros(counts.size, np.bool_)
    in_threads(
        lambda first, last: compiled.sort_pools(starts, first, last, index_bits, keys, doubled),
        split_pools(starts, counts.size - 1),
    )
    return Arrangement(
        noticed=noticed,
        positions=positions,
        starts=starts,
        keys=keys,
        rows=rows,
        index_bits=index_bits,
        doubled=doubled_rows(np.flatnonzero(doubled), starts, keys, rows, index_bits),
        wrong_accounts=accounts.wrong,
    )


def noticed_pools(notices: pa.Table) -> tuple[NoticedPool, ...]:
    """The pools with notices and their sums, sorted by occ_account and series (P3, P5).

    A sum past 2**63 - 1 is kept whole: it passes any total short, and `overflowing_pools` names it.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    columns = (notices.column(name).to_pylist() for name in ("occ_account", "series", "quantity"))
    for occ_account, series, quantity in zip(*columns, strict=True):
        counted = sums.setdefault((occ_account, series), [0, 0])
        counted[0] += 1
        counted[1] += quantity
    return tuple(
        NoticedPool(
            occ_account=occ_account, series=series, notice_count=count, assigned_quantity=quantity
        )
        for (occ_account, series), (count, quantity) in sorted(sums.items())
    )


def overflowing_pools(noticed: tuple[NoticedPool, ...]) -> list[NoticedPool]:
    """The pools whose notices add up to more than 2**63 - 1."""
    return [pool for pool in noticed if pool.assigned_quantity > INT64_MAX]


def split_pools(starts: Integers, pool_count: int) -> list[tuple[int, int]]:
    """Ranges of pools (first, after last) with about as many rows each, one per thread."""
    row_count = int(starts[pool_count])
    if row_count < _ROWS_WORTH_A_THREAD:
        return [(0, pool_count)]
    cuts = [
        int(np.searchsorted(starts[: pool_count + 1], row_count * part // _THREADS))
        for part in range(1, _THREADS)
    ]
    edges = [0, *cuts, pool_count]
    return list(pairwise(edges))


def in_threads(work: Callable[[int, int], object], parts: list[tuple[int, int]]) -> None:
    """Calls `work(first, last)` for every part, all but one in threads of their own."""
    if len(parts) == 1:
        work(*parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as threads:
        for done in [threads.submit(work, *part) for part in parts]:
            done.result()


def label_indices(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """The int32[n] indices of a label column and its dictionary, every text in it once."""
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # No chunk at all.
        array = pa.array([], column.type)
    distinct = array.dictionary.unique()
    indices = array.indices.to_numpy()
    if len(distinct) < len(array.dictionary):
        place = pc.index_in(array.dictionary, value_set=distinct).to_numpy()
        indices = place[indices]
    return read_only(indices), distinct


def _pool_codes(
    positions: pa.Table, noticed: tuple[NoticedPool, ...]
) -> tuple[npt.NDArray[np.int32], Integers]:
    """Each row's pool code, int32[n], and the rows of each code, int64[codes].

    Noticed pools have the codes from 0 on, in their order; the last code is for rows that are in
    no pool and has none here.
    """
    series, series_texts = label_indices(positions.column("series"))
    occ_accounts, occ_texts = label_indices(positions.column("occ_account"))
    width = len(series_texts)
    if len(occ_texts) * width > _PAIRS_IN_A_TABLE:
        pairs = occ_accounts.astype(np.int64) * width + series
        present, series = np.unique(pairs, return_inverse=True)
        series = series.astype(np.int32)
        occ_accounts = np.zeros(len(series), np.int32)
    else:
        present = np.arange(len(occ_texts) * width)
    pool_of = _codes_of_pairs(present, series_texts, occ_texts, noticed)
    is_table = len(pool_of) == len(occ_texts) * width
    pool_of = pool_of.reshape((len(occ_texts), width) if is_table else (1, -1))
    series, occ_accounts = read_only(series), read_only(occ_accounts)
    code_count = len(noticed) + pool_of.size + 1
    codes = np.empty(positions.num_rows, np.int32)
    parts = _split_rows(positions.num_rows)
    counts = np.zeros((len(parts), code_count), np.int64)
    in_threads(
        lambda first, last: compiled.count_rows(
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
    noticed: tuple[NoticedPool, ...],
) -> npt.NDArray[np.int32]:
    """int32[pairs]: the pool code of each pair occ_account * series count + series."""
    width = len(series_texts)
    codes = np.arange(len(noticed), len(noticed) + len(pairs), dtype=np.int32)
    occ_place = {text: place for place, text in enumerate(occ_texts.to_pylist())}
    series_place = pc.index_in(
        pa.array([pool.series for pool in noticed], pa.string()), value_set=series_texts
    ).to_pylist()
    for code, (pool, place) in enumerate(zip(noticed, series_place, strict=True)):
        occ = occ_place.get(pool.occ_account)
        if occ is None or place is None:
            continue
        pair = occ * width + place
        at = int(np.searchsorted(pairs, pair)) if len(pairs) != len(occ_texts) * width else pair
        if at < len(pairs) and pairs[at] == pair:
            codes[at] = code
    return codes


def _split_rows(row_count: int) -> list[tuple[int, int]]:
    if row_count < _ROWS_WORTH_A_THREAD:
        return [(0, row_count)]
    edges = [row_count * part // _THREADS for part in range(_THREADS + 1)]
    return list(pairwise(edges))


def _scatter(
    codes: npt.NDArray[np.int32],
    numbers: Integers,
    starts: Integers,
    index_bits: int,
    keys: Integers,
    rows: Integers,
) -> None:
    """Fills `keys` and `rows`; each thread's rows go behind those of the threads before it."""
    parts = _split_rows(codes.size)
    places = starts[:-1].copy()
    places_of = {}
    for first, last in parts:
        places_of[first] = places.copy()
        if len(parts) > 1:
            places += np.bincount(codes[first:last], minlength=places.size)
    in_threads(
        lambda first, last: compiled.scatter_rows(
            codes[first:last],
            numbers[first:last],
            starts,
            places_of[first],
            index_bits,
            first,
            keys,
            rows,
        ),
        parts,
    )


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
