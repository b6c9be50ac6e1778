"""Where a command's work is done: in this process, on a ledger, or by a server.

Both have the same methods, those of `lottery.operations`; `lottery.backends.remote` loads gRPC, and
is imported by whoever names a server.
"""
