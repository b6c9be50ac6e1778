"""Files and wire messages to the tables of `lottery.day.tables`, or problems that name their rows.

Reading order: `received` (what comes out), `files` and `wire` (the two ways in), `columns` (what a
column may hold), `delimited`, `parquet`, `arrow`, `volumes` and `fixml` (the formats). FIXML's own
order: `fixml` and `fixml_target` (reports out of a file), `fixml_reports` and `fixml_instrument`
(what they have in common), `fixml_notices` and `fixml_positions`, `occ` (what else OCC says).
"""
