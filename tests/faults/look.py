"""A look at a ledger by tests: what is wrong with it, and what was allocated twice.

It reads the published files as anybody could, and compares them with the database; it shares no
code with `lottery verify`, whose answer is asked for beside it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow.compute as pc

from lottery.audit.replay import replay
from lottery.ledger import log
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import read_entry
from lottery.ledger.evidence import NOTICES_FILE
from lottery.ledger.publish import CHECKPOINT, head_name, published_size
from lottery.ledger.run_record import RunRecord
from lottery.operations.ledgers import LedgerSettings, open_ledger
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.tiles import read_entries


def problems_of(ledger: Ledger) -> Iterator[str]:
    """Yield what is wrong with the published log and its evidence; the database has to agree."""
    objects = ledger.ports.objects
    with ledger.reading() as connection:
        identity, size = log.read_log(connection), log.read_size(connection)
        rows = log.entries_between(connection, 0, size)
        notes = [log.note_of(connection, number) for number in range(1, size + 1)]
    if objects.get(CHECKPOINT) != notes[-1]:
        yield f"{CHECKPOINT} is not the head of {size} entries"
    entries = list(read_entries(0, size, size, lambda path: objects.get(f"log/{path}")))
    if entries != rows:
        yield "the published entries are not those of the database"
    compact: tuple[bytes, ...] = ()
    for number, (encoded, note) in enumerate(zip(entries, notes, strict=True), 1):
        compact, _ = merkle.append(number - 1, compact, merkle.leaf_hash(encoded))
        signed = open_checkpoint(note, [identity.key_of(number)], origin=identity.origin).checkpoint
        if (signed.size, signed.root) != (number, merkle.root_of_compact_range(compact)):
            yield f"the head of {number} entries is not of these entries"
        if objects.get(head_name(number)) != note:
            yield f"{head_name(number)} is not the head that was signed"
        entry = read_entry(encoded)
        if isinstance(entry, RunRecord):
            yield from _evidence_problems(ledger, entry, encoded)


def is_published(ledger: Ledger) -> bool:
    """Return whether all that is committed is published."""
    with ledger.reading() as connection:
        return log.read_size(connection) == published_size(ledger.ports.objects)


def doubled(ledger: Ledger) -> Sequence[str]:
    """Return the notices that two standing runs have, and what else is there twice."""
    records = list(ledger.iterate())
    gone = {run for record in records for run in record.supersedes}
    counts: Counter[str] = Counter(f"run {record.run}" for record in records)
    counts.update(f"content {record.content_sha256}" for record in records)
    for record in records:
        if record.run not in gone:
            notices = ledger.read(record, NOTICES_FILE)
            names = pc.binary_join_element_wise(
                *(notices.column(name).cast("string") for name in ("occ_account", "notice_id")), "/"
            )
            counts.update(f"notice {record.business_date} {name}" for name in names.to_pylist())
    return [what for what, count in counts.items() if count > 1]


def replayed(settings: LedgerSettings, runs: Sequence[str], processes: int) -> list[str]:
    """Replay runs in forked processes, and return those that do not match."""
    bounds = [len(runs) * part // processes for part in range(processes + 1)]
    readers = [_forked(settings, runs[first:end]) for first, end in pairwise(bounds)]
    differing: list[str] = []
    for process, reader in readers:
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        os.waitpid(process, 0)
        assert said, "a process that replays ended without an answer"
        differing += pickle.loads(said)  # noqa: S301 - our own process wrote it.
    return differing


def _forked(settings: LedgerSettings, runs: Sequence[str]) -> tuple[int, int]:
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    try:
        ledger = open_ledger(settings)
        differing = [run for run in runs if not _replays(ledger, run)]
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(differing))
    finally:
        os._exit(0)


def _replays(ledger: Ledger, run: str) -> bool:
    record = ledger.get(run)
    with ledger.evidence_of(record) as folder:
        return not replay(record, folder).mismatches


def _evidence_problems(ledger: Ledger, record: RunRecord, encoded: bytes) -> Iterator[str]:
    objects = ledger.ports.objects
    if objects.get(f"{record.folder}/{record.run}.json") != encoded:
        yield f"{record.folder}/{record.run}.json is not the entry of {record.run}"
    for file in record.evidence:
        name = f"{record.folder}/{file.name}"
        if hashlib.sha256(objects.get(name)).hexdigest() != file.sha256:
            yield f"{name} is not what {record.run} recorded"
