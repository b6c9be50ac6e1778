"""What is kept, and how anyone can tell that it is untouched.

Reading order: `run` (the record and its canonical bytes), `evidence` (a run's files and digests),
`store` (a run recorded once, whole or not at all), with `tables` (the append-only SQL), `conflicts`
(what contradicts what stands) and `staging` beside it.
"""
