"""Tiles: a log's hashes and entries as files that never change.

Implements C2SP tlog-tiles (c2sp.org/tlog-tiles, "Merkle Tree", "Partial Tiles", "Log entries").

Not here: where the files are kept (a `ReadFile` is called for them), the checkpoint that says which
of them there are (`checkpoint`), pruning, and HTTP.

Invariants:
- A file has one path and a path one file: parse_path(file.path) == file.
- The files of a tree are those of an earlier tree and the `..._between` the two, but for partial
  ones, which wider ones follow.
- Nothing read is believed for itself: a hash counts once it leads to a signed root, an entry once
  it hashes to a leaf.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar

from lottery.errors import LedgerDamaged
from lottery.tlog.merkle import HASH_SIZE, NodeOf, node_hash

TILE_WIDTH: Final = 256
"""Number of hashes in a full tile, and of entries in a full bundle."""
ENTRY_SIZE_LIMIT: Final = 2**16 - 1
"""Maximum size of an entry in bytes: its length is a uint16."""

ReadFile: TypeAlias = Callable[[str], bytes]
"""Returns the bytes of a path; raises `FileNotFoundError` if there is none."""

_TILE_HEIGHT: Final = 8
_LARGEST_LEVEL: Final = 63
_LENGTH_SIZE: Final = 2
_TILES_KEPT: Final = 64
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A row of hashes: `width` roots of complete subtrees of 256**level leaves each.

    Attributes:
        level: Level of the tile, 0 to 63; 0 has the leaves' hashes.
        index: Index of the tile in its level, from 0.
        width: Number of hashes, 1 to `TILE_WIDTH`.

    Raises:
        ValueError: One of them is out of range.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= _LARGEST_LEVEL:
            raise ValueError(f"expected a level from 0 to {_LARGEST_LEVEL}, got {self.level}")
        _check(self.index, self.width)

    @property
    def path(self) -> str:
        """The path below the log's prefix, such as `tile/0/x001/234.p/5`."""
        return f"tile/{self.level}/{_index_and_width(self.index, self.width)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryBundle:
    """A row of entries: those that the level 0 tile of the same index and width has hashes of.

    Attributes:
        index: Index of the bundle, from 0.
        width: Number of entries, 1 to `TILE_WIDTH`.

    Raises:
        ValueError: One of them is out of range.
    """

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check(self.index, self.width)

    @property
    def path(self) -> str:
        """The path below the log's prefix, such as `tile/entries/x001/234.p/5`."""
        return f"tile/entries/{_index_and_width(self.index, self.width)}"


_File = TypeVar("_File", Tile, EntryBundle)


def parse_path(path: str) -> Tile | EntryBundle:
    """Parse a path below the log's prefix; raise `ValueError` for one that no file has."""
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise ValueError(f"expected the path of a tile or an entry bundle, got {path!r}")
    level, elements, partial = parts.groups()
    index = int(elements.replace("/", "").replace("x", ""))
    width = int(partial or TILE_WIDTH)
    file: Tile | EntryBundle
    if level == "entries":
        file = EntryBundle(index=index, width=width)
    else:
        file = Tile(level=int(level), index=index, width=width)
    if file.path != path:
        raise ValueError(f"expected the path {file.path}, got {path!r}")
    return file


def tiles_between(first_size: int, second_size: int) -> Iterator[Tile]:
    """Yield the tiles that a tree has and that an earlier one did not have, lowest level first.

    Args:
        first_size: Number of leaves in the earlier tree; 0 for all tiles of the later one.
        second_size: Number of leaves in the later tree, at least as many.

    Raises:
        ValueError: A size is negative, or the earlier tree is the larger one.
    """
    _check_sizes(first_size, second_size)
    level = 0
    while first_size != second_size:  # In hashes of this level; no tile above has other ones then.
        for index, width in _rows_between(first_size, second_size):
            yield Tile(level=level, index=index, width=width)
        first_size >>= _TILE_HEIGHT
        second_size >>= _TILE_HEIGHT
        level += 1


def bundles_between(first_size: int, second_size: int) -> Iterator[EntryBundle]:
    """Yield the entry bundles that a tree has and that an earlier one did not have, in order.

    Arguments and errors are those of `tiles_between`.
    """
    _check_sizes(first_size, second_size)
    for index, width in _rows_between(first_size, second_size):
        yield EntryBundle(index=index, width=width)


def tile_bytes(tile: Tile, node_of: NodeOf) -> bytes:
    """Return the bytes of a tile: its hashes, 32 bytes each.

    Args:
        tile: The tile.
        node_of: Called for nodes of level 8 * tile.level alone, in order.
    """
    level, start = _TILE_HEIGHT * tile.level, TILE_WIDTH * tile.index
    return b"".join(node_of(level, start + number) for number in range(tile.width))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle: for each entry a big-endian uint16 length, and itself.

    Raises:
        ValueError: There are no entries or more than `TILE_WIDTH`, or one exceeds
            `ENTRY_SIZE_LIMIT`.
    """
    _check(0, len(entries))
    for entry in entries:
        if len(entry) > ENTRY_SIZE_LIMIT:
            raise ValueError(
                f"expected entries of at most {ENTRY_SIZE_LIMIT} bytes, got {len(entry)}"
            )
    return b"".join(len(entry).to_bytes(_LENGTH_SIZE, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the entries of a bundle.

    Args:
        data: The bytes that `encode_bundle` returns.
        width: Number of entries that it must have.

    Raises:
        LedgerDamaged: The bytes are not exactly so many entries.
    """
    entries: list[bytes] = []
    rest = memoryview(data)
    while rest:
        length = int.from_bytes(rest[:_LENGTH_SIZE], "big")
        entry = bytes(rest[_LENGTH_SIZE : _LENGTH_SIZE + length])
        if len(rest) < _LENGTH_SIZE + length:
            raise LedgerDamaged(
                f"expected entry {len(entries)} of {length} bytes, got {len(entry)}: "
                "the entry bundle is cut short"
            )
        entries.append(entry)
        rest = rest[_LENGTH_SIZE + length :]
    if len(entries) != width:
        raise LedgerDamaged(f"expected an entry bundle of {width}, got {len(entries)} entries")
    return tuple(entries)


def node_reader(size: int, read: ReadFile) -> NodeOf:
    """Return a `NodeOf` that reads a tree's tiles, so that proofs can be made from files alone.

    Args:
        size: Number of leaves in the tree, of which a signed checkpoint must be known: a log need
            not have the partial tiles of other sizes.
        read: Called for a tile of that tree, once while it is in use. If a partial tile is not
            there it is called for the full one, as a log may remove the partial one then.

    Returns:
        A function that raises `LedgerDamaged` if a tile has another size than it should,
        `FileNotFoundError` if it is missing, and `ValueError` for a subtree that is not complete in
        this tree.
    """

    @lru_cache(maxsize=_TILES_KEPT)
    def tile_of(level: int, index: int) -> bytes:
        hashes = size >> (_TILE_HEIGHT * level)
        width = min(TILE_WIDTH, hashes - TILE_WIDTH * index)
        return _read_tile(Tile(level=level, index=index, width=width), read)

    def node_of(level: int, index: int) -> bytes:
        if index < 0 or level < 0 or (index + 1) << level > size:
            raise ValueError(f"expected a node of {size} leaves, got level {level}, index {index}")
        tile_level, height = divmod(level, _TILE_HEIGHT)
        tile_index, start = divmod(index << height, TILE_WIDTH)
        tile = tile_of(tile_level, tile_index)
        return _subtree_root(tile, start, 1 << height)

    return node_of


def read_entries(first: int, end: int, size: int, read: ReadFile) -> Iterator[bytes]:
    """Yield a tree's entries from index `first` to before `end`, bundle by bundle.

    Args:
        first: Index of the first entry.
        end: Index after the last one, at most `size`.
        size: Number of leaves in the tree, as for `node_reader`.
        read: Called for a bundle of that tree, once; or for the full one, as for `node_reader`.

    Raises:
        LedgerDamaged: A bundle is not exactly its entries.
        FileNotFoundError: A bundle is missing.
        ValueError: There are no such entries in the tree.
    """
    if not 0 <= first <= end <= size:
        raise ValueError(f"expected entries of 0 to {size}, got {first} to {end}")
    for start in range(first - first % TILE_WIDTH, end, TILE_WIDTH):
        bundle = EntryBundle(index=start // TILE_WIDTH, width=min(TILE_WIDTH, size - start))
        entries = _read_bundle(bundle, read)
        yield from entries[max(first - start, 0) : end - start]


def _read_tile(tile: Tile, read: ReadFile) -> bytes:
    data, got = _read_widest(tile, read)
    if len(data) != got.width * HASH_SIZE:
        raise LedgerDamaged(f"{got.path}: expected {got.width * HASH_SIZE} bytes, got {len(data)}")
    return data[: tile.width * HASH_SIZE]


def _read_bundle(bundle: EntryBundle, read: ReadFile) -> tuple[bytes, ...]:
    data, got = _read_widest(bundle, read)
    try:
        return decode_bundle(data, got.width)[: bundle.width]
    except LedgerDamaged as error:
        raise LedgerDamaged(f"{got.path}: {error}") from error


def _read_widest(file: _File, read: ReadFile) -> tuple[bytes, _File]:
    """Return a file's bytes and what they are: the file itself, or the full one in its place."""
    try:
        return read(file.path), file
    except FileNotFoundError:
        full = dataclasses.replace(file, width=TILE_WIDTH)
        if full == file:
            raise
        return read(full.path), full


def _subtree_root(tile: bytes, start: int, count: int) -> bytes:
    """Return the root over `count` hashes of a tile, a power of two, from number `start` on."""
    end = (start + count) * HASH_SIZE
    row = [tile[at : at + HASH_SIZE] for at in range(start * HASH_SIZE, end, HASH_SIZE)]
    while len(row) > 1:
        row = list(map(node_hash, row[::2], row[1::2]))
    return row[0]


def _rows_between(first: int, second: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of the rows that `second` items fill, and not those of `first`."""
    if first == second:
        return
    for start in range(first - first % TILE_WIDTH, second, TILE_WIDTH):
        yield start // TILE_WIDTH, min(TILE_WIDTH, second - start)


def _index_and_width(index: int, width: int) -> str:
    elements = f"{index % 1000:03}"
    while index := index // 1000:
        elements = f"x{index % 1000:03}/{elements}"
    return elements if width == TILE_WIDTH else f"{elements}.p/{width}"


def _check(index: int, width: int) -> None:
    if index < 0:
        raise ValueError(f"expected an index of 0 or more, got {index}")
    if not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"expected a width from 1 to {TILE_WIDTH}, got {width}")


def _check_sizes(first_size: int, second_size: int) -> None:
    if not 0 <= first_size <= second_size:
        raise ValueError(f"expected a first size from 0 to {second_size}, got {first_size}")
