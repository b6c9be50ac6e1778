-- Computes one run of the options assignment lottery again, by the documented method
-- "jpms-2024-09-06" (METHOD.md, whose rules are named S1 to D5 below).
--
-- To run it by hand, in an unpacked bundle's folder, with run.json and the Parquet files:
--
--     duckdb -csv -f replay.sql > replayed.csv
--     python -c "import duckdb; duckdb.sql(open('replay.sql').read()).write_csv('replayed.csv')"
--
-- It reads only inputs: the ask prices and decisions of run.json, the notices, the positions, and
-- of the pools whose draw earlier cycles of the date began, what these assigned (continued.parquet)
-- and what they drew from (population.parquet). It does not read what the run assigned: compare
-- assigned_quantity with allocations.parquet, and the pools' figures with pools.parquet.
-- The statement shares no code with the program that made the run.
--
-- It gives one row for each account of each pool that has notices. A pool without positions gives
-- one row without an account. The numbers are NULL if the pool is a break.
-- What the method refuses, such as two rows of an account in one pool, is an error.
--
-- All arithmetic is on integers: // is integer division, and a HUGEINT has 127 bits.
-- TRY_CAST follows each check of a text, because DuckDB may cast rows that CASE excludes.
-- The variable "folder", if set, is the folder to read, with a trailing slash, and "record" the
-- file of the record.

-- Each table is one file or, if it is large, a folder of part files.
SET VARIABLE notices = coalesce(
    (SELECT list(file) FROM glob(coalesce(getvariable('folder'), '') || 'notices.parquet')),
    [coalesce(getvariable('folder'), '') || 'notices/part-*.parquet']
);
SET VARIABLE positions = coalesce(
    (SELECT list(file) FROM glob(coalesce(getvariable('folder'), '') || 'positions.parquet')),
    [coalesce(getvariable('folder'), '') || 'positions/part-*.parquet']
);
SET VARIABLE population = coalesce(
    (SELECT list(file) FROM glob(coalesce(getvariable('folder'), '') || 'population.parquet')),
    [coalesce(getvariable('folder'), '') || 'population/part-*.parquet']
);
SET VARIABLE continued = coalesce(
    (SELECT list(file) FROM glob(coalesce(getvariable('folder'), '') || 'continued.parquet')),
    [coalesce(getvariable('folder'), '') || 'continued/part-*.parquet']
);

WITH

-- The record of the run: its ask prices and its decisions.
record AS MATERIALIZED (
    SELECT
        from_json(
            json_extract(content, '$.seed.volumes'),
            '[{"security_number": "VARCHAR", "ask_price": "VARCHAR"}]'
        ) AS asks,
        json_extract_string(content, '$.method.id') AS method_id,
        json_extract_string(content, '$.method.decisions.account_order') AS account_order,
        json_extract_string(content, '$.method.decisions.zero_hit') AS zero_hit,
        json_extract_string(content, '$.method.decisions.pool') AS pool
    FROM read_text(
        coalesce(getvariable('record'), coalesce(getvariable('folder'), '') || 'run.json')
    )
),

-- F2: an id never changes its meaning, and this statement implements one id.
-- R2, D2 and P3 have two choices each; the run's own are in its record.
decisions AS MATERIALIZED (
    SELECT
        CASE WHEN account_order IN ('numeric', 'code-point') AND method_id = 'jpms-2024-09-06'
            THEN account_order
            ELSE error('run.json names a method or account_order that is not implemented here')
        END AS account_order,
        CASE WHEN zero_hit IN ('wrap', 'first')
            THEN zero_hit
            ELSE error('run.json names a zero_hit that is not implemented here')
        END AS zero_hit,
        CASE WHEN pool IN ('occ-account', 'series')
            THEN pool
            ELSE error('run.json names a pool that is not implemented here')
        END AS pool
    FROM record
),

-- S1, S2: a volume is the ask price times 100,000. Five decimals make it a whole number.
volumes AS (
    SELECT
        ask.security_number,
        CASE WHEN regexp_full_match(ask.ask_price, '[0-9]{1,13}([.][0-9]{1,5}0*)?')
            THEN CAST(TRY_CAST(ask.ask_price AS DECIMAL(38, 5)) * 100000 AS HUGEINT)
            ELSE error('an ask price in run.json does not make a whole volume (S2)')
        END AS volume
    FROM record, unnest(record.asks) AS listed (ask)
),

-- S2, S3: the composite is the sum of the four volumes, each present once.
composites AS (
    SELECT
        CASE WHEN list_sort(list(security_number)) = ['Z901439', 'Z901448', 'Z901466', 'Z901803']
            THEN CAST(sum(volume) AS VARCHAR)
            ELSE error('run.json does not have each of the four securities once (S2)')
        END AS composite
    FROM volumes
),

-- S4, S5: the cut position is the composite's length minus 5, counted from 1, and four digits
-- are taken from there: 282431310 is cut at 4 and gives 4313.
cuts AS (
    SELECT
        CASE WHEN length(composite) >= 6
            THEN substr(composite, length(composite) - 5, 4)
            ELSE error('the composite has fewer than six digits (S5)')
        END AS digits
    FROM composites
),

-- S6: the fraction is digits / 10,000 + 0.0001, or digits + 1 ten-thousandths.
fractions AS MATERIALIZED (
    SELECT CAST(digits AS INTEGER) + 1 AS ten_thousandths
    FROM cuts
),

-- P3: a pool is an occ_account and a series. If the run's choice is series, all accounts that are
-- short the series are one pool, whose occ_account is empty whatever comes along.
-- P5: the notices of a pool are added up.
assigned_pools AS (
    SELECT
        CASE WHEN decisions.pool = 'series' THEN '' ELSE notices.occ_account END AS occ_account,
        series,
        count(*) AS notice_count,
        sum(quantity) AS pool_assigned_quantity
    FROM read_parquet(getvariable('notices'), hive_partitioning = false) AS notices, decisions
    GROUP BY ALL
),

-- P6: what earlier cycles of the date assigned of a pool, from its first hit on.
continued AS (
    SELECT occ_account, series, assigned_before
    FROM read_parquet(getvariable('continued'), hive_partitioning = false)
),

-- P3: the positions as they were given.
given_positions AS (
    SELECT
        CASE WHEN decisions.pool = 'series' THEN '' ELSE given.occ_account END AS occ_account,
        series,
        account,
        short_quantity
    FROM read_parquet(getvariable('positions'), hive_partitioning = false) AS given, decisions
),

-- P1, P2: the open positions. P6: a pool whose draw continues has its first population, whatever
-- was given of it later.
positions AS (
    SELECT occ_account, series, account, short_quantity
    FROM given_positions
    ANTI JOIN continued USING (occ_account, series)
    WHERE short_quantity <> 0
    UNION ALL
    SELECT occ_account, series, account, short_quantity
    FROM read_parquet(getvariable('population'), hive_partitioning = false)
    WHERE short_quantity <> 0
),

-- R1, R2: account numbers of up to 30 digits are compared as numbers, so that 99 comes before 1000.
-- If the run's choice is code-point, accounts have no number and their texts are compared.
numbered_positions AS (
    SELECT
        occ_account,
        series,
        account,
        CASE WHEN short_quantity > 0
            THEN short_quantity
            ELSE error('a position is negative (P2)')
        END AS short_quantity,
        CASE
            WHEN decisions.account_order = 'code-point' THEN NULL
            WHEN regexp_full_match(account, '[0-9]{1,30}') THEN TRY_CAST(account AS HUGEINT)
            ELSE error('an account is not a number of 1 to 30 digits (R2)')
        END AS account_number
    FROM positions, decisions
),

-- R3: in that order each account has the next numbers, one for each contract, from 1 on. An
-- account's last number is the sum of its contracts and those of all accounts before it.
ranges AS (
    SELECT
        occ_account,
        series,
        -- P4, R2: an account has one range, and 7 and 007 are the same number.
        CASE
            WHEN account = lag(account) OVER in_order
                OR account_number = lag(account_number) OVER in_order
                THEN error('an account has two positions in one pool (P4, R2)')
            ELSE account
        END AS account,
        short_quantity,
        row_number() OVER in_order AS account_index,
        sum(short_quantity) OVER in_order - short_quantity + 1 AS first_number,
        sum(short_quantity) OVER in_order AS last_number
    FROM numbered_positions
    WINDOW in_order AS (
        PARTITION BY occ_account, series
        ORDER BY account_number, account
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
),

-- D1: the total short position of a pool.
totals AS (
    SELECT
        occ_account,
        series,
        sum(short_quantity) AS total_short
    FROM positions
    GROUP BY occ_account, series
),

-- D5: whether a pool is a break, and why: late notices can have the numbers that are left.
-- D1: the product of fraction and total, decimals removed.
judged_pools AS (
    SELECT
        assigned_pools.*,
        coalesce(total_short, 0) AS total_short,
        coalesce(assigned_before, 0) AS assigned_before,
        CASE
            WHEN total_short IS NULL THEN 'NO_POSITION'
            WHEN pool_assigned_quantity > total_short - coalesce(assigned_before, 0)
                THEN 'EXCEEDS_SHORT'
        END AS break_reason,
        ten_thousandths * CAST(total_short AS HUGEINT) // 10000 AS product
    FROM assigned_pools
    LEFT JOIN totals USING (occ_account, series)
    LEFT JOIN continued USING (occ_account, series)
    CROSS JOIN fractions
),

-- D1, D2: the first hit. A product below one is the last number (wrap) or number 1 (first).
first_hits AS (
    SELECT
        judged_pools.*,
        CASE
            WHEN break_reason IS NOT NULL THEN NULL
            WHEN product > 0 THEN product
            WHEN zero_hit = 'wrap' THEN total_short
            ELSE 1
        END AS first_hit
    FROM judged_pools, decisions
),

-- P6: late notices continue after the last number hit before, round the circle (D4).
starts AS (
    SELECT
        first_hits.*,
        first_hit + assigned_before
        - CASE WHEN first_hit + assigned_before > total_short THEN total_short ELSE 0 END
            AS hit_from
    FROM first_hits
),

-- D3: the contracts are assigned in sequence, from there to the last hit.
-- D4: after the last number comes number 1: if the last hit is past the total, the numbers from 1
-- to "wrapped_to" are hit too. Without a wrap, "wrapped_to" is below 1.
hit_ranges AS (
    SELECT
        starts.*,
        hit_from + pool_assigned_quantity - 1 AS last_hit,
        hit_from + pool_assigned_quantity - 1 - total_short AS wrapped_to
    FROM starts
)

-- D3, D4: an account is assigned as many contracts as its range has numbers in common with the
-- numbers hit, before and after the wrap.
SELECT
    occ_account,
    series,
    account,
    short_quantity,
    CASE WHEN break_reason IS NULL THEN CAST(first_number AS BIGINT) END AS first_number,
    CASE WHEN break_reason IS NULL THEN CAST(last_number AS BIGINT) END AS last_number,
    CASE WHEN break_reason IS NULL THEN CAST(
        greatest(0, least(last_number, last_hit) - greatest(first_number, hit_from) + 1)
        + greatest(0, least(last_number, wrapped_to) - first_number + 1)
        AS BIGINT
    ) END AS assigned_quantity,
    notice_count,
    CAST(pool_assigned_quantity AS BIGINT) AS pool_assigned_quantity,
    CAST(total_short AS BIGINT) AS total_short,
    CAST(assigned_before AS BIGINT) AS assigned_before,
    CAST(first_hit AS BIGINT) AS first_hit,
    break_reason
FROM hit_ranges
LEFT JOIN ranges USING (occ_account, series)
ORDER BY occ_account, series, account_index;
