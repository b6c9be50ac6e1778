"""Publishing: the log and the evidence as files that anybody can read without this software.

    log/checkpoint                  the latest head, with the cosignatures of witnesses
    log/tile/..., tile/entries/...  C2SP tlog-tiles
    log/heads/000000000042          every head as it was signed
    log/witnessed/000000000042      the same head with the cosignatures that a policy asks for
    evidence/DATE/DIGEST/RUN.json   a run's entry beside its evidence

Anyone may publish, at any time, and twice does no harm: everything follows from the rows. So a
process that is killed leaves nothing to recover.

Invariants:
- Heads are published in order and never overwritten. A file that has other bytes is the sign of a
  second history, and ends publishing.
- Partial tiles are removed once the full one is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from lottery.errors import CheckpointInvalid, LedgerDamaged
from lottery.ledger import log
from lottery.ledger.entry import read_entry
from lottery.ledger.evidence import refuse_changed
from lottery.ledger.ports import Objects
from lottery.ledger.run_record import RunRecord
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, unverified_checkpoint
from lottery.tlog.tiles import (
    TILE_WIDTH,
    EntryBundle,
    Tile,
    bundles_between,
    encode_bundle,
    parse_path,
    tile_bytes,
    tiles_between,
)

LOG: Final = "log"
CHECKPOINT: Final = "log/checkpoint"
HEADS: Final = "log/heads"
WITNESSED: Final = "log/witnessed"
EVIDENCE: Final = "evidence"
FOLDER_PARTS: Final = 3
"""Number of parts of the name of a folder of evidence: this one, the date, and the digest."""
BATCH: Final = 64
"""Maximum number of heads whose files are written together."""


def head_name(tree_size: int) -> str:
    """Return the name of a head among the objects."""
    return f"{HEADS}/{tree_size:012d}"


def witnessed_name(tree_size: int) -> str:
    """Return the name of a head with its cosignatures."""
    return f"{WITNESSED}/{tree_size:012d}"


def file_name(file: Tile | EntryBundle) -> str:
    """Return the name of a tile or a bundle of entries."""
    return f"{LOG}/{file.path}"


def parse_file_name(name: str) -> Tile | EntryBundle:
    """Return the tile or the bundle of a name; raise `ValueError` for another one."""
    return parse_path(name.removeprefix(f"{LOG}/"))


def run_file(record: RunRecord) -> str:
    """Return the name of a run's entry beside its evidence."""
    return f"{record.folder}/{record.run}.json"


def published_size(objects: Objects) -> int:
    """Return the size of the checkpoint that is published, which nobody has verified; 0 for none.

    Raises:
        LedgerDamaged: The file is not a checkpoint.
    """
    try:
        note = objects.get(CHECKPOINT)
    except FileNotFoundError:
        return 0
    return _checkpoint_in(note, objects).size


def refuse_other_history(objects: Objects, head: log.Head) -> None:
    """Refuse to sign after a head if others have seen another history, or a later one.

    A database that is an older copy of itself gets no second history (the fence).

    Raises:
        LedgerDamaged: A later head is published, or another one of this size.
    """
    refusal = (
        f"in {objects.place}: the database is an older copy of itself, or of another ledger; "
        "nothing is signed; restore the one that was in use, or see lottery rebuild"
    )
    size = head.tree_size
    if (published := published_size(objects)) > size:
        raise LedgerDamaged(f"expected at most {size} published entries, got {published} {refusal}")
    if size and _get(objects, head_name(size)) not in (None, head.note):
        raise LedgerDamaged(f"expected our head of {size} entries, got another one {refusal}")
    if _get(objects, head_name(size + 1)) is not None:
        raise LedgerDamaged(f"expected no head after {size} entries, got one {refusal}")


def publish(connection: sa.Connection, objects: Objects, *, source: Objects | None = None) -> int:
    """Publish every head that is committed and not published yet, in order.

    Args:
        connection: A transaction of the only publisher.
        objects: Where to publish.
        source: For an archive: the objects that have the evidence, which is copied first.

    Returns:
        The size that is published.

    Raises:
        LedgerDamaged: What is published is not of this log, or the nodes do not give the root that
            was signed.
        CheckpointInvalid: The head is not signed by the log's key.
        OSError: The objects cannot be read or written.
    """
    size = log.read_size(connection)
    done = published_size(objects)
    if done > size:
        raise LedgerDamaged(
            f"expected at most {size} published entries in {objects.place}, got {done}: the "
            "database is an older copy of itself; restore the one that was in use"
        )
    if done:
        _refuse_other_checkpoint(connection, objects, done)
    if size > done:  # What others are shown must be signed, whoever wrote the rows.
        log.read_head(connection, log.read_log(connection))
    for first in range(done, size, BATCH):
        try:
            _publish_heads(connection, objects, first, min(first + BATCH, size), source)
        except FileExistsError as error:
            raise LedgerDamaged(
                f"{objects.place}: {error}: another history is published there"
            ) from error
    if size > done:
        # Before the checkpoint: after it, nobody would know that they are to be removed.
        _remove_partial_tiles(objects, done, size)
        objects.put(CHECKPOINT, log.note_of(connection, size))
    return size


def log_files(size: int) -> Iterator[str]:
    """Yield the names of the tiles and bundles of a log of a size, as publishing leaves them.

    Of the last row of each level, that is every width up to its present one.
    """
    for file in _files_between(0, size):
        is_full = file.width == TILE_WIDTH
        for width in range(TILE_WIDTH if is_full else 1, file.width + 1):
            yield file_name(replace(file, width=width))


def _publish_heads(
    connection: sa.Connection, objects: Objects, first: int, last: int, source: Objects | None
) -> None:
    """Publish the heads after one size up to another, with all that they state."""
    start = first - first % TILE_WIDTH
    entries = log.entries_between(connection, start, last)
    hashes = _hashes_between(connection, first, last)
    contents: dict[str, bytes] = {}
    for index, encoded in enumerate(entries, start):
        if hashes[0, index] != merkle.leaf_hash(encoded):
            raise LedgerDamaged(
                f"expected the hash of entry {index} in the table nodes, got another; nothing more "
                "is published; lottery verify says what is wrong"
            )
    for size in range(first + 1, last + 1):
        encoded = entries[size - 1 - start]
        entry = read_entry(encoded)
        if isinstance(entry, RunRecord):
            if source is not None:
                copy_evidence(entry, source, objects)
            contents[run_file(entry)] = encoded
        for bundle in bundles_between(size - 1, size):
            begin = bundle.index * TILE_WIDTH - start
            contents[file_name(bundle)] = encode_bundle(entries[begin : begin + bundle.width])
        for tile in tiles_between(size - 1, size):
            contents[file_name(tile)] = tile_bytes(tile, lambda level, at: hashes[level, at])
    objects.create_all(contents)
    # Last: a head that is there says that all of the log up to it is.
    objects.create_all(
        {
            head_name(size): note
            for size, note in enumerate(log.notes_between(connection, first + 1, last), first + 1)
        }
    )


def _hashes_between(
    connection: sa.Connection, first: int, last: int
) -> dict[tuple[int, int], bytes]:
    """Return the nodes of the tiles that a log gets between two sizes, by level and index."""
    hashes: dict[tuple[int, int], bytes] = {}
    level, height = 0, TILE_WIDTH.bit_length() - 1
    while first != last:
        start = first - first % TILE_WIDTH
        nodes = log.nodes_between(connection, level, start, last)
        hashes |= {(level, start + number): node for number, node in enumerate(nodes)}
        level, first, last = level + height, first >> height, last >> height
    return hashes


def copy_evidence(record: RunRecord, source: Objects, target: Objects) -> None:
    """Copy a run's evidence, each file of which is compared with its recorded digest."""
    with source.local(record.folder) as folder, target.staging() as staged:
        for file in record.evidence:
            refuse_changed(folder, record.run, file)
            (staged / file.name).parent.mkdir(parents=True, exist_ok=True)
            (staged / file.name).write_bytes((folder / file.name).read_bytes())
        target.take(staged, record.folder)


def _refuse_other_checkpoint(connection: sa.Connection, objects: Objects, size: int) -> None:
    published = unverified_checkpoint(objects.get(CHECKPOINT))
    if published != unverified_checkpoint(log.note_of(connection, size)):
        raise LedgerDamaged(
            f"expected our checkpoint of {size} entries in {objects.place}, got another one: "
            "another history is published there"
        )


def _remove_partial_tiles(objects: Objects, first_size: int, second_size: int) -> None:
    """Remove the partial tiles of those that are full now."""
    for file in _files_between(first_size, second_size):
        if file.width == TILE_WIDTH:
            for width in range(1, TILE_WIDTH):
                objects.delete(file_name(replace(file, width=width)))


def _files_between(first_size: int, second_size: int) -> Iterator[Tile | EntryBundle]:
    yield from tiles_between(first_size, second_size)
    yield from bundles_between(first_size, second_size)


def _checkpoint_in(note: bytes, objects: Objects) -> Checkpoint:
    try:
        return unverified_checkpoint(note)
    except CheckpointInvalid as error:
        raise LedgerDamaged(f"{CHECKPOINT} in {objects.place}: {error}") from error


def _get(objects: Objects, name: str) -> bytes | None:
    try:
        return objects.get(name)
    except FileNotFoundError:
        return None
