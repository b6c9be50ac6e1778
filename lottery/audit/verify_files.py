"""Verify the published log: every head, entry and hash, read as if nothing of it were known.

What is true of an entry is what the signed head of its size says: of the bytes that the bundle and
the database offer for it, those are taken that lead to the signed root. So a damaged file is named,
and hides nothing.

Invariants:
- A file is compared with the bytes that it must have, to the last one.
- A log that grows meanwhile is no fault: what was added since is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, Protocol

from lottery.audit.fault import Fault, Stray, Tally
from lottery.audit.verify_rules import Story, entry_name
from lottery.audit.verify_tree import Tree
from lottery.errors import CheckpointInvalid, LotteryError, escape
from lottery.ledger.log import Log
from lottery.ledger.ports import Objects
from lottery.ledger.publish import (
    CHECKPOINT,
    HEADS,
    LOG,
    WITNESSED,
    file_name,
    head_name,
    log_files,
    parse_file_name,
)
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint, unverified_checkpoint
from lottery.tlog.merkle import HASH_SIZE, leaf_hash
from lottery.tlog.note import SignedNote
from lottery.tlog.tiles import (
    TILE_WIDTH,
    EntryBundle,
    Tile,
    encode_bundle,
    tile_bytes,
)

_SIZED: Final = re.compile(f"({HEADS}|{WITNESSED})/([0-9]{{12}})")
_NOT_EXPECTED: Final = "expected no such file"


class Spare(Protocol):
    """A second source of what is published: the database, which is not believed either."""

    def size(self) -> int:
        """Return how many entries are committed; 0 if that cannot be read."""

    def entry(self, index: int) -> bytes | None:
        """Return an entry, or None."""

    def head(self, size: int) -> bytes | None:
        """Return a signed head, or None."""


class LogFiles:
    """The published log of a ledger.

    Args:
        objects: Where it is published.
        spare: A second source.
        tally: Counts the files.
        is_complete: Whether every head that is there counts, also one after the checkpoint.

    Attributes:
        size: How many entries are published, once `faults` has begun.
        tree: The tree of those that were read.
        story: What follows from them.
    """

    def __init__(
        self, objects: Objects, spare: Spare, tally: Tally, *, is_complete: bool = False
    ) -> None:
        self._is_complete = is_complete
        self._objects = objects
        self._spare = spare
        self._tally = tally
        self.size = 0
        self.tree = Tree()
        self.story = Story()
        self._checkpoint_size = 0
        self._differs = False
        self._replaced: dict[int, bytes | None] = {}
        self._bundle: tuple[int, Sequence[bytes]] = (-1, ())
        self._heads = bytearray()

    def is_there(self) -> bool:
        """Return whether anything is published."""
        return next(iter(self._objects.list(LOG)), None) is not None

    def faults(self) -> Iterator[Fault]:
        """Yield every fault of the log; `tree` and `story` are whole at the end."""
        yield from self._find_size()
        for start in range(0, self.size, TILE_WIDTH):
            yield from self._row_faults(start)
        yield from self._tile_faults()
        if self._checkpoint_size:
            yield from self._signed_faults(CHECKPOINT, self._checkpoint_size)
        yield from self._other_files()

    def entry(self, index: int) -> bytes | None:
        """Return an entry that was read, None if it is lost."""
        if index in self._replaced:
            return self._replaced[index]
        number, offset = divmod(index, TILE_WIDTH)
        if self._bundle[0] != number:
            width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
            data = self._get(EntryBundle(index=number, width=width))
            self._bundle = number, _entries_in(data or b"", width)
        entries = self._bundle[1]
        # A file that is changed while it is read is not what was verified.
        found = entries[offset] if offset < len(entries) else None
        same = found is not None and leaf_hash(found) == self.tree.node(0, index)
        return found if same else None

    def head_digest(self, size: int) -> str | None:
        """Return the SHA-256 of the published head of a size, None if that is not as signed."""
        digest = bytes(self._heads[(size - 1) * HASH_SIZE : size * HASH_SIZE])
        return digest.hex() if any(digest) else None

    def is_head(self, note: bytes, size: int) -> bool:
        """Return whether a note is the head that was read of a size."""
        return self.head_digest(size) == sha256(note).hexdigest()

    def open_head(self, note: bytes, size: int) -> Checkpoint:
        """Return a head of this log, signed by the key that signs its size.

        Raises:
            CheckpointInvalid: It is not, or the key is not known.
        """
        return _open_alone(note, size, self.story.log())

    def _find_size(self) -> Iterator[Fault]:
        """Find how many entries are published."""
        committed = self._spare.size()
        try:
            found = unverified_checkpoint(self._objects.get(CHECKPOINT))
            size = found.size
            # A size that was changed would have this log looked for where there is nothing.
            if size != committed and self._stated_by_head(size) != found:
                raise CheckpointInvalid(f"expected what {head_name(size)} states, got another head")
            self.size = self._checkpoint_size = size
        except (OSError, LotteryError) as error:
            yield Fault(where=CHECKPOINT, problem=_shown(error))
            self.size = committed or self._largest_head()
        if self.size < committed:
            problem = f"expected {committed} entries as in the database, got {self.size}"
            yield Fault(where=CHECKPOINT, problem=problem)
        if self._is_complete:
            self.size = max(self.size, self._largest_head())
        self._tally.tree_size = self.size

    def _largest_head(self) -> int:
        """Return the largest size of which there is a head, which nobody has verified."""
        names = (_SIZED.fullmatch(found.name) for found in self._objects.list(HEADS))
        sizes = sorted((int(match[2]) for match in names if match), reverse=True)
        return next(filter(self._stated_by_head, sizes), 0)

    def _stated_by_head(self, size: int) -> Checkpoint | None:
        """Return what a head states, None if it is not there or not of its size."""
        try:
            found = unverified_checkpoint(self._objects.get(head_name(size)))
        except (OSError, LotteryError):
            return None
        return found if found.size == size else None

    def _row_faults(self, start: int) -> Iterator[Fault]:
        """Read the entries of a bundle, the heads after each of them, and the bundle's files."""
        width = min(TILE_WIDTH, self.size - start)
        index = start // TILE_WIDTH
        offered = _entries_in(self._get(EntryBundle(index=index, width=width)) or b"", width)
        hashes = self._get(Tile(level=0, index=index, width=width)) or b""
        entries: list[bytes | None] = []
        for number in range(width):
            hint = hashes[number * HASH_SIZE : (number + 1) * HASH_SIZE]
            candidate = offered[number] if number < len(offered) else None
            encoded, leaf, head_faults = self._take(start + number, candidate, hint)
            if encoded is None:
                problem = "expected the entry that was signed, got none: it is lost"
                yield Fault(where=entry_name(start + number), problem=problem)
            if encoded is None or encoded != candidate:
                self._replaced[start + number] = encoded
            entries.append(encoded)
            self.tree.append(leaf)
            yield from self.story.add(encoded)
            yield from head_faults
        widths = (TILE_WIDTH,) if width == TILE_WIDTH else range(1, width + 1)
        for each in widths:
            yield from self._bundle_faults(EntryBundle(index=index, width=each), entries[:each])

    def _take(
        self, index: int, offered: bytes | None, hint: bytes
    ) -> tuple[bytes | None, bytes, list[Fault]]:
        """Return an entry, its leaf's hash, and the faults of the head that has it as the last."""
        candidates = [] if offered is None else [offered]
        faults, root = self._head_faults(index + 1, candidates)
        if root is not None and not self._differs:
            for encoded in candidates:
                if self.tree.root_with(leaf_hash(encoded)) == root:
                    return encoded, leaf_hash(encoded), faults
            spare = self._spare.entry(index)
            if spare is not None and self.tree.root_with(leaf_hash(spare)) == root:
                return spare, leaf_hash(spare), faults
            if len(hint) == HASH_SIZE and self.tree.root_with(hint) == root:
                return None, hint, faults
            self._differs = True
            problem = (
                f"expected the root of the {index + 1} entries, got {root.hex()}; "
                "no later head can be compared"
            )
            faults.append(Fault(where=head_name(index + 1), problem=problem))
        for encoded in candidates or filter(None, [self._spare.entry(index)]):
            return encoded, leaf_hash(encoded), faults
        return None, hint if len(hint) == HASH_SIZE else bytes(HASH_SIZE), faults

    def _head_faults(
        self, size: int, candidates: Sequence[bytes]
    ) -> tuple[list[Fault], bytes | None]:
        """Return the faults of a head's file, and the signed root if there is one."""
        where = head_name(size)
        log = self.story.log()
        if log is None:
            offered = [*candidates, *filter(None, [self._spare.entry(size - 1)])]
            log = next(filter(None, map(_log_in, offered)), None)
        faults: list[Fault] = []
        root, digest = None, bytes(HASH_SIZE)
        for note in (partial(self._read, where), partial(self._spare.head, size)):
            try:
                found = note()
                if found is not None:
                    root = _open_alone(found, size, log).root
                    digest = digest if faults else sha256(found).digest()
                    break
            except (OSError, LotteryError) as error:
                if not faults:
                    faults.append(Fault(where=where, problem=_shown(error)))
        self._heads += digest
        return faults, root

    def _bundle_faults(
        self, bundle: EntryBundle, entries: Sequence[bytes | None]
    ) -> Iterator[Fault]:
        """Yield how a bundle's file differs from its entries."""
        whole = [entry for entry in entries if entry is not None]
        where = file_name(bundle)
        try:
            data = self._read(where)
        except OSError as error:
            yield from self._missing(bundle, error)
            return
        if len(whole) < len(entries) or data != encode_bundle(whole):
            problem = "expected the entries that were signed, got other bytes"
            yield Fault(where=where, problem=problem)

    def _tile_faults(self) -> Iterator[Fault]:
        """Yield how the files of hashes differ from the tree."""
        for name in log_files(self.size):
            tile = parse_file_name(name)
            if not isinstance(tile, Tile):
                continue  # `_row_faults` reads the bundles.
            try:
                data = self._read(name)
            except OSError as error:
                yield from self._missing(tile, error)
                continue
            if data != tile_bytes(tile, self.tree.node):
                problem = "expected the hashes of the entries, got other bytes"
                yield Fault(where=name, problem=problem)

    def _signed_faults(self, name: str, size: int) -> Iterator[Fault]:
        """Yield how a head with cosignatures differs from the head of a size."""
        log = self.story.log()
        try:
            note = self._read(name)
            if log is None:
                return  # Each head is reported already.
            if name == CHECKPOINT and unverified_checkpoint(note).size > size:
                return  # The log has grown since.
            checkpoint = open_checkpoint(note, [log.key_of(size)], origin=log.origin).checkpoint
        except (OSError, LotteryError) as error:
            yield Fault(where=name, problem=_shown(error))
            return
        expected = Checkpoint(origin=log.origin, size=size, root=self.tree.root_of(size))
        if checkpoint != expected and not self._differs:
            problem = f"expected the head of {size} entries, got another one"
            yield Fault(where=name, problem=problem)

    def _other_files(self) -> Iterator[Fault]:
        """Yield files that a log of this size does not have; read the heads with cosignatures."""
        newer: list[str] = []
        for found in self._objects.list(LOG):
            name = found.name
            sized = _SIZED.fullmatch(name)
            if name == CHECKPOINT or _is_of(name, self.size):
                if sized is not None and sized[1] == WITNESSED:
                    yield from self._signed_faults(name, int(sized[2]))
            else:
                newer.append(name)
        size = max(self._spare.size(), self.size) if newer else self.size
        for name in sorted(newer):
            if not _is_of(name, size) or _is_left_over(name, self.size):
                yield Stray(where=escape(name), problem=_NOT_EXPECTED)

    def _missing(self, file: Tile | EntryBundle, error: OSError) -> Iterator[Fault]:
        """Yield that a file cannot be read, unless the log has grown and has the full one now."""
        full = replace(file, width=TILE_WIDTH)
        if full != file and not _is_of(file_name(full), self.size) and self._get(full) is not None:
            return
        yield Fault(where=file_name(file), problem=_shown(error))

    def _get(self, file: Tile | EntryBundle) -> bytes | None:
        for name in (file_name(file), file_name(replace(file, width=TILE_WIDTH))):
            try:
                return self._objects.get(name)
            except OSError:
                continue
        return None

    def _read(self, name: str) -> bytes:
        data = self._objects.get(name)
        self._tally.add(len(data))
        return data


def _open_alone(note: bytes, size: int, log: Log | None) -> Checkpoint:
    """Return a head that the log's key, and nobody else, has signed.

    Raises:
        CheckpointInvalid: It is not one of this size, or the key is not known.
    """
    if log is None:
        raise CheckpointInvalid("the log's key is not known")
    checkpoint = open_checkpoint(note, [log.key_of(size)], origin=log.origin).checkpoint
    if len(SignedNote.parse(note).signatures) != 1 or checkpoint.extensions:
        raise CheckpointInvalid("expected the log's signature of size and root, got more")
    if checkpoint.size != size:
        raise CheckpointInvalid(
            f"expected the head of {size} entries, got that of {checkpoint.size}"
        )
    return checkpoint


def _log_in(encoded: bytes) -> Log | None:
    """Return the log that a first entry says it is, if it is a charter."""
    story = Story()
    for _ in story.add(encoded):
        pass
    return story.log()


def _entries_in(data: bytes, width: int) -> Sequence[bytes]:
    """Return the entries of a bundle as far as its bytes go; none of them is believed."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data) and len(entries) < width:
        end = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
        entries.append(data[offset + 2 : end])
        offset = end
    return entries


def _is_of(name: str, size: int) -> bool:
    """Return whether a log of a size has a file of this name."""
    sized = _SIZED.fullmatch(name)
    if sized is not None:
        return 1 <= int(sized[2]) <= size
    width, there = _width_and_there(name, size)
    return width == TILE_WIDTH if there >= TILE_WIDTH else 0 < width <= there


def _is_left_over(name: str, size: int) -> bool:
    """Return whether a file is a part of one that a log of this size has whole."""
    width, there = _width_and_there(name, size)
    return 0 < width < TILE_WIDTH <= there


def _width_and_there(name: str, size: int) -> tuple[int, int]:
    """Return the width of a tile or a bundle, and how wide that of a log of a size is.

    Another file has neither.
    """
    try:
        file = parse_file_name(name)
    except ValueError:
        return 0, 0
    level = file.level if isinstance(file, Tile) else 0
    return file.width, (size >> 8 * level) - TILE_WIDTH * file.index


def _shown(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, OSError):
        return escape(error.strerror or str(error))
    return str(error)
