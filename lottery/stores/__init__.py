"""The adapters of the ledger's ports: databases, directories and buckets, the clock and the ids.

Not here: what the ledger writes to them (`lottery.ledger`), and which of them a command gets
(`lottery.operations`).
"""
