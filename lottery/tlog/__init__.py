"""The transparency log: RFC 9162 trees, C2SP signed notes, checkpoints and proofs, Ed25519 keys.

Also its files (tiles), and other people's memory of it: cosignatures, policies and witnesses.
Knows bytes, hashes and keys only: not what an entry says, and not where a log is kept.
"""
