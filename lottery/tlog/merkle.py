"""The ledger's Merkle tree: roots, inclusion and consistency proofs (RFC 9162, section 2.1).

The hash is SHA-256. All functions are pure and work on bytes. Not here: where the nodes are kept
(a `NodeOf` is asked for them), what a leaf holds, and who signs a root.

Invariants:
- A leaf's hash starts from 0x00 and a node's from 0x01, so that neither passes for the other.
- Only complete subtrees are nodes that are kept: once complete, a subtree never changes again.
- A tree's edge is the roots of its complete subtrees, the largest first: one a set bit of its size.
- A proof has exactly as many hashes as index and sizes call for, each of 32 bytes; one hash more,
  less, or of another length is refused before anything is hashed.
- Nothing is proved from an empty tree, which is the beginning of every tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from lottery.errors import ProofInvalid

HASH_SIZE: Final = 32
"""Bytes of a hash."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of the tree without leaves (2.1.1)."""

NodeOf: TypeAlias = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree at (level, position)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The root of a complete subtree: 2**level leaves, the first at index position * 2**level.

    Attributes:
        level: The height over the leaves, which are level 0.
        position: The place in the level, the first being 0.
        hash: 32 bytes.
    """

    level: int
    position: int
    hash: bytes


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf, 32 bytes (2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over two subtrees, 32 bytes (2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def append(
    size: int, edge: Sequence[bytes], new_leaf_hash: bytes
) -> tuple[tuple[bytes, ...], tuple[Node, ...]]:
    """Adds one leaf at the end, in at most log2(size + 1) hashes (the stack of 2.1.2).

    Args:
        size: Leaves before; the new leaf's index.
        edge: The edge of that tree.
        new_leaf_hash: `leaf_hash` of the new leaf.

    Returns:
        The new edge, and the nodes that became complete: the leaf and its parents, bottom up.

    Raises:
        ValueError: The edge is not that of a tree of this size, or the hash has not 32 bytes.
    """
    if size < 0 or len(edge) != size.bit_count():
        raise ValueError(f"an edge of {len(edge)} hashes is not that of {size} leaves")
    if len(new_leaf_hash) != HASH_SIZE:
        raise ValueError(f"a leaf hash of {len(new_leaf_hash)} bytes; {HASH_SIZE} are expected")
    rest = list(edge)
    completed = [Node(level=0, position=size, hash=new_leaf_hash)]
    # A node at an odd position is a right child: its left sibling is the smallest of the edge.
    while (node := completed[-1]).position % 2:
        parent = node_hash(rest.pop(), node.hash)
        completed.append(Node(level=node.level + 1, position=node.position // 2, hash=parent))
    return (*rest, node.hash), tuple(completed)


def compact_range_of(size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """The edge of the tree of the first `size` leaves.

    Raises:
        ValueError: The size is negative.
    """
    if size < 0:
        raise ValueError(f"a tree has no {size} leaves")
    return _compact_range_between(0, size, node_of)


def root_of_compact_range(edge: Sequence[bytes]) -> bytes:
    """The root of the tree that has this edge; `EMPTY_ROOT` of the empty one (2.1.1)."""
    if not edge:
        return EMPTY_ROOT
    root = edge[-1]
    for left in edge[-2::-1]:
        root = node_hash(left, root)
    return root


def root_of(size: int, node_of: NodeOf) -> bytes:
    """The root of the tree of the first `size` leaves (2.1.1).

    Raises:
        ValueError: The size is negative.
    """
    return root_of_compact_range(compact_range_of(size, node_of))


def inclusion_proof(index: int, size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """The hashes that lead from a leaf to the root, bottom up (PATH of 2.1.3.1).

    Args:
        index: The leaf's index, 0 to size - 1.
        size: Leaves of the tree.
        node_of: Asked at most twice a level, and only for subtrees complete in this tree.

    Raises:
        ValueError: The tree has no leaf of this index.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf at index {index}")
    start, end = 0, size
    proof = []
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            proof.append(root_of_compact_range(_compact_range_between(split, end, node_of)))
            end = split
        else:
            proof.append(root_of_compact_range(_compact_range_between(start, split, node_of)))
            start = split
    return tuple(reversed(proof))


def consistency_proof(first_size: int, second_size: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """The hashes that show that a tree begins with an earlier one (PROOF of 2.1.4.1).

    Args:
        first_size: Leaves of the earlier tree, at least 1.
        second_size: Leaves of the later one, at least as many.
        node_of: Asked at most twice a level and once more, and only for subtrees complete in the
            later tree.

    Returns:
        The proof; empty where the sizes are equal.

    Raises:
        ValueError: The earlier tree is empty or larger than the later one.
    """
    if not 1 <= first_size <= second_size:
        raise ValueError(f"nothing is proved from {first_size} to {second_size} leaves")
    start, end = 0, second_size
    proof = []
    while first_size != end:
        split = _split(start, end)
        if first_size <= split:
            proof.append(root_of_compact_range(_compact_range_between(split, end, node_of)))
            end = split
        else:
            proof.append(root_of_compact_range(_compact_range_between(start, split, node_of)))
            start = split
    if start > 0:  # Otherwise what is left is the whole earlier tree, whose root is known.
        proof.append(root_of_compact_range(_compact_range_between(start, end, node_of)))
    return tuple(reversed(proof))


def verify_inclusion(
    *, index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Checks that a leaf is in a tree (2.1.3.2).

    A proof does not prove the size: the same one leads to the root from index 0 of 3 leaves and of
    4, as it takes the same turns. Size and root are to be believed together, from a signed head.

    Args:
        index: The leaf's index.
        size: Leaves of the tree.
        leaf_hash: `leaf_hash` of the leaf; a hash that was sent could be a node's.
        proof: As `inclusion_proof` makes it.
        root: The tree's root.

    Raises:
        ProofInvalid: It does not prove that; what was expected and what was got is told.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"an index below the size of {size} is expected, got {index}")
    _check_lengths((leaf_hash, root, *proof))
    turns = _left_turns(index, size - 1)
    _check_count(expected=len(turns), got=len(proof))
    got = leaf_hash
    for on_left, sibling in zip(turns, proof, strict=True):
        got = node_hash(sibling, got) if on_left else node_hash(got, sibling)
    _check_root("tree's", expected=root, got=got)


def verify_consistency(
    *,
    first_size: int,
    second_size: int,
    first_root: bytes,
    second_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Checks that a tree begins with the leaves of an earlier one (2.1.4.2).

    Args:
        first_size: Leaves of the earlier tree.
        second_size: Leaves of the later one.
        first_root: The earlier tree's root.
        second_root: The later one's.
        proof: As `consistency_proof` makes it.

    Raises:
        ProofInvalid: It does not prove that, as where the earlier tree is empty; what was expected
            and what was got is told.
    """
    if not 1 <= first_size <= second_size:
        raise ProofInvalid(f"a size from 1 to {second_size} is expected, got {first_size}")
    if first_size == second_size:  # Nothing is hashed: the two heads are the same or they are not.
        _check_count(expected=0, got=len(proof))
        _check_root("second", expected=first_root, got=second_root)
        return
    _check_lengths((first_root, second_root, *proof))
    # The walk starts at the earlier tree's last complete subtree, the smallest of its edge. Of
    # a tree whose size is a power of two that is all, and its root, being known, is not sent.
    level = (first_size & -first_size).bit_length() - 1
    position = (first_size >> level) - 1
    turns = _left_turns(position, (second_size - 1) >> level)
    path = (first_root, *proof) if position == 0 else proof
    _check_count(expected=len(turns) + (position != 0), got=len(proof))
    first_got = second_got = path[0]
    for on_left, sibling in zip(turns, path[1:], strict=True):
        if on_left:
            first_got = node_hash(sibling, first_got)
            second_got = node_hash(sibling, second_got)
        else:
            second_got = node_hash(second_got, sibling)
    _check_root("first", expected=first_root, got=first_got)
    _check_root("second", expected=second_root, got=second_got)


def _split(start: int, end: int) -> int:
    """Where the RFC divides leaves: after the largest power of two below their count (2.1.1)."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _compact_range_between(start: int, end: int, node_of: NodeOf) -> tuple[bytes, ...]:
    """The edge of the leaves from `start`, which is 0 or where `_split` cut, to before `end`."""
    edge = []
    while start < end:
        level = (end - start).bit_length() - 1
        edge.append(node_of(level, start >> level))
        start += 1 << level
    return tuple(edge)


def _left_turns(position: int, last: int) -> list[bool]:
    """Whether each sibling on the way up to the root is on the left.

    These are the steps of 2.1.3.2 and 2.1.4.2: `position` is the RFC's `fn`, a node's place in its
    level, and `last` is `sn`, the place of the level's last node, which may be incomplete.
    """
    turns = []
    while last > 0:
        if position % 2 or position != last:  # The last at an even place goes up without a sibling.
            turns.append(position % 2 == 1)
        position >>= 1
        last >>= 1
    return turns


def _check_count(*, expected: int, got: int) -> None:
    if expected != got:
        raise ProofInvalid(f"a proof of {expected} hashes is expected, got {got}")


def _check_lengths(hashes: Sequence[bytes]) -> None:
    for one in hashes:
        if len(one) != HASH_SIZE:
            raise ProofInvalid(f"a hash of {HASH_SIZE} bytes is expected, got {len(one)}")


def _check_root(which: str, *, expected: bytes, got: bytes) -> None:
    if expected != got:
        raise ProofInvalid(f"the {which} root {expected.hex()} is expected, got {got.hex()}")
