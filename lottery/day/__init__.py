"""A business day as a whole: Arrow tables in, Arrow tables out; pure.

Reading order: `tables` (the schemas), `identifiers` (which texts are valid), `keys` (accounts as
numbers), `segments` (which rows belong together), `allocate` (the day), `loops` (its passes over
rows), `jit` (how these run).
"""
