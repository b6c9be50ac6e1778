"""Tiles hold what tlog-tiles says, under its paths, and proofs come from the files alone.

The tree below is written from the definition (RFC 9162, 2.1.1) and shares nothing with the modules
but SHA-256; a tile's hashes are compared with tlog-tiles' own formula, MTH over slices of leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.errors import LedgerDamaged
from lottery.tlog.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from lottery.tlog.tiles import (
    ENTRY_SIZE_LIMIT,
    EntryBundle,
    ReadFile,
    Tile,
    bundles_between,
    decode_bundle,
    encode_bundle,
    node_reader,
    parse_path,
    read_entries,
    tile_bytes,
    tiles_between,
)

LARGEST = 70_000
"""The tree that the specification counts the tiles of."""
ENTRIES = [b"entry %d" % index for index in range(LARGEST)]

SIZES = st.one_of(
    st.integers(0, 600),
    st.sampled_from([255, 256, 257, 511, 512, 65_535, 65_536, 65_537, LARGEST]),
)
INDEXES = st.integers(0, 10**12)


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if end - start < 2:
        return sha256(b"\x00" + ENTRIES[start]).digest()
    k = 1 << (end - start - 1).bit_length() - 1
    return sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def node_of(level: int, index: int) -> bytes:
    return mth(index << level, (index + 1) << level)


def published(*sizes: int) -> dict[str, bytes]:
    """The files of a log that had these sizes, one after the other."""
    files = {}
    for first, second in zip([0, *sizes], sizes, strict=False):
        for tile in tiles_between(first, second):
            files[tile.path] = tile_bytes(tile, node_of)
        for bundle in bundles_between(first, second):
            start = bundle.index * 256
            files[bundle.path] = encode_bundle(ENTRIES[start : start + bundle.width])
    return files


@cache
def published_once(size: int) -> dict[str, bytes]:
    return published(size)


def reader_of(files: dict[str, bytes]) -> tuple[list[str], ReadFile]:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    return asked, read


# Paths


@pytest.mark.parametrize(
    ("index", "elements"),
    [
        (0, "000"),
        (67, "067"),
        (999, "999"),
        (1000, "x001/000"),
        (1_234_067, "x001/x234/067"),  # The specification's example.
        (10**9, "x001/x000/x000/000"),
    ],
)
def test_an_index_is_written_in_threes(index: int, elements: str) -> None:
    assert Tile(level=0, index=index).path == f"tile/0/{elements}"
    assert Tile(level=63, index=index, width=1).path == f"tile/63/{elements}.p/1"
    assert EntryBundle(index=index).path == f"tile/entries/{elements}"
    assert EntryBundle(index=index, width=255).path == f"tile/entries/{elements}.p/255"


@given(st.integers(0, 63), INDEXES, st.integers(1, 256))
def test_a_path_is_read_as_what_it_was_written_from(level: int, index: int, width: int) -> None:
    """parse_path(file.path) == file."""
    tile = Tile(level=level, index=index, width=width)
    bundle = EntryBundle(index=index, width=width)

    assert parse_path(tile.path) == tile
    assert parse_path(bundle.path) == bundle


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x000/001",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/-01",
        "tile/0/\N{ARABIC-INDIC DIGIT ZERO}00",
        "tile/data/000",
        "tile/entries/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p",
    ],
)
def test_no_other_path_is_read(path: str) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        parse_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)],
)
def test_no_other_tile_is_made(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"^expected an? (level|index|width)"):
        Tile(level=level, index=index, width=width)


# Which files there are


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    tiles = list(tiles_between(0, LARGEST))

    full = [tile.level for tile in tiles if tile.width == 256]
    assert (full.count(0), full.count(1), len(full)) == (273, 1, 274)
    assert [(tile.level, tile.index, tile.width) for tile in tiles if tile.width < 256] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert len(list(bundles_between(0, LARGEST))) == 274


def test_a_tree_of_256_has_one_full_tile_and_a_partial_one_above() -> None:
    assert list(tiles_between(0, 256)) == [
        Tile(level=0, index=0),
        Tile(level=1, index=0, width=1),
    ]
    assert list(tiles_between(0, 0)) == []
    assert list(bundles_between(0, 0)) == []
    assert list(tiles_between(5, 5)) == []
    assert list(bundles_between(5, 5)) == []


@given(SIZES, SIZES)
def test_what_is_new_is_what_the_one_tree_has_and_the_other_has_not(one: int, two: int) -> None:
    """tiles_between(m, n) is tiles_between(0, n) without tiles_between(0, m), in its order."""
    first, second = sorted([one, two])

    earlier = set(tiles_between(0, first))
    later = list(tiles_between(0, second))
    assert list(tiles_between(first, second)) == [tile for tile in later if tile not in earlier]

    before = set(bundles_between(0, first))
    after = list(bundles_between(0, second))
    assert list(bundles_between(first, second)) == [one for one in after if one not in before]


@given(st.integers(0, 2**63 - 1))
def test_partial_tiles_are_as_wide_as_the_specification_says(size: int) -> None:
    """At level l, floor(size / 256**l) mod 256 hashes; an empty tile is none."""
    last = {tile.level: tile for tile in tiles_between(max(size - 1, 0), size)}

    for level in range(9):
        width = size // 256**level % 256
        if level in last and last[level].width < 256:
            assert last[level].width == width


@pytest.mark.parametrize(("first", "second"), [(-1, 1), (2, 1)])
def test_a_tree_does_not_shrink(first: int, second: int) -> None:
    with pytest.raises(ValueError, match=r"^expected a first size"):
        list(tiles_between(first, second))
    with pytest.raises(ValueError, match=r"^expected a first size"):
        list(bundles_between(first, second))


# What is in them


@settings(max_examples=30)
@given(SIZES)
def test_a_tile_has_the_hashes_of_the_specification(size: int) -> None:
    """The i-th hash is MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    for tile in list(tiles_between(0, size))[-5:]:
        span = 256**tile.level
        assert tile_bytes(tile, node_of) == b"".join(
            mth((tile.index * 256 + i) * span, (tile.index * 256 + i + 1) * span)
            for i in range(tile.width)
        )


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_is_read_as_what_it_was_written_from(entries: list[bytes]) -> None:
    """decode_bundle(encode_bundle(entries), len(entries)) == entries."""
    data = encode_bundle(entries)

    assert decode_bundle(data, len(entries)) == tuple(entries)
    assert len(data) == sum(2 + len(entry) for entry in entries)


def test_a_bundle_is_lengths_and_entries() -> None:
    largest = b"x" * ENTRY_SIZE_LIMIT

    assert encode_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    assert encode_bundle([largest]) == b"\xff\xff" + largest
    assert decode_bundle(b"\xff\xff" + largest, 1) == (largest,)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [b"x" * (ENTRY_SIZE_LIMIT + 1)]])
def test_no_other_bundle_is_written(entries: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        encode_bundle(entries)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "of 2, got 0 entries"),
        (b"\x00\x02ab", "of 2, got 1 entries"),
        (b"\x00\x02ab\x00\x00\x00\x00", "of 2, got 3 entries"),
        (b"\x00\x02ab\x00", "cut short"),
        (b"\x00\x02ab\x00\x01", "entry 1 of 1 bytes, got 0: the entry bundle is cut short"),
        (b"\x00\x02ab\x00\x03cd", "entry 1 of 3 bytes, got 2: the entry bundle is cut short"),
    ],
)
def test_a_bundle_of_other_bytes_is_damaged(data: bytes, message: str) -> None:
    with pytest.raises(LedgerDamaged, match=message):
        decode_bundle(data, 2)


# Reading


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_proofs_come_from_the_files_alone(data: st.DataObject) -> None:
    """Inclusion and consistency hold for what `node_reader` reads of the files of a size."""
    size = data.draw(st.sampled_from([1, 2, 255, 256, 257, 300, 65_536, LARGEST]))
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    asked, read = reader_of(published_once(size))
    read_node = node_reader(size, read)

    root = root_of(size, read_node)
    assert root == mth(0, size)
    verify_inclusion(
        index=index,
        size=size,
        leaf_hash=leaf_hash(ENTRIES[index]),
        proof=inclusion_proof(index, size, read_node),
        root=root,
    )
    verify_consistency(
        first_size=first,
        second_size=size,
        first_root=mth(0, first),
        second_root=root,
        proof=consistency_proof(first, size, read_node),
    )
    assert len(asked) == len(set(asked)), "a tile is read once"


@settings(max_examples=30)
@given(st.integers(0, 600), st.data())
def test_every_node_is_read_from_its_tile(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, 10))
    index = data.draw(st.integers(0, 4))
    read_node = node_reader(size, reader_of(published(size))[1])

    if (index + 1) << level <= size:
        assert read_node(level, index) == node_of(level, index)
    else:
        with pytest.raises(ValueError, match=r"^expected a node"):
            read_node(level, index)


def test_a_node_below_the_first_is_none() -> None:
    for level, index in [(0, -1), (-1, 0)]:
        with pytest.raises(ValueError, match=r"^expected a node"):
            node_reader(5, reader_of({})[1])(level, index)


def test_a_log_that_grew_still_has_the_files_of_its_smaller_heads() -> None:
    files = published(5, 6, 300)

    assert {path for path in files if path.startswith("tile/0/")} == {
        "tile/0/000.p/5",
        "tile/0/000.p/6",
        "tile/0/000",
        "tile/0/001.p/44",
    }
    for size in (5, 6, 300):
        assert root_of(size, node_reader(size, reader_of(files)[1])) == mth(0, size)
        assert list(read_entries(0, size, size, reader_of(files)[1])) == ENTRIES[:size]


def test_a_full_file_stands_for_a_partial_one_that_was_removed() -> None:
    asked, read = reader_of(published(300))

    assert root_of(5, node_reader(5, read)) == mth(0, 5)
    assert list(read_entries(3, 5, 5, read)) == ENTRIES[3:5]
    assert asked == ["tile/0/000.p/5", "tile/0/000", "tile/entries/000.p/5", "tile/entries/000"]


def test_a_missing_file_is_named() -> None:
    read = reader_of({})[1]

    with pytest.raises(FileNotFoundError, match="tile/0/000"):
        node_reader(256, read)(0, 0)
    with pytest.raises(FileNotFoundError, match="tile/1/000"):
        node_reader(256, read)(8, 0)
    with pytest.raises(FileNotFoundError, match="tile/entries/000"):
        list(read_entries(0, 1, 1, read))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00"])
def test_a_file_of_another_size_is_damaged(change: Callable[[bytes], bytes]) -> None:
    files = {path: change(data) for path, data in published(3).items()}
    read = reader_of(files)[1]

    with pytest.raises(LedgerDamaged, match=r"^tile/0/000\.p/3: expected 96 bytes"):
        node_reader(3, read)(0, 0)
    with pytest.raises(LedgerDamaged, match=r"^tile/entries/000\.p/3: expected"):
        list(read_entries(0, 3, 3, read))


@settings(max_examples=30)
@given(SIZES, st.data())
def test_entries_are_read_from_any_index_to_any(size: int, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, size))
    first = data.draw(st.integers(max(0, end - 600), end))
    files = {
        bundle.path: encode_bundle(ENTRIES[bundle.index * 256 :][: bundle.width])
        for bundle in bundles_between(max(first - 256, 0), size)
    }

    assert list(read_entries(first, end, size, reader_of(files)[1])) == ENTRIES[first:end]


@pytest.mark.parametrize(("first", "end"), [(-1, 1), (2, 1), (0, 4)])
def test_there_are_no_other_entries(first: int, end: int) -> None:
    with pytest.raises(ValueError, match=r"^expected entries of 0 to 3"):
        list(read_entries(first, end, 3, reader_of(published(3))[1]))
