"""A log's tree, computed again from its leaves (RFC 9162), of which nothing is believed."""

from __future__ import annotations

from collections.abc import Iterator

from lottery.tlog import merkle


class Tree:
    """The hashes of the complete subtrees of a log's entries."""

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[bytearray] = []
        self._compact_range: tuple[bytes, ...] = ()

    def root_with(self, leaf_hash: bytes) -> bytes:
        """Return the root that the tree has with one more leaf, which is not added."""
        compact_range, _ = merkle.append(self.size, self._compact_range, leaf_hash)
        return merkle.root_of_compact_range(compact_range)

    def append(self, leaf_hash: bytes) -> None:
        """Add a leaf."""
        self._compact_range, completed = merkle.append(self.size, self._compact_range, leaf_hash)
        for node in completed:
            if node.level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[node.level] += node.hash
        self.size += 1

    def nodes(self) -> Iterator[tuple[tuple[int, int], bytes]]:
        """Yield level and index of every complete subtree with its hash, in that order."""
        for level, hashes in enumerate(self._levels):
            for index in range(len(hashes) // merkle.HASH_SIZE):
                yield (level, index), self.node(level, index)

    def root_of(self, size: int) -> bytes:
        """Return the root of the first `size` leaves."""
        return merkle.root_of(size, self.node)

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree."""
        start = index * merkle.HASH_SIZE
        return bytes(self._levels[level][start : start + merkle.HASH_SIZE])
