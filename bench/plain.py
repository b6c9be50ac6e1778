"""What the peers share: the seed and the checks' errors, without a line of the library.

The contender in plain Python, lists and dicts, is here too; it reads like the document.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

ACCOUNT: Final = "[0-9]{1,30}"
SERIES: Final = "[A-Z0-9]{1,6} *[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[CP][0-9]{8}"
"""A padded symbol; how many blanks there are, and how many days a month has, is not looked at."""


class InputRefused(ValueError):
    """A peer found an input that the lottery refuses."""


def ten_thousandths(volumes: Path) -> int:
    """Return the fraction's numerator over 10,000, from the file of asks (S1 to S6)."""
    with volumes.open(newline="", encoding="utf-8") as file:
        asks = [Decimal(row["ask_price"]) for row in csv.DictReader(file)]
    composite = str(int(sum(asks) * 100_000))
    cut = len(composite) - 5
    return int(composite[cut - 1 : cut + 3]) + 1


def refuse_if(found: object, what: str) -> None:
    """Raise if a check found something."""
    if found:
        raise InputRefused(f"there is {what}")


def run_plain(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Compute the day in plain Python; pyarrow only reads and writes."""
    numerator = ten_thousandths(volumes)
    counted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    assigned = pq.read_table(notices, columns=["series", "quantity"])
    columns = (assigned.column(name).to_pylist() for name in ("series", "quantity"))
    for series, quantity in zip(*columns, strict=True):
        refuse_if(quantity < 1, "a notice of nothing")
        counted[series][0] += 1
        counted[series][1] += quantity
    rows = pq.read_table(positions)
    pools: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    others: set[str] = set()
    columns = (rows.column(name).to_pylist() for name in ("series", "account", "short_quantity"))
    for series, account, short in zip(*columns, strict=True):
        if series not in counted:
            others.add(series)
            continue
        refuse_if(
            not (1 <= len(account) <= 30 and account.isascii() and account.isdigit()),
            "an account that is none",
        )
        refuse_if(short < 0, "a negative quantity")
        pools[series].append((int(account), account, short))
    is_symbol = re.compile(SERIES).fullmatch
    refuse_if(not all(map(is_symbol, others)), "a series that is none")
    for accounts in pools.values():
        refuse_if(len({number for number, _, _ in accounts}) < len(accounts), "a repeated account")
    allocations: list[tuple[Any, ...]] = []
    pool_rows: list[tuple[Any, ...]] = []
    for series, (count, assigned) in sorted(counted.items()):
        accounts = sorted(row for row in pools.get(series, ()) if row[2])
        total = sum(short for _, _, short in accounts)
        if assigned > total:
            reason = "EXCEEDS_SHORT" if total else "NO_POSITION"
            without = (None, len(accounts), 0, reason)
            pool_rows.append(("", series, count, assigned, total, 0, *without))
            continue
        first_hit = numerator * total // 10_000 or total
        before_wrap = min(assigned, total - first_hit + 1)
        after_wrap = assigned - before_wrap
        last_hit = first_hit + before_wrap - 1
        hits = last = 0
        for _, account, short in accounts:
            first, last = last + 1, last + short
            hit = max(0, min(last, last_hit) - max(first, first_hit) + 1)
            hit += max(0, min(last, after_wrap) - first + 1)
            hits += hit > 0
            allocations.append(("", series, account, short, first, last, hit))
        drawn = (first_hit, len(accounts), hits, None)
        pool_rows.append(("", series, count, assigned, total, 0, *drawn))
    _write(allocations, ALLOCATION_COLUMNS, output / "allocations.parquet")
    _write(pool_rows, POOL_COLUMNS, output / "pools.parquet")


ALLOCATION_COLUMNS = {
    "occ_account": pa.string(),
    "series": pa.string(),
    "account": pa.string(),
    "short_quantity": pa.int64(),
    "first_number": pa.int64(),
    "last_number": pa.int64(),
    "assigned_quantity": pa.int64(),
}
POOL_COLUMNS = {
    "occ_account": pa.string(),
    "series": pa.string(),
    "notice_count": pa.int64(),
    "assigned_quantity": pa.int64(),
    "total_short": pa.int64(),
    "assigned_before": pa.int64(),
    "first_hit": pa.int64(),
    "account_count": pa.int64(),
    "hit_account_count": pa.int64(),
    "break_reason": pa.string(),
}


def _write(rows: list[tuple[Any, ...]], columns: dict[str, pa.DataType], path: Path) -> None:
    values = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(values, columns.values(), strict=True)]
    table = pa.table(arrays, names=list(columns))
    pq.write_table(table, path, compression="zstd", compression_level=1)
