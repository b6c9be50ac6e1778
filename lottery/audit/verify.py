"""Verify: whether a ledger is complete, and what its log signed.

The files come first, and nothing is believed: every head, entry, hash and evidence file is read as
anybody can read it. The rules are derived again from the entries alone. Then the database is
compared with them, row by row.

Not here: whether a run follows from its inputs (`replay`); the bytes of a database's file that mean
nothing.

Invariants:
- Nothing is written, not even to a damaged file.
- Every fault names its file or record, and no fault hides another.
- What is added meanwhile is no fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.fault import NO_FAULTS, Fault, Progress, Tally
from lottery.audit.verify_evidence import evidence_faults, other_dates
from lottery.audit.verify_files import LogFiles
from lottery.audit.verify_rows import row_faults
from lottery.audit.verify_rules import date_faults
from lottery.audit.verify_schema import DATABASE
from lottery.errors import (
    CheckpointInvalid,
    KeyUnusable,
    LedgerDamaged,
    LedgerNotFound,
    LotteryError,
    escape,
)
from lottery.intake.memory import UNLIMITED, DayMemory, naming
from lottery.ledger import log
from lottery.ledger.entry import read_entry
from lottery.ledger.evidence import read_recorded
from lottery.ledger.four_eyes import Verdict
from lottery.ledger.ports import Database, Ports
from lottery.ledger.publish import CHECKPOINT, WITNESSED
from lottery.ledger.run_record import RunRecord
from lottery.ledger.signing import find_key
from lottery.tlog.checkpoint import open_checkpoint, unverified_checkpoint
from lottery.tlog.keys import VerifierKey, encode_base64
from lottery.tlog.note import SignedNote, signers_of

__all__ = ["Fault", "Progress", "Tally", "Verification"]

_THE_LOG = "the log"


class Verification:
    """A verification of a ledger: iterating over it yields every fault.

    Args:
        ports: Where the ledger is.
        key_file: The file of the log's private key; None for an auditor, who does not have it.
        keys: Public keys known from elsewhere: the log's, without which the log's own statement of
            its key is believed, and those of others who sign its heads.
        checkpoints: Heads that somebody else kept, each by the name that faults give it.
        progress: Called with each run.
        memory: What the tables of each run may take.
        is_complete: Whether every head that is there counts, also one after the checkpoint: the
            database is lost, and cannot publish what a killed process left.

    Attributes:
        tally: What has been looked at so far.
        files: The published log.

    Raises:
        LedgerNotFound: There is neither a database nor anything published.
        LimitExceeded: A table needs more memory; while faults are yielded.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        key_file: Path | None = None,
        keys: Sequence[VerifierKey] = (),
        checkpoints: Mapping[str, bytes] | None = None,
        progress: Progress | None = None,
        memory: DayMemory = UNLIMITED.day,
        is_complete: bool = False,
    ) -> None:
        self.tally = Tally()
        committed = _Committed(ports.database)
        self.files = LogFiles(ports.objects, committed, self.tally, is_complete=is_complete)
        self._ports = ports
        self._key_file = key_file
        self._keys = keys
        self._checkpoints = checkpoints or {}
        self._progress = progress
        self._memory = memory
        if not self.files.is_there() and not _has_ledger(ports.database):
            raise LedgerNotFound(f"no ledger at {ports.database.place}; check --ledger")

    @property
    def faults(self) -> Iterator[Fault]:
        """Every fault, one after another."""
        return iter(self)

    def __iter__(self) -> Iterator[Fault]:
        yield from self.published()
        yield from self._key_faults()
        yield from self._kept_faults()
        yield from self._database_faults()

    def published(self) -> Iterator[Fault]:
        """Yield the faults of what is published, without the database."""
        yield from self.files.faults()
        found = self.files.story.log()
        if found is not None:
            self.tally.origin, self.tally.public_key = found.origin, str(found.key)
        if self.files.size:
            self.tally.root_hash = encode_base64(self.files.tree.root_of(self.files.size))
        number = 0
        for date in self.files.story.dates:
            entries: list[tuple[int, RunRecord | Verdict, bytes]] = []
            pairs: list[tuple[RunRecord, bytes]] = []
            for index in self.files.story.chain(date):
                encoded = self.files.entry(index)
                entry = None if encoded is None else read_entry(encoded)
                if encoded is not None and isinstance(entry, RunRecord | Verdict):
                    entries.append((index, entry, encoded))
                    if isinstance(entry, RunRecord):
                        pairs.append((entry, encoded))
            for record, _ in pairs:
                number += 1
                if self._progress is not None:
                    self._progress(record.run, number, self.files.story.run_count)
            yield from evidence_faults(self._ports.objects, date, pairs, self.tally)
            yield from date_faults(self.files.story, date, entries, self._read)
        yield from other_dates(self._ports.objects, set(self.files.story.dates), self.tally)

    def _read(self, record: RunRecord, name: str, where: pc.Expression | None = None) -> pa.Table:
        """Return a table of a run's evidence.

        Raises:
            LedgerDamaged: A file is missing, or is not what was recorded.
            LimitExceeded: Its rows need more memory.
        """
        with self._memory() as memory, naming(f"run {record.run}"):
            return read_recorded(self._ports.objects, record, name, where, memory=memory)

    def _key_faults(self) -> Iterator[Fault]:
        """Yield a private key that is not the log's, and keys known from elsewhere that are not."""
        found = self.files.story.log()
        if found is None:
            return
        if self._key_file is not None:
            try:
                find_key(self._key_file, found.key)
            except KeyUnusable as error:
                is_inside = str(self._key_file.parent) == self._ports.objects.place
                where = self._key_file.name if is_inside else str(self._key_file)
                yield Fault(where=escape(where), problem=str(error))
        if not self._keys:
            return
        own = [key for _, key in found.keys]
        if not {own[0], own[-1]} & set(self._keys):
            given = " or ".join(map(str, self._keys))
            yield Fault(where=_THE_LOG, problem=f"expected the key {given}, got {found.key}")
        for key in self._keys:
            if key not in own:
                yield from self._cosigner_faults(key)

    def _cosigner_faults(self, key: VerifierKey) -> Iterator[Fault]:
        """Yield that another key has signed no head, or has signed one wrongly."""
        names = [CHECKPOINT, *(found.name for found in self._ports.objects.list(WITNESSED))]
        for name in names:
            with suppress(OSError):  # It is reported where every file is read.
                try:
                    signed = SignedNote.parse(self._ports.objects.get(name))
                    if any(
                        (one.name, one.key_id) == (key.name, key.key_id)
                        for one in signed.signatures
                    ):
                        signers_of(signed, [key])
                        return
                except CheckpointInvalid as error:
                    yield Fault(where=name, problem=str(error))
        where = f"the key {escape(key.name)}"
        yield Fault(where=where, problem="expected a head that it has signed, got none")

    def _kept_faults(self) -> Iterator[Fault]:
        """Yield heads that somebody else kept and that are not this log's."""
        found = self.files.story.log()
        for name, note in self._checkpoints.items():
            if found is None:
                yield Fault(where=escape(name), problem="the log's key is not known")
                continue
            try:
                size = unverified_checkpoint(note).size
                keys = [found.key_of(size)]
                kept = open_checkpoint(note, keys, origin=found.origin).checkpoint
            except CheckpointInvalid as error:
                yield Fault(where=escape(name), problem=str(error))
                continue
            if size > self.files.size:
                problem = (
                    f"expected a log of at least {size} entries, which its key has signed, got "
                    f"{self.files.size}: this is an older copy of the ledger"
                )
                yield Fault(where=escape(name), problem=problem)
            elif kept.root != self.files.tree.root_of(size):
                problem = f"expected its root for {size} entries, got another: another history"
                yield Fault(where=escape(name), problem=problem)

    def _database_faults(self) -> Iterator[Fault]:
        """Yield what the database has otherwise than the entries."""
        try:
            if not self._ports.database.exists():
                problem = (
                    "expected the ledger's tables, got none; lottery rebuild makes them from the "
                    "published files"
                )
                yield Fault(where=DATABASE, problem=problem)
                return
            with self._ports.database.reading() as connection:
                yield from row_faults(connection, self.files, self._read)
        except NO_FAULTS:
            raise
        except LotteryError as error:
            yield Fault(where=DATABASE, problem=str(error))


def _has_ledger(database: Database) -> bool:
    try:
        return database.exists()
    except LedgerDamaged:
        return True


class _Committed:
    """What the database offers where a file is damaged; errors are those of `row_faults`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def size(self) -> int:
        with suppress(Exception), self._database.reading() as connection:
            return log.read_size(connection)
        return 0

    def entry(self, index: int) -> bytes | None:
        with suppress(Exception), self._database.reading() as connection:
            return log.entries_between(connection, index, index + 1)[0]
        return None

    def head(self, size: int) -> bytes | None:
        with suppress(Exception), self._database.reading() as connection:
            return log.note_of(connection, size)
        return None
