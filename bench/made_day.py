"""A day made up: the same bytes every time, in memory that large days leave to others.

Pool sizes follow Zipf's law, rows are shuffled, accounts come from one population and are unique
within a pool. A few assigned pools are breaks, some of them without a position.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.sizes import DaySize

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

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFiles:
    """The inputs of a day."""

    positions: Path
    notices: Path
    volumes: Path

    @classmethod
    def of(cls, directory: Path) -> DayFiles:
        """Return the files of a folder."""
        return cls(
            positions=directory / "positions.parquet",
            notices=directory / "notices.parquet",
            volumes=directory / "volumes.csv",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDay:
    """A day's files.

    Attributes:
        size: How large it is.
        files: The inputs.
        key_bits: Bits of the largest account number and of an index in the largest assigned pool;
            past 63 the lottery ranks the accounts instead of packing both into one key.
    """

    size: DaySize
    files: DayFiles
    key_bits: int


def write_day(directory: Path, size: DaySize) -> int:
    """Write a day's three files, Parquet with the defaults of pyarrow; return its `key_bits`."""
    random = np.random.default_rng(20_240_916)
    symbols = _symbols(size.series + size.without_position, random)
    counts = _rows_of_series(size, random)
    shorts = np.minimum(1 + random.geometric(0.09, size.positions), 100).astype(np.int32)
    shorts[random.random(size.positions) < 0.005] = 0
    pools = np.repeat(np.arange(size.series, dtype=np.int32), counts)
    totals = np.bincount(pools, shorts, len(symbols)).astype(np.int64)
    assigned = random.choice(size.series, size.assigned - size.without_position, replace=False)
    files = DayFiles.of(directory)
    pq.write_table(_notices(symbols, assigned, totals, size, random), files.notices)
    numbers = _numbers(max(_POPULATION, 2 * int(counts.max())), size, random)
    _write_positions(files.positions, symbols, pools, counts, shorts, numbers, random)
    lines = ["security_number,ask_price", *(f"{name},{ask}" for name, ask in ASKS.items())]
    files.volumes.write_text("\n".join(lines) + "\n", encoding="utf-8")
    index_bits = int(counts[assigned].max()).bit_length()
    return int(numbers.max()).bit_length() + index_bits


def _symbols(count: int, random: np.random.Generator) -> pa.StringArray:
    """Return string[count] of distinct OSI symbols."""
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    roots = {"".join(random.choice(letters, random.integers(1, 6))) for _ in range(600)}
    weeks = [BUSINESS_DATE + dt.timedelta(days=7 * week + 4) for week in range(20)]
    parts = [
        [f"{root:<6}" for root in sorted(roots)],
        [f"{expiry:%y%m%d}" for expiry in weeks],
        ["C", "P"],
        [f"{strike * 500:08d}" for strike in range(2, 1_200)],
    ]
    shape = tuple(len(part) for part in parts)
    drawn = random.choice(int(np.prod(shape)), count, replace=False)
    columns = [
        pa.array(part).take(pa.array(index))
        for part, index in zip(parts, np.unravel_index(drawn, shape), strict=True)
    ]
    return pc.binary_join_element_wise(*columns, "")


def _rows_of_series(size: DaySize, random: np.random.Generator) -> Integers:
    """Return int64[series]: how many rows each has, one at least."""
    weights = 1 / np.arange(1, size.series + 1)
    counts = 1 + random.multinomial(size.positions - size.series, weights / weights.sum())
    return random.permutation(counts)


def _numbers(count: int, size: DaySize, random: np.random.Generator) -> Integers:
    """Return int64[a prime, at most count]: distinct account numbers in no order."""
    least, most = size.digits
    digits = random.integers(least, most + 1, 3 * count)
    numbers = np.unique(random.integers(10 ** (digits - 1), 10**digits))
    numbers = random.permutation(numbers)[:count]
    return numbers[: _prime_below(numbers.size)]


def _prime_below(number: int) -> int:
    """Return the largest prime that is not above a number."""
    return next(
        found
        for found in range(number, 1, -1)
        if all(found % divisor for divisor in range(2, int(found**0.5) + 1))
    )


def _write_positions(
    path: Path,
    symbols: pa.StringArray,
    pools: npt.NDArray[np.int32],
    counts: Integers,
    shorts: npt.NDArray[np.int32],
    numbers: Integers,
    random: np.random.Generator,
) -> None:
    """Write the rows of every pool, shuffled, a row group at a time.

    A pool's accounts are every so-manieth of the population, which is a prime many: none comes
    twice. One in twenty accounts is written with leading zeros where it has room for them.

    Args:
        path: The file.
        symbols: string[series and more].
        pools: int32[n], the series of each row, ascending.
        counts: int64[series], the rows of each.
        shorts: int32[n].
        numbers: int64[a prime], the population.
        random: What draws.
    """
    texts = pc.cast(pa.array(numbers), pa.string())
    padded = pc.utf8_lpad(texts, len(str(numbers.max())), "0")
    texts = pc.if_else(pa.array(random.random(numbers.size) < 0.05), padded, texts)
    starts = np.cumsum(counts) - counts
    first = random.integers(0, numbers.size, counts.size)
    step = random.integers(1, numbers.size, counts.size)
    order = np.arange(pools.size, dtype=np.int32)
    random.shuffle(order)
    columns = {"series": pa.string(), "account": pa.string(), "short_quantity": pa.int64()}
    with pq.ParquetWriter(path, pa.schema(columns.items())) as writer:
        for start in range(0, order.size, _ROW_GROUP):
            rows = order[start : start + _ROW_GROUP]
            pool = pools[rows]
            indices = (first[pool] + (rows - starts[pool]) * step[pool]) % numbers.size
            group = {
                "series": symbols.take(pa.array(pool)),
                "account": texts.take(pa.array(indices)),
                "short_quantity": shorts[rows].astype(np.int64),
            }
            writer.write_table(pa.table(group), row_group_size=_ROW_GROUP)


def _notices(
    symbols: pa.StringArray,
    assigned: Integers,
    totals: Integers,
    size: DaySize,
    random: np.random.Generator,
) -> pa.Table:
    """Return one notice or a few for each assigned pool, shuffled; one for a day of one series."""
    part = random.random(assigned.size) ** 2 * 0.6
    quantities = np.maximum(1, (totals[assigned] * part).astype(np.int64))
    quantities[: size.exceeding] = totals[assigned[: size.exceeding]] + 1
    most = random.choice([1, 1, 1, 2, 3] if size.series > 1 else [1], assigned.size)
    pools, notices = [], []
    triples = zip(assigned.tolist(), quantities.tolist(), most.tolist(), strict=True)
    for pool, quantity, count in triples:
        for share in _shares(quantity, min(quantity, count), random):
            pools.append(pool)
            notices.append(share)
    for pool in range(size.series, size.series + size.without_position):
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


def _shares(quantity: int, count: int, random: np.random.Generator) -> list[int]:
    if count == 1:
        return [quantity]
    cuts = random.choice(quantity - 1, count - 1, replace=False) + 1
    bounds = [0, *sorted(int(cut) for cut in cuts), quantity]
    return [after - before for before, after in pairwise(bounds)]
