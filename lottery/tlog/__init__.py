"""The transparency log: RFC 9162 trees, C2SP signed notes, checkpoints and proofs, Ed25519 keys.

Knows bytes, hashes and keys only: not what an entry says, and not where it is kept.
"""
