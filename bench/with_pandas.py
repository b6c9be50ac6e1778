"""Pandas as a contender, in its best idiom.

Account numbers are read as 64-bit integers here, which the lottery may not assume.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.plain import ACCOUNT, SERIES, refuse_if, ten_thousandths


def run_pandas(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Use a category for the series, one sort, grouped running sums, and merges by pool."""
    import numpy as np  # noqa: PLC0415 - a contender's process imports its own peer alone.
    import pandas as pd  # noqa: PLC0415 - as above.

    numerator = ten_thousandths(volumes)
    assigned_pools = pd.read_parquet(notices, columns=["series", "quantity"])
    refuse_if((assigned_pools["quantity"] < 1).any(), "a notice of nothing")
    pools = (
        assigned_pools.groupby("series", sort=True)["quantity"].agg(["count", "sum"]).reset_index()
    )
    pools.columns = ["series", "notice_count", "assigned_quantity"]
    rows = pd.read_parquet(positions, read_dictionary=["series"])
    symbols = rows["series"].cat.categories
    refuse_if(not symbols.str.fullmatch(SERIES).all(), "a series that is none")
    code_of = pd.Series(range(len(symbols)), symbols)
    pools["code"] = pools["series"].map(code_of)
    pool_of = np.full(len(code_of), -1)
    known = pools["code"].notna().to_numpy()
    pool_of[pools.loc[known, "code"].astype("int64")] = np.flatnonzero(known)
    rows["pool"] = pool_of[rows["series"].cat.codes]
    rows = rows[rows["pool"] >= 0]
    refuse_if(not rows["account"].str.fullmatch(ACCOUNT).all(), "an account that is none")
    refuse_if((rows["short_quantity"] < 0).any(), "a negative quantity")
    rows["number"] = rows["account"].astype("int64")
    rows = _sorted_rows(rows, len(pools))
    rows = rows[rows["short_quantity"] > 0]
    grouped = rows.groupby("pool", sort=False)["short_quantity"]
    pools["total_short"] = grouped.sum().reindex(pools.index, fill_value=0)
    pools["account_count"] = grouped.size().reindex(pools.index, fill_value=0)
    total, assigned = pools["total_short"], pools["assigned_quantity"]
    allocated = assigned <= total
    hit = numerator * (total // 10_000) + numerator * (total % 10_000) // 10_000
    hit = hit.where(hit > 0, total)
    to_the_end = np.minimum(assigned, total - hit + 1)
    rows["last_number"] = grouped.cumsum()
    rows = rows[allocated.to_numpy()[rows["pool"]]]
    pool, last = rows["pool"].to_numpy(), rows["last_number"].to_numpy()
    first = last - rows["short_quantity"].to_numpy() + 1
    first_hit, before_wrap = hit.to_numpy()[pool], to_the_end.to_numpy()[pool]
    after_wrap = assigned.to_numpy()[pool] - before_wrap
    hits = np.maximum(
        0, np.minimum(last, first_hit + before_wrap - 1) - np.maximum(first, first_hit) + 1
    )
    hits += np.maximum(0, np.minimum(last, after_wrap) - first + 1)
    pools["hit_account_count"] = np.bincount(pool[hits > 0], minlength=len(pools))
    pools["first_hit"] = hit.astype("Int64").where(allocated)
    reason = np.where(total > 0, "EXCEEDS_SHORT", "NO_POSITION")
    pools["assigned_before"] = 0
    pools["break_reason"] = pd.Series(reason, dtype="str").where(~allocated)
    pools["occ_account"] = ""
    allocations = pd.DataFrame(
        {
            "occ_account": "",
            "series": pools["series"].to_numpy()[pool],
            "account": rows["account"],
            "short_quantity": rows["short_quantity"],
            "first_number": first,
            "last_number": last,
            "assigned_quantity": hits,
        }
    )
    columns = [
        "occ_account",
        "series",
        "notice_count",
        "assigned_quantity",
        "total_short",
        "assigned_before",
        "first_hit",
        "account_count",
        "hit_account_count",
        "break_reason",
    ]
    for frame, name in ((allocations, "allocations"), (pools[columns], "pools")):
        frame.to_parquet(
            output / f"{name}.parquet", index=False, compression="zstd", compression_level=1
        )


def _sorted_rows(rows: Any, pool_count: int) -> Any:
    """Sort rows by pool and number, as one number if that is short enough: it sorts faster."""
    bits = int(rows["number"].max()).bit_length()
    is_short = bits + pool_count.bit_length() < 64
    rows["key"] = rows["pool"] * (1 << bits) + rows["number"] if is_short else rows["number"]
    rows = rows.sort_values("key" if is_short else ["pool", "key"], ignore_index=True)
    key, pool = rows["key"].to_numpy(), rows["pool"].to_numpy()
    refuse_if(((key[1:] == key[:-1]) & (pool[1:] == pool[:-1])).any(), "a repeated account")
    return rows
