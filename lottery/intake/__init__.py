"""Files and wire messages to the tables of `lottery.day.tables`, or problems that name their rows.

Reading order: `sources` (what comes out), `files` and `wire` (the two ways in), `columns` (what a
column may hold), `positions` and `position_block` (the rows of assigned pools, as keys) with their
compiled `loops`, `delimited`, `parquet`, `arrow`, `volumes`, `occ_reports` and `fixml` (the
formats), `memory` (what a day may take).
"""
