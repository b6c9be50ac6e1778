"""The Merkle tree: golden vectors, the RFC's own example, and the RFC's definitions as a judge.

The naive tree below is written from the recursive definitions (RFC 9162, 2.1.1, 2.1.3.1, 2.1.4.1)
and shares nothing with the module but SHA-256. Laws over all small trees are cut into shares, so
that they run side by side.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import ProofInvalid
from lottery.tlog.merkle import (
    EMPTY_ROOT,
    HASH_SIZE,
    Node,
    append,
    compact_range_of,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    root_of_compact_range,
    verify_consistency,
    verify_inclusion,
)

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "merkle"
"""transparency-dev/merkle's test data; its README.md says how they were obtained."""

LARGEST: Final = 300
SMALL: Final = 64
ALL_BYTES: Final = 16
"""Size of the largest trees in whose proofs every byte of every hash is flipped."""
SHARES: Final = 8
STRANGER: Final = sha256(b"stranger").digest()

LEAVES: Final = tuple(b"leaf %d" % index for index in range(LARGEST))

shares = pytest.mark.parametrize("share", range(1, SHARES + 1))


# The naive tree: D[start:end] stands for the RFC's D_n, so that a subtree is computed once.


def split_below(count: int) -> int:
    """Return the largest power of two smaller than count."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


@cache
def naive_root(start: int, end: int) -> bytes:
    """MTH(D[start:end]) of 2.1.1."""
    if start == end:
        return sha256().digest()
    if end - start == 1:
        return sha256(b"\x00" + LEAVES[start]).digest()
    k = split_below(end - start)
    return sha256(b"\x01" + naive_root(start, start + k) + naive_root(start + k, end)).digest()


@cache
def naive_path(m: int, start: int, end: int) -> tuple[bytes, ...]:
    """PATH(m, D[start:end]) of 2.1.3.1."""
    if end - start == 1:
        return ()
    k = split_below(end - start)
    if m < k:
        return (*naive_path(m, start, start + k), naive_root(start + k, end))
    return (*naive_path(m - k, start + k, end), naive_root(start, start + k))


@cache
def naive_subproof(m: int, start: int, end: int, *, b: bool) -> tuple[bytes, ...]:
    """SUBPROOF(m, D[start:end], b) of 2.1.4.1."""
    if m == end - start:
        return () if b else (naive_root(start, end),)
    k = split_below(end - start)
    if m <= k:
        return (*naive_subproof(m, start, start + k, b=b), naive_root(start + k, end))
    return (*naive_subproof(m - k, start + k, end, b=False), naive_root(start, start + k))


@cache
def naive_turns(m: int, count: int) -> str:
    """On which side the siblings are on the way from leaf m down, of D_count."""
    if count == 1:
        return ""
    k = split_below(count)
    return "R" + naive_turns(m, k) if m < k else "L" + naive_turns(m - k, count - k)


@cache
def naive_subproof_turns(m: int, count: int) -> str:
    """On which side the siblings are on the way down to the end of the first m, of D_count."""
    if m == count:
        return ""
    k = split_below(count)
    if m <= k:
        return "R" + naive_subproof_turns(m, k)
    return "L" + naive_subproof_turns(m - k, count - k)


# The module's tree, and what it says to a proof.


class Store(dict[tuple[int, int], bytes]):
    """Nodes as a ledger would keep them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        super().__init__()
        self.compact_ranges: list[tuple[bytes, ...]] = [()]
        for size, leaf in enumerate(leaves):
            compact_range, completed = append(size, self.compact_ranges[-1], leaf_hash(leaf))
            self.compact_ranges.append(compact_range)
            self.update({(node.level, node.index): node.hash for node in completed})

    def node(self, level: int, index: int) -> bytes:
        return self[level, index]


@pytest.fixture(scope="module", name="store")
def _store() -> Store:
    return Store(LEAVES)


def includes(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    try:
        verify_inclusion(index=index, size=size, leaf_hash=leaf, proof=proof, root=root)
    except ProofInvalid:
        return False
    return True


def is_consistent(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    try:
        verify_consistency(
            first_size=first,
            second_size=second,
            first_root=first_root,
            second_root=second_root,
            proof=proof,
        )
    except ProofInvalid:
        return False
    return True


def inclusions(largest: int = SMALL) -> Iterator[tuple[int, int, bytes, tuple[bytes, ...], bytes]]:
    """Yield index, size, leaf, proof and root of every leaf of every tree up to a size."""
    for size in range(1, largest + 1):
        root = naive_root(0, size)
        for index in range(size):
            yield index, size, naive_root(index, index + 1), naive_path(index, 0, size), root


def consistencies(
    largest: int = SMALL,
) -> Iterator[tuple[int, int, bytes, bytes, tuple[bytes, ...]]]:
    """Yield both sizes, both roots and the proof of every two trees up to a size."""
    for second in range(1, largest + 1):
        for first in range(1, second + 1):
            proof = naive_subproof(first, 0, second, b=True)
            yield first, second, naive_root(0, first), naive_root(0, second), proof


@cache
def flipped(value: bytes, offset: int) -> tuple[bytes, ...]:
    """Return the value with a bit of each of its bytes flipped, or of the one at an offset.

    Past a few leaves one byte of each hash is enough: all bytes and all eight bits come in turn.
    """
    number = int.from_bytes(value, "big")
    offsets = range(HASH_SIZE) if offset < 0 else (offset % HASH_SIZE,)
    flips = (1 << 8 * at + (at + max(offset, 0)) % 8 for at in offsets)
    return tuple((number ^ flip).to_bytes(HASH_SIZE, "big") for flip in flips)


def bent(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """The proof with items dropped, doubled, added and swapped."""
    indices = range(len(proof))
    return [
        *(proof[:at] + proof[at + 1 :] for at in indices),
        *(proof[:at] + proof[at : at + 1] + proof[at:] for at in indices),
        *((*proof[:at], STRANGER, *proof[at:]) for at in range(len(proof) + 1)),
        *((*proof[:i], proof[j], *proof[i + 1 : j], proof[i], *proof[j + 1 :])
          for i, j in combinations(indices, 2)),
    ]  # fmt: skip


def share_of(share: int, largest: int) -> range:
    return range(share, largest + 1, SHARES)


# Golden vectors.


def vectors(name: str) -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_bytes())
    return loaded


INCLUSION: Final = vectors("inclusion")
CONSISTENCY: Final = vectors("consistency")


def decoded(proof: list[str] | None) -> list[bytes]:
    return [b64decode(item) for item in proof or []]


def test_there_are_196_golden_vectors() -> None:
    assert len(INCLUSION) == 98
    assert len(CONSISTENCY) == 98


@pytest.mark.parametrize("name", INCLUSION)
def test_an_inclusion_vector_is_judged_as_it_says(name: str) -> None:
    vector = INCLUSION[name]

    judged = includes(
        vector["leafIdx"],
        vector["treeSize"],
        b64decode(vector["leafHash"]),
        decoded(vector["proof"]),
        b64decode(vector["root"]),
    )

    assert judged is not vector["wantErr"]


@pytest.mark.parametrize("name", CONSISTENCY)
def test_a_consistency_vector_is_judged_as_it_says(name: str) -> None:
    vector = CONSISTENCY[name]

    judged = is_consistent(
        vector["size1"],
        vector["size2"],
        b64decode(vector["root1"]),
        b64decode(vector["root2"]),
        decoded(vector["proof"]),
    )

    assert judged is not vector["wantErr"]


# The RFC's example (2.1.5) and the reference's roots.


def hand_built() -> dict[str, bytes]:
    """The nodes of the example of 2.1.5 by their names; `j` is the leaf d6."""
    nodes = {
        name: sha256(b"\x00d%d" % index).digest() for index, name in enumerate("abcdefj")
    }  # fmt: skip
    for name, left, right in (
        ("g", "a", "b"),
        ("h", "c", "d"),
        ("i", "e", "f"),
        ("k", "g", "h"),
        ("l", "i", "j"),
        ("hash0", "g", "c"),
        ("hash2", "k", "i"),
        ("hash", "k", "l"),
    ):
        nodes[name] = sha256(b"\x01" + nodes[left] + nodes[right]).digest()
    nodes["hash1"] = nodes["k"]
    return nodes


EXAMPLE: Final = hand_built()
EXAMPLE_STORE: Final = Store([b"d%d" % index for index in range(7)])


def named(hashes: Sequence[bytes]) -> list[str]:
    name_of = {node: name for name, node in EXAMPLE.items() if name != "hash1"}
    return [name_of[one] for one in hashes]


@pytest.mark.parametrize(("size", "name"), [(3, "hash0"), (4, "hash1"), (6, "hash2"), (7, "hash")])
def test_the_roots_of_the_rfcs_example_are_its_own(size: int, name: str) -> None:
    assert root_of(size, EXAMPLE_STORE.node) == EXAMPLE[name]


@pytest.mark.parametrize(("index", "names"), [(0, "bhl"), (3, "cgl"), (4, "fjk"), (6, "ik")])
def test_the_inclusion_proofs_of_the_rfcs_example_are_its_own(index: int, names: str) -> None:
    proof = inclusion_proof(index, 7, EXAMPLE_STORE.node)

    assert named(proof) == list(names)
    verify_inclusion(
        index=index,
        size=7,
        leaf_hash=leaf_hash(b"d%d" % index),
        proof=proof,
        root=EXAMPLE["hash"],
    )


@pytest.mark.parametrize(
    ("first_size", "first_root", "names"),
    [(3, "hash0", "cdgl"), (4, "hash1", "l"), (6, "hash2", "ijk")],
)
def test_the_consistency_proofs_of_the_rfcs_example_are_its_own(
    first_size: int, first_root: str, names: str
) -> None:
    proof = consistency_proof(first_size, 7, EXAMPLE_STORE.node)

    assert named(proof) == list(names)
    verify_consistency(
        first_size=first_size,
        second_size=7,
        first_root=EXAMPLE[first_root],
        second_root=EXAMPLE["hash"],
        proof=proof,
    )


REFERENCE_LEAVES: Final = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
REFERENCE_ROOTS: Final = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""By size, as certificate-transparency's own tests have them (RFC 6962's reference)."""


@pytest.mark.parametrize("size", range(len(REFERENCE_ROOTS)))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    store = Store([bytes.fromhex(leaf) for leaf in REFERENCE_LEAVES])

    assert root_of(size, store.node).hex() == REFERENCE_ROOTS[size]


# Trees.


def test_the_empty_tree_has_the_hash_of_nothing_for_its_root(store: Store) -> None:
    assert sha256().digest() == EMPTY_ROOT
    assert root_of_compact_range(()) == EMPTY_ROOT
    assert root_of(0, store.node) == EMPTY_ROOT
    assert compact_range_of(0, store.node) == ()


def test_a_leaf_that_is_made_of_two_hashes_has_not_the_hash_of_their_node() -> None:
    left, right = leaf_hash(b"left"), leaf_hash(b"right")

    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"\x01" + left + right) != node_hash(left, right)


def test_appending_one_by_one_keeps_compact_range_and_root(store: Store) -> None:
    """Law: appending, the kept nodes and the definition give the same compact ranges and roots."""
    assert len(store.compact_ranges) == LARGEST + 1
    for size, compact_range in enumerate(store.compact_ranges):
        assert compact_range == compact_range_of(size, store.node)
        assert len(compact_range) == size.bit_count()
        assert (
            root_of_compact_range(compact_range) == root_of(size, store.node) == naive_root(0, size)
        )


def test_appending_completes_the_leaf_and_a_parent_for_each_trailing_one_of_its_index() -> None:
    """Law: leaf n completes 1 + trailing ones of n nodes, each of them the root of its leaves."""
    compact_range: tuple[bytes, ...] = ()
    for index, leaf in enumerate(LEAVES):
        compact_range, completed = append(index, compact_range, leaf_hash(leaf))

        binary = f"{index:b}"
        assert len(completed) == 1 + len(binary) - len(binary.rstrip("1"))
        assert completed == tuple(
            Node(
                level=level,
                index=index >> level,
                hash=naive_root((index >> level) << level, index + 1),
            )
            for level in range(len(completed))
        )


def test_every_complete_subtree_is_kept_once(store: Store) -> None:
    assert set(store) == {
        (level, index) for level in range(10) for index in range(LARGEST >> level)
    }


def test_appending_changes_nothing_that_was_passed() -> None:
    compact_range = [leaf_hash(b"0")]

    append(1, compact_range, leaf_hash(b"1"))

    assert compact_range == [leaf_hash(b"0")]


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (3, 1), (4, 3), (-1, 1)])
def test_a_compact_range_of_another_size_is_not_appended_to(size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"range of {size} leaves, got {count} hashes"):
        append(size, [STRANGER] * count, STRANGER)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_leaf_hash_of_another_length_is_not_appended(length: int) -> None:
    with pytest.raises(ValueError, match=f"expected a leaf hash of 32 bytes, got {length}"):
        append(0, (), bytes(length))


def test_a_tree_of_negative_size_has_no_compact_range_and_no_root(store: Store) -> None:
    with pytest.raises(ValueError, match="expected a tree size of 0 or more, got -1"):
        compact_range_of(-1, store.node)
    with pytest.raises(ValueError, match="expected a tree size of 0 or more, got -1"):
        root_of(-1, store.node)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (8, 7), (-1, 7), (0, -1)])
def test_no_inclusion_proof_is_made_of_a_leaf_that_is_not_there(
    index: int, size: int, store: Store
) -> None:
    with pytest.raises(ValueError, match=f"below the tree size of {size}, got {index}"):
        inclusion_proof(index, size, store.node)


@pytest.mark.parametrize(("first_size", "second_size"), [(0, 0), (0, 7), (8, 7), (-1, 7), (-2, -1)])
def test_no_consistency_proof_is_made_from_an_empty_or_a_larger_tree(
    first_size: int, second_size: int, store: Store
) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {second_size}, got {first_size}"):
        consistency_proof(first_size, second_size, store.node)


# All proofs of all trees, against the definitions.


@shares
def test_every_inclusion_proof_to_300_leaves_is_the_definitions_and_verifies(
    share: int, store: Store
) -> None:
    """Law: inclusion_proof is PATH, and the root verifies by it."""
    for size in share_of(share, LARGEST):
        root = naive_root(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, store.node)
            assert proof == naive_path(index, 0, size)
            assert includes(index, size, naive_root(index, index + 1), proof, root)


@shares
def test_every_consistency_proof_to_300_leaves_is_the_definitions_and_verifies(
    share: int, store: Store
) -> None:
    """Law: consistency_proof is PROOF, and both roots verify by it."""
    for second in share_of(share, LARGEST):
        root = naive_root(0, second)
        for first in range(1, second + 1):
            proof = consistency_proof(first, second, store.node)
            assert proof == naive_subproof(first, 0, second, b=True)
            assert is_consistent(first, second, naive_root(0, first), root, proof)


def test_proofs_ask_for_complete_subtrees_only_and_about_twice_a_level(store: Store) -> None:
    """Law: a proof costs O(log n) nodes, all of them kept when the tree had that size."""
    asked: list[tuple[int, int]] = []

    def node_of(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size
        asked.append((level, index))
        return store.node(level, index)

    for size in range(1, 130):
        levels = size.bit_length()
        for index in range(size):
            asked.clear()
            inclusion_proof(index, size, node_of)
            assert len(asked) == len(set(asked)) <= 2 * levels
            asked.clear()
            consistency_proof(index + 1, size, node_of)
            assert len(asked) == len(set(asked)) <= 2 * levels + 1


# Corruptions of every proof of small trees.


def test_every_flipped_byte_of_an_inclusion_is_refused() -> None:
    for index, size, leaf, proof, root in inclusions():
        turn = -1 if size <= ALL_BYTES else index + size
        for at, item in enumerate(proof):
            for wrong in flipped(item, turn):
                assert not includes(index, size, leaf, (*proof[:at], wrong, *proof[at + 1 :]), root)
        for wrong in flipped(leaf, turn):
            assert not includes(index, size, wrong, proof, root)
        for wrong in flipped(root, turn):
            assert not includes(index, size, leaf, proof, wrong)


def test_every_flipped_byte_of_a_consistency_is_refused() -> None:
    for first, second, first_root, second_root, proof in consistencies():
        turn = -1 if second <= ALL_BYTES else first + second
        for at, item in enumerate(proof):
            for wrong in flipped(item, turn):
                bad = (*proof[:at], wrong, *proof[at + 1 :])
                assert not is_consistent(first, second, first_root, second_root, bad)
        for wrong in flipped(first_root, turn):
            assert not is_consistent(first, second, wrong, second_root, proof)
        for wrong in flipped(second_root, turn):
            assert not is_consistent(first, second, first_root, wrong, proof)


def test_a_proof_with_hashes_dropped_doubled_added_or_swapped_is_refused() -> None:
    for index, size, leaf, proof, root in inclusions():
        assert not any(includes(index, size, leaf, wrong, root) for wrong in bent(proof))
    for *sizes, first_root, second_root, proof in consistencies():
        first, second = sizes
        for wrong in bent(proof):
            assert not is_consistent(first, second, first_root, second_root, wrong)


def test_an_inclusion_is_bound_to_its_index_and_to_sizes_of_the_same_way_up() -> None:
    """Law: a proof binds the turns of the way, and the size only by them (see RFC 9162, 2.1.3.2).

    If another size gives the same turns the computation is the same, so that only the pair of
    size and root, which is what a log signs, makes the size certain.
    """
    for index, size, leaf, proof, root in inclusions():
        for other in (-1, *range(size + 2), 2**64 + index):
            assert includes(other, size, leaf, proof, root) is (other == index)
        turns = naive_turns(index, size)
        for other in range(SMALL + 2):
            same = index < other and naive_turns(index, other) == turns
            assert includes(index, other, leaf, proof, root) is same


def test_a_consistency_is_bound_to_its_first_size_and_to_second_sizes_of_the_same_way_up() -> None:
    """Law: the first size is bound by its root, the second by the turns, as an inclusion's."""
    for first, second, first_root, second_root, proof in consistencies():
        for other in range(-1, second + 2):
            judged = is_consistent(other, second, first_root, second_root, proof)
            assert judged is (other == first)
        turns = naive_subproof_turns(first, second)
        for other in range(SMALL + 2):
            same = first <= other and naive_subproof_turns(first, other) == turns
            assert is_consistent(first, other, first_root, second_root, proof) is same


# Trees of any leaves and of any size.


@given(leaves=st.lists(st.binary(max_size=40), min_size=1, max_size=100), data=st.data())
def test_proofs_of_any_leaves_verify_from_what_was_kept(
    leaves: list[bytes], data: st.DataObject
) -> None:
    """Law: what appending keeps is enough to prove any leaf and any earlier tree, even equal ones.

    A leaf that is another one is refused at its index.
    """
    kept = Store(leaves)
    size = data.draw(st.integers(1, len(leaves)), label="size")
    index = data.draw(st.integers(0, size - 1), label="index")
    other = data.draw(st.binary().filter(lambda leaf: leaf != leaves[index]), label="other leaf")
    root = root_of(size, kept.node)

    proof = inclusion_proof(index, size, kept.node)
    verify_inclusion(
        index=index, size=size, leaf_hash=leaf_hash(leaves[index]), proof=proof, root=root
    )
    assert not includes(index, size, leaf_hash(other), proof, root)
    verify_consistency(
        first_size=index + 1,
        second_size=size,
        first_root=root_of_compact_range(kept.compact_ranges[index + 1]),
        second_root=root,
        proof=consistency_proof(index + 1, size, kept.node),
    )


def uniform_nodes() -> list[bytes]:
    nodes = [leaf_hash(b"")]
    for _ in range(64):
        nodes.append(node_hash(nodes[-1], nodes[-1]))
    return nodes


UNIFORM: Final = uniform_nodes()
"""By level, the nodes of a tree whose leaves are all empty: a tree of any size without keeping."""


@given(data=st.data(), size=st.integers(1, 2**64))
def test_proofs_of_trees_to_2_to_the_64_leaves_verify(data: st.DataObject, size: int) -> None:
    """Law: nothing is bound to small numbers, and a proof costs at most 129 nodes."""
    index = data.draw(st.integers(0, size - 1), label="index")
    asked: list[tuple[int, int]] = []

    def node_of(level: int, index: int) -> bytes:
        asked.append((level, index))
        return UNIFORM[level]

    root = root_of(size, node_of)
    first_root = root_of(index + 1, node_of)
    asked.clear()
    inclusion = inclusion_proof(index, size, node_of)
    assert len(inclusion) <= 64
    assert len(asked) <= 128
    asked.clear()
    consistency = consistency_proof(index + 1, size, node_of)
    assert len(consistency) <= 65
    assert len(asked) <= 129

    assert includes(index, size, UNIFORM[0], inclusion, root)
    assert is_consistent(index + 1, size, first_root, root, consistency)


# The traps, each by itself.


@pytest.mark.parametrize("length", [0, 31, 33, 64])
@pytest.mark.parametrize("which", ["leaf_hash", "root", "first_root", "second_root", "proof"])
def test_a_hash_of_another_length_is_refused(which: str, length: int) -> None:
    wrong: dict[str, Any] = {which: [bytes(length)] if which == "proof" else bytes(length)}
    inclusion = {"leaf_hash": STRANGER, "root": STRANGER, "proof": [STRANGER]}
    consistency = {"first_root": STRANGER, "second_root": STRANGER, "proof": [STRANGER]}
    message = f"expected a hash of 32 bytes, got {length}"

    if which in inclusion:
        with pytest.raises(ProofInvalid, match=message):
            verify_inclusion(index=0, size=2, **{**inclusion, **wrong})
    if which in consistency:
        with pytest.raises(ProofInvalid, match=message):
            verify_consistency(first_size=1, second_size=2, **{**consistency, **wrong})


def test_bytes_that_join_to_the_same_text_do_not_pass_for_two_hashes() -> None:
    leaf, sibling = leaf_hash(b"0"), leaf_hash(b"1")
    root = node_hash(leaf, sibling)

    assert includes(0, 2, leaf, [sibling], root)
    assert not includes(0, 2, leaf[:31], [leaf[31:] + sibling], root)
    assert not includes(0, 2, leaf + sibling[:1], [sibling[1:]], root)


@pytest.mark.parametrize(
    ("first_size", "second_size", "proof"),
    [
        *((0, second, proof) for second in (0, 1, 7) for proof in ([], [STRANGER])),
        *((first, second, []) for first, second in ((2, 1), (-1, 1), (-2, -1), (1, -1))),
    ],
)
def test_a_consistency_from_an_empty_a_larger_or_a_negative_size_is_refused(
    first_size: int, second_size: int, proof: list[bytes]
) -> None:
    with pytest.raises(ProofInvalid, match=f"from 1 to {second_size}, got {first_size}"):
        verify_consistency(
            first_size=first_size,
            second_size=second_size,
            first_root=STRANGER if first_size else EMPTY_ROOT,
            second_root=naive_root(0, second_size) if second_size >= 0 else STRANGER,
            proof=proof,
        )


def test_trees_of_one_size_are_consistent_where_their_roots_are_equal() -> None:
    assert is_consistent(5, 5, STRANGER, STRANGER, [])


def test_trees_of_one_size_with_other_roots_are_refused() -> None:
    other = leaf_hash(b"other")

    with pytest.raises(ProofInvalid) as refused:
        verify_consistency(
            first_size=5, second_size=5, first_root=STRANGER, second_root=other, proof=[]
        )

    assert str(refused.value) == (
        f"expected the second root {STRANGER.hex()}, got {other.hex()}"
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 5])
def test_trees_of_one_size_with_a_proof_are_refused(size: int) -> None:
    with pytest.raises(ProofInvalid, match="expected a proof of 0 hashes, got 1"):
        verify_consistency(
            first_size=size,
            second_size=size,
            first_root=STRANGER,
            second_root=STRANGER,
            proof=[STRANGER],
        )


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (1, 1), (7, 7), (8, 7), (2**64 - 1, 1), (-1, 7), (0, -1), (-2, -1)]
)
def test_an_inclusion_of_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ProofInvalid, match=f"below the tree size of {size}, got {index}"):
        verify_inclusion(index=index, size=size, leaf_hash=STRANGER, proof=[], root=STRANGER)


@pytest.mark.parametrize("count", [0, 2, 4, 10_000])
def test_a_proof_of_another_count_of_hashes_is_refused_by_its_count(count: int) -> None:
    with pytest.raises(ProofInvalid, match=f"expected a proof of 3 hashes, got {count}"):
        verify_inclusion(
            index=0, size=7, leaf_hash=STRANGER, proof=[STRANGER] * count, root=STRANGER
        )
    with pytest.raises(ProofInvalid, match=f"expected a proof of 3 hashes, got {count}"):
        verify_consistency(
            first_size=6,
            second_size=7,
            first_root=STRANGER,
            second_root=STRANGER,
            proof=[STRANGER] * count,
        )


def test_a_refused_inclusion_says_which_root_was_expected_and_which_was_got() -> None:
    leaf, sibling = leaf_hash(b"0"), leaf_hash(b"1")

    with pytest.raises(ProofInvalid) as refused:
        verify_inclusion(index=0, size=2, leaf_hash=leaf, proof=[sibling], root=STRANGER)

    got = node_hash(leaf, sibling)
    assert refused.value.reason == "PROOF_INVALID"
    assert str(refused.value) == f"expected the root {STRANGER.hex()}, got {got.hex()}"


def test_a_refused_consistency_says_which_of_the_two_roots_is_another() -> None:
    proof = naive_subproof(3, 0, 7, b=True)

    with pytest.raises(ProofInvalid, match=f"expected the first root {STRANGER.hex()}, got"):
        verify_consistency(
            first_size=3,
            second_size=7,
            first_root=STRANGER,
            second_root=naive_root(0, 7),
            proof=proof,
        )
    with pytest.raises(ProofInvalid, match=f"expected the second root {STRANGER.hex()}, got"):
        verify_consistency(
            first_size=3,
            second_size=7,
            first_root=naive_root(0, 3),
            second_root=STRANGER,
            proof=proof,
        )


def test_a_power_of_two_does_not_make_the_first_root_its_own_proof() -> None:
    """The walk starts at the first root as it was given; the second root must contain it."""
    proof = naive_subproof(4, 0, 7, b=True)

    assert is_consistent(4, 7, naive_root(0, 4), naive_root(0, 7), proof)
    assert not is_consistent(4, 7, STRANGER, naive_root(0, 7), proof)
