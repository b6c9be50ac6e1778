"""Merkle trees: roots, inclusion and consistency proofs (RFC 9162, section 2.1, with SHA-256).

Not here: where nodes are kept (a `NodeOf` is called for them), what a leaf holds, who signs a root.

Invariants:
- The hash of a leaf starts from 0x00 and that of a node from 0x01: neither passes for the other.
- Only complete subtrees are kept as nodes: once complete, a subtree never changes again.
- A tree's compact range is the roots of its complete subtrees, largest first: one for each bit set
  in its size.
- A proof has exactly as many hashes as its index and sizes call for, each of 32 bytes; any other is
  rejected before anything is hashed.
- Nothing is proved from an empty tree, which is the beginning of every tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from lottery.errors import ProofInvalid

HASH_SIZE: Final = 32
"""Size of a hash in bytes."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves (2.1.1)."""

NodeOf: TypeAlias = Callable[[int, int], bytes]
"""Returns the hash of the complete subtree at (level, index)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The root of a complete subtree: 2**level leaves, the first of them leaf index * 2**level.

    Attributes:
        level: Height over the leaves, whose level is 0.
        index: Index in the level, from 0.
        hash: 32 bytes.
    """

    level: int
    index: int
    hash: bytes


def verify_inclusion(
    *, index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Verify that a leaf is in a tree (2.1.3.2).

    A proof does not prove the size: the same one leads to the root from index 0 of 3 leaves and of
    4. Take size and root together from a signed checkpoint.

    Args:
        index: Index of the leaf.
        size: Number of leaves in the tree.
        leaf_hash: `leaf_hash` of the leaf itself; a hash that was received could be a node's.
        proof: The hashes that `inclusion_proof` returns.
        root: Root of the tree.

    Raises:
        ProofInvalid: The proof does not prove that.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"expected an index below the tree size of {size}, got {index}")
    _check_lengths((leaf_hash, root, *proof))
    turns = _left_turns(index, size - 1)
    _check_count(expected=len(turns), got=len(proof))
    got = leaf_hash
    for on_left, sibling in zip(turns, proof, strict=True):
        got = node_hash(sibling, got) if on_left else node_hash(got, sibling)
    _check_root("root", expected=root, got=got)


def verify_consistency(
    *,
    first_size: int,
    second_size: int,
    first_root: bytes,
    second_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Verify that a tree begins with the leaves of an earlier one (2.1.4.2).

    Args:
        first_size: Number of leaves in the earlier tree.
        second_size: Number of leaves in the later tree.
        first_root: Root of the earlier tree.
        second_root: Root of the later tree.
        proof: The hashes that `consistency_proof` returns.

    Raises:
        ProofInvalid: The proof does not prove that, or the earlier tree is empty.
    """
    if not 1 <= first_size <= second_size:
        raise ProofInvalid(f"expected a first size from 1 to {second_size}, got {first_size}")
    if first_size == second_size:  # Nothing is hashed: the two roots are equal or they are not.
        _check_count(expected=0, got=len(proof))
        _check_root("second root", expected=first_root, got=second_root)
        return
    _check_lengths((first_root, second_root, *proof))
    # The walk starts at the last node of the earlier tree's compact range. If its size is a power
    # of two that is its root, which is known and therefore not sent.
    level = (first_size & -first_size).bit_length() - 1
    index = (first_size >> level) - 1
    turns = _left_turns(index, (second_size - 1) >> level)
    path = (first_root, *proof) if index == 0 else proof
    _check_count(expected=len(turns) + (index != 0), got=len(proof))
    first_got = second_got = path[0]
    for on_left, sibling in zip(turns, path[1:], strict=True):
        if on_left:
            first_got = node_hash(sibling, first_got)
            second_got = node_hash(sibling, second_got)
        else:
            second_got = node_hash(second_got, sibling)
    _check_root("first root", expected=first_root, got=first_got)
    _check_root("second root", expected=second_root, got=second_got)


def inclusion_proof(index: int, size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """Return the hashes that lead from a leaf to the root, bottom up (PATH of 2.1.3.1).

    Args:
        index: Index of the leaf, 0 to size - 1.
        size: Number of leaves in the tree.
        node_of: Called at most twice a level, and only for subtrees complete in this tree.

    Raises:
        ValueError: The tree has no leaf of this index.
    """
    if not 0 <= index < size:
        raise ValueError(f"expected an index below the tree size of {size}, got {index}")
    start, end = 0, size
    proof = []
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            proof.append(_root_between(split, end, node_of))
            end = split
        else:
            proof.append(_root_between(start, split, node_of))
            start = split
    return tuple(reversed(proof))


def consistency_proof(first_size: int, second_size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """Return the hashes that show that a tree begins with an earlier one (PROOF of 2.1.4.1).

    Args:
        first_size: Number of leaves in the earlier tree, at least 1.
        second_size: Number of leaves in the later tree, at least as many.
        node_of: Called at most twice a level and once more, and only for subtrees complete in the
            later tree.

    Returns:
        The proof, which is empty if the sizes are equal.

    Raises:
        ValueError: The earlier tree is empty or larger than the later one.
    """
    if not 1 <= first_size <= second_size:
        raise ValueError(f"expected a first size from 1 to {second_size}, got {first_size}")
    start, end = 0, second_size
    proof = []
    while first_size != end:
        split = _split(start, end)
        if first_size <= split:
            proof.append(_root_between(split, end, node_of))
            end = split
        else:
            proof.append(_root_between(start, split, node_of))
            start = split
    if start > 0:  # Otherwise the rest is the whole earlier tree, whose root is known.
        proof.append(_root_between(start, end, node_of))
    return tuple(reversed(proof))


def append(
    size: int, compact_range: Sequence[bytes], new_leaf_hash: bytes
) -> tuple[tuple[bytes, ...], tuple[Node, ...]]:
    """Append one leaf, in at most log2(size + 1) hashes (the stack of 2.1.2).

    Args:
        size: Number of leaves before, and the index of the new one.
        compact_range: Compact range of that tree.
        new_leaf_hash: `leaf_hash` of the new leaf.

    Returns:
        The new compact range, and the nodes that became complete: the leaf and its parents, bottom
        up.

    Raises:
        ValueError: The compact range is not that of a tree of this size, or the leaf hash has
            another size.
    """
    if size < 0 or len(compact_range) != size.bit_count():
        raise ValueError(
            f"expected the compact range of {size} leaves, got {len(compact_range)} hashes"
        )
    if len(new_leaf_hash) != HASH_SIZE:
        raise ValueError(f"expected a leaf hash of {HASH_SIZE} bytes, got {len(new_leaf_hash)}")
    rest = list(compact_range)
    completed = [Node(level=0, index=size, hash=new_leaf_hash)]
    # A node of odd index is a right child; its left sibling is the last of the compact range.
    while (node := completed[-1]).index % 2:
        parent = node_hash(rest.pop(), node.hash)
        completed.append(Node(level=node.level + 1, index=node.index // 2, hash=parent))
    return (*rest, node.hash), tuple(completed)


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes (2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two subtrees, 32 bytes (2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(size: int, node_of: NodeOf) -> bytes:
    """Return the root of the first `size` leaves (2.1.1); raise `ValueError` if it is negative."""
    return root_of_compact_range(compact_range_of(size, node_of))


def compact_range_of(size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """Return the compact range of the first `size` leaves; raise `ValueError` if it is negative."""
    if size < 0:
        raise ValueError(f"expected a tree size of 0 or more, got {size}")
    return _compact_range_between(0, size, node_of)


def root_of_compact_range(compact_range: Sequence[bytes]) -> bytes:
    """Return the root of the tree that has this compact range (2.1.1)."""
    if not compact_range:
        return EMPTY_ROOT
    root = compact_range[-1]
    for left in compact_range[-2::-1]:
        root = node_hash(left, root)
    return root


def _split(start: int, end: int) -> int:
    """Return where the RFC divides leaves: after the largest power of two below their count."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _root_between(start: int, end: int, node_of: NodeOf) -> bytes:
    return root_of_compact_range(_compact_range_between(start, end, node_of))


def _compact_range_between(start: int, end: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """Return the compact range of the leaves from `start`, 0 or a `_split`, to before `end`."""
    compact_range = []
    while start < end:
        level = (end - start).bit_length() - 1
        compact_range.append(node_of(level, start >> level))
        start += 1 << level
    return tuple(compact_range)


def _left_turns(index: int, last: int) -> list[bool]:
    """Return whether each sibling on the way up to the root is on the left.

    These are the steps of 2.1.3.2 and 2.1.4.2: `index` is the RFC's `fn`, a node's index in its
    level, and `last` is `sn`, the index of the level's last node, which may be incomplete.
    """
    turns = []
    while last > 0:
        if index % 2 or index != last:  # The last node at an even index has no sibling.
            turns.append(index % 2 == 1)
        index >>= 1
        last >>= 1
    return turns


def _check_count(*, expected: int, got: int) -> None:
    if expected != got:
        raise ProofInvalid(f"expected a proof of {expected} hashes, got {got}")


def _check_lengths(hashes: Sequence[bytes]) -> None:
    for one in hashes:
        if len(one) != HASH_SIZE:
            raise ProofInvalid(f"expected a hash of {HASH_SIZE} bytes, got {len(one)}")


def _check_root(which: str, *, expected: bytes, got: bytes) -> None:
    if expected != got:
        raise ProofInvalid(f"expected the {which} {expected.hex()}, got {got.hex()}")
