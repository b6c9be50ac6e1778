"""Files and wire messages to the tables of `lottery.day.tables`, or problems that name their rows.

Reading order: `received` (what comes out), `files` and `wire` (the two ways in), `columns` (what a
column may hold), `delimited`, `parquet`, `arrow` and `volumes` (the formats).
"""
