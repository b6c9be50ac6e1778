"""The documented method in integers (docs/METHOD.md): no I/O, no clock, no logging, no Arrow.

Reading order: `methodology` (the method as data), `seed` (asks to fraction), `distribution` (one
pool), `odds` (the chances before the fraction is known), with `random_draw` and `occ_wheel` for
comparison.
"""
