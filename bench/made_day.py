"""A typical day, made up: the same bytes every time.

Pool sizes follow Zipf's law, rows are shuffled, accounts come from one population of 3 to 10 digits
and are unique within a pool. A few noticed pools are breaks, some of them without a position.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BUSINESS_DATE: Final = dt.date(2024, 9, 16)
ASKS: Final = {
    "Z901803": "862.45713",
    "Z901439": "118.20946",
    "Z901466": "407.93388",
    "Z901448": "1435.71263",
}
"""Their composite is that of the published example; the first hit is 0.4314 of the total."""
_POPULATION: Final = 500_000
_ROW_GROUP: Final = 1 << 20
_EXCEEDING: Final = 4
_WITHOUT_POSITION: Final = 2

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFiles:
    """The inputs of a day."""

    positions: Path
    notices: Path
    volumes: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySize:
    """How large a day is."""

    positions: int = 2_000_000
    series: int = 30_000
    noticed: int = 5_000


def write_day(directory: Path, size: DaySize) -> DayFiles:
    """Writes a day's three files; Parquet as pyarrow writes it when it is told nothing."""
    random = np.random.default_rng(20_240_916)
    symbols = _symbols(size.series + _WITHOUT_POSITION, random)
    pools = _pool_of_each_row(size, random)
    shorts = np.minimum(1 + random.geometric(0.09, size.positions), 100)
    shorts[random.random(size.positions) < 0.005] = 0
    files = DayFiles(
        positions=directory / "positions.parquet",
        notices=directory / "notices.parquet",
        volumes=directory / "volumes.csv",
    )
    positions = pa.table(
        {
            "series": symbols.take(pa.array(pools)),
            "account": _accounts(pools, random),
            "short_quantity": shorts.astype(np.int64),
        }
    )
    pq.write_table(positions, files.positions, row_group_size=_ROW_GROUP)
    totals = np.bincount(pools, shorts, len(symbols)).astype(np.int64)
    pq.write_table(_notices(symbols, totals, size, random), files.notices)
    lines = ["security_number,ask_price", *(f"{name},{ask}" for name, ask in ASKS.items())]
    files.volumes.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def _symbols(count: int, random: np.random.Generator) -> pa.StringArray:
    """string[count] of distinct OSI symbols."""
    found: set[str] = set()
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    roots = ["".join(random.choice(letters, random.integers(1, 6))) for _ in range(600)]
    expiries = [f"{BUSINESS_DATE + dt.timedelta(days=7 * week + 4):%y%m%d}" for week in range(20)]
    while len(found) < count:
        strike = int(random.integers(2, 1_200)) * 500
        root, expiry = roots[random.integers(len(roots))], expiries[random.integers(len(expiries))]
        found.add(f"{root:<6}{expiry}{'CP'[random.integers(2)]}{strike:08d}")
    symbols = np.array(sorted(found))
    random.shuffle(symbols)
    return pa.array(symbols, pa.string())


def _pool_of_each_row(size: DaySize, random: np.random.Generator) -> Integers:
    """int64[positions]: the index of each row's series, shuffled; every series has a row."""
    weights = 1 / np.arange(1, size.series + 1)
    drawn = random.choice(size.series, size.positions - size.series, p=weights / weights.sum())
    pools = random.permutation(size.series)[np.concatenate([np.arange(size.series), drawn])]
    random.shuffle(pools)
    row_pools: Integers = pools.astype(np.int64)
    return row_pools


def _accounts(pools: Integers, random: np.random.Generator) -> pa.StringArray:
    """string[n]: account numbers, each once in its pool; some are written with leading zeros."""
    digits = random.integers(3, 11, 2 * _POPULATION)
    numbers = (random.random(digits.size) * 9 * 10.0 ** (digits - 1)).astype(np.int64)
    numbers = random.permutation(np.unique(numbers + 10 ** (digits - 1)))[:_POPULATION]
    texts = pc.cast(pa.array(numbers), pa.string())
    padded = pc.utf8_lpad(texts, 10, "0")
    texts = pc.if_else(pa.array(random.random(numbers.size) < 0.05), padded, texts)
    drawn = random.integers(0, numbers.size, pools.size)
    while (again := _repeated(pools * numbers.size + drawn)).size:
        drawn[again] = random.integers(0, numbers.size, again.size)
    return texts.take(pa.array(drawn))


def _repeated(keys: Integers) -> npt.NDArray[Any]:
    """int64[]: where a key stands that stood before."""
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(keys.size, np.bool_)
    repeated[first] = False
    return np.flatnonzero(repeated)


def _notices(
    symbols: pa.StringArray, totals: Integers, size: DaySize, random: np.random.Generator
) -> pa.Table:
    """One notice or a few for each noticed pool, shuffled."""
    noticed = random.choice(size.series, size.noticed - _WITHOUT_POSITION, replace=False)
    part = random.random(noticed.size) ** 2 * 0.6
    quantities = np.maximum(1, (totals[noticed] * part).astype(np.int64))
    quantities[:_EXCEEDING] = totals[noticed[:_EXCEEDING]] + 1
    pools, notices = [], []
    for pool, quantity in zip(noticed.tolist(), quantities.tolist(), strict=True):
        for share in _shares(quantity, random):
            pools.append(pool)
            notices.append(share)
    for pool in range(size.series, size.series + _WITHOUT_POSITION):
        pools.append(pool)
        notices.append(10)
    order = random.permutation(len(pools))
    return pa.table(
        {
            "notice_id": [f"N{number:09d}" for number in range(len(pools))],
            "series": symbols.take(pa.array(np.array(pools)[order])),
            "quantity": np.array(notices, np.int64)[order],
        }
    )


def _shares(quantity: int, random: np.random.Generator) -> list[int]:
    count = min(quantity, int(random.choice([1, 1, 1, 2, 3])))
    cuts = random.choice(quantity - 1, count - 1, replace=False) + 1 if count > 1 else np.empty(0)
    edges = [0, *sorted(int(cut) for cut in cuts), quantity]
    return [after - before for before, after in pairwise(edges)]
