"""The ledger: recorded runs, their evidence, and the signed log of both.

Reading order: `run_record` (a run's canonical bytes) and `draft` (what becomes one), `evidence` (a
run's files and digests), `commit` (recording a run once, whole or not at all) with `rules` (what
contradicts a recorded run) and `write_transaction`, `log` (the signed trees) and `trail`, and
`database` (the append-only tables) with `queries` and `reader`.
"""
