"""The transparency log: RFC 9162 tree, C2SP signed notes and checkpoints, Ed25519 keys.

Knows bytes, hashes and keys alone: not what an entry says, and not where it is kept.
"""
