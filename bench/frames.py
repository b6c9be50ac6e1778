"""The data frame peers, each in its best idiom: polars, DuckDB and pandas.

Account numbers are read as 64-bit integers here, which the lottery may not assume; that is to the
peers' advantage.
"""
# ruff: noqa: S608 - the statement is made of this module's own text and of paths made here.

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.plain import refuse_if, ten_thousandths

_DIGITS: Final = "^[0-9]{1,30}$"


def run_polars(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Lazy scans, one sort, and running sums less the totals of the pools before."""
    import polars as pl  # noqa: PLC0415 - a contender's process imports its own peer alone.

    numerator = ten_thousandths(volumes)
    series = pl.col("series")
    assigned_pools = (
        pl.scan_parquet(notices)
        .group_by("series")
        .agg(
            notice_count=pl.len().cast(pl.Int64),
            assigned_quantity=pl.col("quantity").sum(),
            least=pl.col("quantity").min(),
        )
        .sort("series")
        .collect()
    )
    refuse_if(assigned_pools["least"].min() < 1, "a notice of nothing")  # type: ignore[operator]
    rows = (
        pl.scan_parquet(positions)
        .join(assigned_pools.lazy().select("series"), on="series", how="semi")
        .with_columns(
            is_account=pl.col("account").str.contains(_DIGITS),
            number=pl.col("account").cast(pl.Int64, strict=False),
        )
        .sort("series", "number")
        .collect()
    )
    refuse_if(not rows["is_account"].all(), "an account that is none")
    refuse_if(rows["short_quantity"].min() < 0, "a negative quantity")  # type: ignore[operator]
    same_account = (series == series.shift()) & (pl.col("number") == pl.col("number").shift())
    refuse_if(rows.select(same_account.any()).item(), "a repeated account")
    opened = rows.lazy().filter(pl.col("short_quantity") > 0)
    total, assigned = pl.col("total_short"), pl.col("assigned_quantity")
    hit = numerator * (total // 10_000) + numerator * (total % 10_000) // 10_000
    pools = (
        assigned_pools.lazy()
        .join(
            opened.group_by("series", maintain_order=True).agg(
                total_short=pl.col("short_quantity").sum(), account_count=pl.len().cast(pl.Int64)
            ),
            on="series",
            how="left",
            maintain_order="left",
        )
        .with_columns(total.fill_null(0), pl.col("account_count").fill_null(0))
        .with_columns(
            before=total.cum_sum() - total,
            break_reason=pl.when(assigned <= total)
            .then(None)
            .when(total > 0)
            .then(pl.lit("EXCEEDS_SHORT"))
            .otherwise(pl.lit("NO_POSITION")),
        )
        .with_columns(
            first_hit=pl.when(pl.col("break_reason").is_null()).then(
                pl.when(hit > 0).then(hit).otherwise(total)
            )
        )
        .with_columns(before_wrap=pl.min_horizontal(assigned, total - pl.col("first_hit") + 1))
        .collect()
    )
    first, last = pl.col("first_number"), pl.col("last_number")
    first_hit, before_wrap = pl.col("first_hit"), pl.col("before_wrap")
    allocated = (
        opened.with_columns(last_number=pl.col("short_quantity").cum_sum())
        .join(
            pools.lazy().select(
                "series", "before", "first_hit", "before_wrap", "assigned_quantity"
            ),
            on="series",
            how="left",
            maintain_order="left",
        )
        .filter(first_hit.is_not_null())
        .with_columns(last_number=last - pl.col("before"))
        .with_columns(first_number=last - pl.col("short_quantity") + 1)
        .select(
            pl.lit("").alias("occ_account"),
            series,
            "account",
            "short_quantity",
            first,
            last,
            assigned_quantity=(
                pl.min_horizontal(last, first_hit + before_wrap - 1)
                - pl.max_horizontal(first, first_hit)
                + 1
            ).clip(0)
            + (pl.min_horizontal(last, assigned - before_wrap) - first + 1).clip(0),
        )
        .collect()
    )
    hits = (
        allocated.lazy()
        .filter(assigned > 0)
        .group_by("series")
        .agg(hit_account_count=pl.len().cast(pl.Int64))
    )
    pools = (
        pools.lazy()
        .join(hits, on="series", how="left", maintain_order="left")
        .select(
            pl.lit("").alias("occ_account"),
            series,
            "notice_count",
            "assigned_quantity",
            "total_short",
            pl.lit(0, pl.Int64).alias("assigned_before"),
            "first_hit",
            "account_count",
            pl.col("hit_account_count").fill_null(0),
            "break_reason",
        )
        .collect()
    )
    for frame, name in ((allocated, "allocations"), (pools, "pools")):
        frame.write_parquet(output / f"{name}.parquet", compression="zstd", compression_level=1)


def run_duckdb(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Run one statement with window functions, whose result is copied to the two files."""
    import duckdb  # noqa: PLC0415 - a contender's process imports its own peer alone.

    numerator = ten_thousandths(volumes)
    with duckdb.connect() as database:
        database.execute(
            f"""
            CREATE TEMP TABLE rows AS
            SELECT series, account, TRY_CAST(account AS BIGINT) AS number, short_quantity,
                regexp_full_match(account, '[0-9]{{1,30}}') AS is_account
            FROM read_parquet('{positions}')
            SEMI JOIN (SELECT series FROM read_parquet('{notices}')) USING (series)"""
        )
        checks = database.execute(
            """
            SELECT count(*) FILTER (NOT is_account), count(*) FILTER (short_quantity < 0),
                (SELECT count(*) FROM
                    (SELECT 1 FROM rows GROUP BY series, number HAVING count(*) > 1))
            FROM rows"""
        ).fetchone()
        assert checks is not None
        refuse_if(checks[0], "an account that is none")
        refuse_if(checks[1], "a negative quantity")
        refuse_if(checks[2], "a doubled account")
        database.execute(
            f"""
            CREATE TEMP TABLE day AS
            WITH assigned_pools AS (
                SELECT series, count(*) AS notice_count, sum(quantity)::BIGINT AS assigned
                FROM read_parquet('{notices}') GROUP BY series
            ), ranges AS (
                SELECT series, number, account, short_quantity,
                    sum(short_quantity) OVER pool_in_order::BIGINT AS last_number,
                    sum(short_quantity) OVER pool::BIGINT AS total_short
                FROM rows
                WHERE short_quantity > 0
                WINDOW pool AS (PARTITION BY series),
                    pool_in_order AS (PARTITION BY series ORDER BY number ROWS UNBOUNDED PRECEDING)
            ), hits AS (
                SELECT *, coalesce(total_short, 0) AS total,
                    CASE WHEN assigned <= total THEN
                        coalesce(nullif({numerator} * total // 10000, 0), total) END AS first_hit,
                    least(assigned, total - first_hit + 1) AS before_wrap
                FROM assigned_pools LEFT JOIN ranges USING (series)
            )
            SELECT *, last_number - short_quantity + 1 AS first_number,
                greatest(0, least(last_number, first_hit + before_wrap - 1)
                    - greatest(first_number, first_hit) + 1)
                + greatest(0, least(last_number, assigned - before_wrap) - first_number + 1) AS hit
            FROM hits"""
        )
        database.execute(
            f"""
            COPY (SELECT '' AS occ_account, series, account, short_quantity, first_number,
                    last_number, hit AS assigned_quantity
                FROM day WHERE first_hit IS NOT NULL ORDER BY series, number)
            TO '{output}/allocations.parquet' (FORMAT parquet, COMPRESSION zstd)"""
        )
        database.execute(
            f"""
            COPY (SELECT '' AS occ_account, series, any_value(notice_count) AS notice_count,
                    any_value(assigned) AS assigned_quantity, any_value(total) AS total_short,
                    CAST(0 AS BIGINT) AS assigned_before, any_value(first_hit) AS first_hit,
                    count(account) AS account_count,
                    count(*) FILTER (first_hit IS NOT NULL AND hit > 0) AS hit_account_count,
                    CASE WHEN any_value(first_hit) IS NOT NULL THEN NULL
                        WHEN any_value(total) > 0 THEN 'EXCEEDS_SHORT'
                        ELSE 'NO_POSITION' END AS break_reason
                FROM day GROUP BY series ORDER BY series)
            TO '{output}/pools.parquet' (FORMAT parquet, COMPRESSION zstd)"""
        )


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
    code_of = pd.Series(range(len(rows["series"].cat.categories)), rows["series"].cat.categories)
    pools["code"] = pools["series"].map(code_of)
    pool_of = np.full(len(code_of), -1)
    known = pools["code"].notna().to_numpy()
    pool_of[pools.loc[known, "code"].astype("int64")] = np.flatnonzero(known)
    rows["pool"] = pool_of[rows["series"].cat.codes]
    rows = rows[rows["pool"] >= 0]
    refuse_if(not rows["account"].str.fullmatch("[0-9]{1,30}").all(), "an account that is none")
    refuse_if((rows["short_quantity"] < 0).any(), "a negative quantity")
    rows["number"] = rows["account"].astype("int64")
    refuse_if(rows.duplicated(["pool", "number"]).any(), "a repeated account")
    rows = rows[rows["short_quantity"] > 0]
    rows = rows.sort_values(["pool", "number"], ignore_index=True)
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
