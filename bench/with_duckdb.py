"""DuckDB as a contender, in its best idiom.

Account numbers are read as 64-bit integers here, which the lottery may not assume.
"""
# ruff: noqa: S608 - the statement is made of this module's own text and of paths made here.

from __future__ import annotations

from pathlib import Path

from bench.plain import ACCOUNT, SERIES, refuse_if, ten_thousandths


def run_duckdb(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Use indices for the series, one sort, and running sums over a table in insertion order."""
    import duckdb  # noqa: PLC0415 - a contender's process imports its own peer alone.

    numerator = ten_thousandths(volumes)
    with duckdb.connect() as database:
        database.execute(
            f"""
            CREATE TEMP TABLE assigned_pools AS
            SELECT (row_number() OVER (ORDER BY series))::INTEGER AS pool, *
            FROM (SELECT series, count(*) AS notice_count, sum(quantity)::BIGINT AS assigned,
                    min(quantity) AS least
                FROM read_parquet('{notices}') GROUP BY series)"""
        )
        database.execute(
            f"""
            CREATE TEMP TABLE rows AS
            SELECT pool, account, TRY_CAST(account AS BIGINT) AS number, short_quantity
            FROM read_parquet('{positions}') JOIN assigned_pools USING (series)"""
        )
        database.execute(
            f"""
            CREATE TEMP TABLE pools AS
            SELECT *, sum(total) OVER (ORDER BY pool)::BIGINT - total AS before,
                CASE WHEN assigned <= total THEN
                    coalesce(nullif({numerator} * total // 10000, 0), total) END AS first_hit,
                least(assigned, total - first_hit + 1) AS before_wrap
            FROM (SELECT assigned_pools.*, coalesce(total_short, 0) AS total,
                    coalesce(accounts, 0) AS account_count
                FROM assigned_pools LEFT JOIN (
                    SELECT pool, sum(short_quantity)::BIGINT AS total_short, count(*) AS accounts
                    FROM rows WHERE short_quantity > 0 GROUP BY pool) USING (pool))"""
        )
        database.execute(
            """
            CREATE TEMP TABLE sorted AS
            SELECT pool, number, account, short_quantity, series, before, first_hit, before_wrap,
                assigned - before_wrap AS after_wrap
            FROM rows JOIN pools USING (pool) ORDER BY pool, number"""
        )
        checks = database.execute(
            f"""
            SELECT (SELECT bool_or(least < 1) FROM assigned_pools),
                (SELECT NOT bool_and(regexp_full_match(series, '{SERIES}'))
                    FROM (SELECT DISTINCT series FROM read_parquet('{positions}'))),
                (SELECT NOT bool_and(regexp_full_match(account, '{ACCOUNT}')) FROM rows),
                (SELECT bool_or(short_quantity < 0) FROM rows),
                (SELECT bool_or(is_repeated) FROM (SELECT
                    number = lag(number) OVER () AND pool = lag(pool) OVER () AS is_repeated
                    FROM sorted))"""
        ).fetchone()
        assert checks is not None
        refuse_if(checks[0], "a notice of nothing")
        refuse_if(checks[1], "a series that is none")
        refuse_if(checks[2], "an account that is none")
        refuse_if(checks[3], "a negative quantity")
        refuse_if(checks[4], "a repeated account")
        # A table keeps the order in which it was filled, and a window without an order goes by it.
        database.execute(
            """
            CREATE TEMP TABLE allocated AS
            SELECT pool, series, account, short_quantity, last_number - short_quantity + 1
                AS first_number, last_number,
                greatest(0, least(last_number, first_hit + before_wrap - 1)
                    - greatest(first_number, first_hit) + 1)
                + greatest(0, least(last_number, after_wrap) - first_number + 1) AS hit
            FROM (SELECT *, sum(short_quantity) OVER (ROWS UNBOUNDED PRECEDING)::BIGINT - before
                    AS last_number FROM sorted)
            WHERE first_hit IS NOT NULL AND short_quantity > 0"""
        )
        database.execute(
            f"""
            COPY (SELECT '' AS occ_account, series, account, short_quantity, first_number,
                    last_number, hit AS assigned_quantity
                FROM allocated)
            TO '{output}/allocations.parquet'
                (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
        )
        database.execute(
            f"""
            COPY (SELECT '' AS occ_account, series, notice_count, assigned AS assigned_quantity,
                    total AS total_short, CAST(0 AS BIGINT) AS assigned_before, first_hit,
                    account_count, coalesce(hits, 0) AS hit_account_count,
                    CASE WHEN first_hit IS NOT NULL THEN NULL
                        WHEN total > 0 THEN 'EXCEEDS_SHORT' ELSE 'NO_POSITION' END AS break_reason
                FROM pools LEFT JOIN (SELECT pool, count(*) AS hits FROM allocated
                    WHERE hit > 0 GROUP BY pool) USING (pool) ORDER BY pool)
            TO '{output}/pools.parquet'
                (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
        )
