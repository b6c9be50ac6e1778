"""Polars as a contender, in its best idiom.

Account numbers are read as 64-bit integers here, which the lottery may not assume.
"""

from __future__ import annotations

from pathlib import Path

from bench.plain import ACCOUNT, SERIES, refuse_if, ten_thousandths


def run_polars(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Use indices for the series, one sort of whole numbers, and running sums less those before."""
    import polars as pl  # noqa: PLC0415 - a contender's process imports its own peer alone.

    numerator = ten_thousandths(volumes)
    assigned_pools = (
        pl.scan_parquet(notices)
        .group_by("series")
        .agg(
            notice_count=pl.len().cast(pl.Int64),
            assigned_quantity=pl.col("quantity").sum(),
            least=pl.col("quantity").min(),
        )
        .sort("series")
        .with_row_index("pool")
        .collect()
    )
    refuse_if(assigned_pools["least"].min() < 1, "a notice of nothing")  # type: ignore[operator]
    series, pool, short = pl.col("series"), pl.col("pool"), pl.col("short_quantity")
    every = pl.scan_parquet(positions).join(
        assigned_pools.lazy().select("series", "pool"), on="series", how="left"
    )
    rows, others = pl.collect_all(
        [
            every.filter(pool.is_not_null()).select(
                "pool",
                "account",
                "short_quantity",
                number=pl.col("account").cast(pl.Int64, strict=False),
            ),
            every.filter(pool.is_null()).select(series.str.contains(f"^{SERIES}$").all()),
        ]
    )
    refuse_if(not others.item(), "a series that is none")
    refuse_if(not rows["account"].str.contains(f"^{ACCOUNT}$").all(), "an account that is none")
    refuse_if((rows["short_quantity"] < 0).any(), "a negative quantity")
    bits = int(rows["number"].max() or 0).bit_length()  # type: ignore[arg-type]
    # One sorted number is three times as fast as two, which are eight times as fast as texts.
    whole = pl.Int64 if bits + len(assigned_pools).bit_length() < 64 else pl.Int128
    key = pl.col("key")
    rows = rows.select(
        "pool", "account", "short_quantity", key=pool.cast(whole) * 2**bits + pl.col("number")
    ).sort("key")
    refuse_if(rows.select((key == key.shift()).any()).item(), "a repeated account")
    rows = rows.filter(short > 0)
    total, assigned = pl.col("total_short"), pl.col("assigned_quantity")
    hit = numerator * (total // 10_000) + numerator * (total % 10_000) // 10_000
    pools = (
        assigned_pools.lazy()
        .join(
            rows.lazy()
            .group_by("pool")
            .agg(total_short=short.sum(), account_count=pl.len().cast(pl.Int64)),
            on="pool",
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
    columns = ("series", "before", "first_hit", "before_wrap", "assigned_quantity")
    of_pools = pools.select(columns).with_columns(series.cast(pl.Enum(pools["series"])))
    allocated = (
        pl.concat([rows, of_pools[rows["pool"]]], how="horizontal")
        .lazy()
        .with_columns(last_number=short.cum_sum() - pl.col("before"))
        .filter(first_hit.is_not_null())
        .with_columns(first_number=last - short + 1)
        .select(
            pl.lit("").alias("occ_account"),
            "pool",
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
        .group_by("pool")
        .agg(hit_account_count=pl.len().cast(pl.Int64))
    )
    pools = (
        pools.lazy()
        .join(hits, on="pool", how="left", maintain_order="left")
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
    for frame, name in ((allocated.drop("pool"), "allocations"), (pools, "pools")):
        frame.write_parquet(
            output / f"{name}.parquet", compression="zstd", compression_level=1, statistics=False
        )
