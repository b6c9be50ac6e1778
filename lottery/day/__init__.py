"""A business day, whole: Arrow tables in, Arrow tables out; pure.

Reading order: `tables` (the schemas), `series` and `accounts` (what the texts mean), `pools`
(which rows belong together), `allocate` (the day), `compiled` (its loops).
"""
