"""What is kept, and how anyone can tell that it is untouched.

Reading order: `run` (the record and its canonical bytes), `evidence` (a run's files and digests),
`store` (the append-only tables, once only, one seed a date).
"""
