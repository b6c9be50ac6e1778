"""The ledger: append-only tables of run records beside the folders of their evidence.

    DIR/ledger.db, mirror.db, checkpoints    what `write_transaction` keeps consistent
    DIR/signing.key                          the log's private key, unless it is kept elsewhere
    DIR/evidence/DATE/RUN/                   the read-only files of a recorded run
    DIR/staging/                             runs being written, and remains of killed processes

Invariants:
- A run is recorded whole or not at all: its evidence is on disk before its row is committed, and
  readers start from the row.
- No notice is allocated twice, no pool is allocated again without a stated positions basis, a date
  has one seed, a request id has one content, and a run is superseded at most once. All of this is
  checked under the lock that the insert needs.
- The record is a leaf of the log: row, leaf and signed checkpoint are one transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from lottery.durable import sync_directory
from lottery.errors import (
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
)
from lottery.ledger import evidence, log, trail, write_transaction
from lottery.ledger.database import (
    APPLICATION_ID,
    LOG,
    RUNS,
    SCHEMA_VERSION,
    SUPERSEDINGS,
    TRAIL,
    metadata,
)
from lottery.ledger.draft import RecordedRun, RunDraft, RunKey, finished_record
from lottery.ledger.queries import (
    is_recorded,
    next_index,
    next_sequence,
    recorded_run,
    standing_runs,
    superseding_run,
)
from lottery.ledger.reader import LedgerReader
from lottery.ledger.rules import refuse_conflicts, refuse_superseding
from lottery.ledger.run_record import EvidenceFile, RunRecord
from lottery.ledger.staging import staging_folder
from lottery.ledger.write_transaction import DATABASE
from lottery.tlog.keys import SigningKey, create_key_file, read_key_file

KEY_FILE: Final = "signing.key"
LOCK_SECONDS: Final = 30.0
"""Seconds that a writer waits for another one before it gives up."""


class Ledger(LedgerReader):
    """A ledger in a directory, for reading and writing.

    Args:
        directory: Its directory.
        lock_seconds: Seconds to wait for another writer.
        key: The file of the log's private key; by default `signing.key` in the directory.
    """

    def __init__(
        self, directory: Path, *, lock_seconds: float = LOCK_SECONDS, key: Path | None = None
    ) -> None:
        super().__init__(directory, lock_seconds=lock_seconds)
        self.key_file = key or directory / KEY_FILE

    @classmethod
    def open(
        cls, directory: Path, *, lock_seconds: float = LOCK_SECONDS, key: Path | None = None
    ) -> Ledger:
        """Open a ledger for reading.

        Raises:
            LedgerNotFound: The directory has no ledger.
        """
        ledger = cls(directory, lock_seconds=lock_seconds, key=key)
        # A process that is killed while creating the ledger leaves a file without tables.
        if not (directory / DATABASE).is_file() or ledger._version() == 0:
            raise LedgerNotFound(f"no ledger at {directory}; check --ledger")
        return ledger

    @classmethod
    def create(
        cls, directory: Path, *, lock_seconds: float = LOCK_SECONDS, key: Path | None = None
    ) -> Ledger:
        """Open a ledger for writing, creating it if the directory has none.

        Raises:
            LedgerNotFound: The path, or one above it, is not a directory.
            LedgerUnwritable: The directory cannot be created or written.
            LedgerBusy: Another process holds the write lock.
            LedgerDamaged: The ledger's database is missing or of another version.
            KeyUnusable: The key cannot be read or created, or is not the log's.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name in (write_transaction.EVIDENCE, write_transaction.STAGING):
                (directory / name).mkdir(exist_ok=True)
            ledger = cls(directory, lock_seconds=lock_seconds, key=key)
            if ledger._version() == 0:
                ledger._make()
            ledger.recover()
        except (FileExistsError, NotADirectoryError) as error:
            message = f"expected a directory at {error.filename}; check --ledger"
            raise LedgerNotFound(message) from error
        except OSError as error:
            raise LedgerUnwritable(f"{directory}: {error.strerror}") from error
        return ledger

    def recover(self) -> None:
        """Complete or withdraw the write that a killed process left unfinished, if there is one.

        Raises:
            LedgerBusy: Another process holds the write lock.
            KeyUnusable: The log's key, needed to enter the recovery in the trail, is not available.
        """
        if write_transaction.is_unfinished(self.directory):
            with write_transaction.locked(self.directory, self._lock_seconds):
                self._recover()

    def record(
        self, draft: RunDraft, key: RunKey, *, proceed: Callable[[], None] | None = None
    ) -> RecordedRun:
        """Record a run once.

        Args:
            draft: The run.
            key: What makes it recorded only once.
            proceed: Called right before the commit; raises to record nothing.

        Raises:
            Conflict: The run contradicts what is recorded.
            RunNotFound: A run that it supersedes is not recorded.
            Refused: A run that it supersedes is of another date.
            LedgerBusy: Another process holds the write lock, or the standing runs of the date
                have changed since gross positions were made net of them.
            LedgerUnwritable: The evidence cannot be written.
            LedgerDamaged: The ledger's files are not what was signed; nothing more is recorded.
        """
        known = self.known(key)
        if known is not None:
            return known
        try:
            with staging_folder(self.directory / write_transaction.STAGING) as staged:
                files = evidence.write_evidence(staged, draft)
                return self._record_staged(draft, key, staged, files, proceed)
        except OSError as error:
            raise LedgerUnwritable(f"{self.directory}: {error.strerror or error}") from error

    def enter(self, entry: trail.TrailEntry) -> None:
        """Add an entry to the trail.

        Raises:
            LedgerBusy: Another process holds the write lock.
            LedgerUnwritable: The ledger cannot be written.
            KeyUnusable: The log's key is not available.
        """
        with self.changing_log() as connection:
            self.enter_within(connection, entry)

    @contextmanager
    def changing_log(self) -> Iterator[sa.Connection]:
        """Open a write transaction for the functions of `ledger.log`.

        Raises:
            LedgerBusy: Another process holds the write lock.
            LedgerUnwritable: The ledger cannot be written.
        """
        try:
            with self._writing() as transaction:
                transaction.announce()
                yield transaction.connection
        except OSError as error:
            raise LedgerUnwritable(f"{self.directory}: {error.strerror or error}") from error

    def enter_within(self, connection: sa.Connection, entry: trail.TrailEntry) -> None:
        """Add an entry to the trail, in the transaction of the operation that it describes.

        Raises:
            KeyUnusable: The log's key is not available.
        """
        self._enter(connection, entry, self._signing_key())

    def _record_staged(
        self,
        draft: RunDraft,
        key: RunKey,
        staged: Path,
        files: tuple[EvidenceFile, ...],
        proceed: Callable[[], None] | None,
    ) -> RecordedRun:
        with self._writing() as transaction:
            connection = transaction.connection
            known = recorded_run(connection, key)
            if known is not None:
                return known
            self._refuse_contradictions(connection, draft)
            business_date = draft.business_date.isoformat()
            sequence = next_sequence(connection, business_date)
            run = f"{business_date}-{sequence:03d}"
            record = finished_record(draft, key, run, files)
            canonical = evidence.write_record(staged, record)
            signing_key = self._signing_key()
            if proceed is not None:
                proceed()
            target = self.evidence_of(record)
            if target.exists():
                raise LedgerDamaged(
                    f"{target} exists, but no run {run} is recorded; nothing more is recorded"
                )
            transaction.announce(run)
            self._move_evidence(staged, target)
            self._insert(connection, record, sequence, canonical)
            log.append(connection, log.RUNS_TREE, canonical, log.read_log(connection), signing_key)
            entry = trail.entry_now(trail.RUN_RECORDED, run, record.state, draft.requested_by)
            self._enter(connection, entry, signing_key)
        return RecordedRun(record=record, already_recorded=False)

    def _refuse_contradictions(self, connection: sa.Connection, draft: RunDraft) -> None:
        """Refuse a draft that breaks one of the ledger's rules.

        Raises:
            Conflict: It contradicts what is recorded.
            RunNotFound: A run that it supersedes is not recorded.
            Refused: A run that it supersedes is of another date.
            LedgerBusy: The standing runs of the date have changed since gross positions were made
                net of them.
        """
        business_date = draft.business_date.isoformat()
        for superseded in draft.superseding.runs:
            refuse_superseding(
                superseded,
                recorded=is_recorded(connection, superseded),
                superseded_by=superseding_run(connection, superseded),
                business_date=business_date,
            )
        standing = standing_runs(connection, business_date, draft.superseding)
        refuse_conflicts(
            standing,
            self.read,
            seed=draft.seed,
            notices=draft.notices,
            pools=draft.day.pools,
            positions_basis=draft.positions_basis,
        )
        if draft.standing not in (None, tuple(record.run for record in standing)):
            raise LedgerBusy(
                f"another run of {business_date} was recorded while earlier assignments were "
                "being taken off"
            )

    def _enter(self, connection: sa.Connection, entry: trail.TrailEntry, key: SigningKey) -> None:
        leaf = entry.canonical()
        connection.execute(
            sa.insert(TRAIL).values(
                trail_index=next_index(connection, TRAIL.c.trail_index), entry=leaf
            )
        )
        log.append(connection, log.TRAIL_TREE, leaf, log.read_log(connection), key)

    def _insert(
        self, connection: sa.Connection, record: RunRecord, sequence: int, canonical: bytes
    ) -> None:
        connection.execute(
            sa.insert(RUNS).values(
                log_index=next_index(connection, RUNS.c.log_index),
                run=record.run,
                business_date=record.business_date.isoformat(),
                sequence=sequence,
                request_id=record.request_id,
                content_sha256=record.content_sha256,
                record=canonical,
            )
        )
        for superseded in record.supersedes:
            connection.execute(
                sa.insert(SUPERSEDINGS).values(superseded=superseded, run=record.run)
            )

    def _move_evidence(self, staged: Path, target: Path) -> None:
        """Move a run's folder to where readers look for it, as the holder of the lock."""
        target.parent.mkdir(exist_ok=True)
        staged.rename(target)
        sync_directory(target.parent)
        sync_directory(target.parent.parent)

    def _make(self) -> None:
        """Create the tables, the key if there is none, and the trail's first entry."""
        with write_transaction.locked(self.directory, self._lock_seconds):
            if self._version() != 0:  # Another process has just created it.
                return
            write_transaction.refuse_remains(self.directory)
            key = self._first_key()
            with write_transaction.transaction(self.directory, self._engine) as transaction:
                connection = transaction.connection
                transaction.announce()
                metadata.create_all(connection, checkfirst=False)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.execute(
                    sa.insert(LOG).values(origin=key.name, public_key=str(key.verifier))
                )
                made = trail.entry_now(
                    trail.LEDGER_MADE, str(key.verifier), "made", trail.system_identity()
                )
                self._enter(connection, made, key)

    def _first_key(self) -> SigningKey:
        """Read the key, or create it."""
        if not self.key_file.exists():
            name = f"options-assignment-lottery/{secrets.token_hex(4)}"
            return create_key_file(self.key_file, name)
        return read_key_file(self.key_file)

    def _signing_key(self) -> SigningKey:
        """Read the log's private key.

        Raises:
            KeyUnusable: It is not available, or is not the log's.
        """
        key, public_key = read_key_file(self.key_file), self.log().key
        if key.verifier != public_key:
            raise KeyUnusable(
                f"expected the key {public_key} in {self.key_file}, got {key.verifier}; check --key"
            )
        return key

    def _recover(self) -> None:
        """Recover as the holder of the lock."""
        if not write_transaction.is_unfinished(self.directory):
            return
        key = self._signing_key()
        interrupted = write_transaction.recover(self.directory, self._engine)
        with write_transaction.transaction(self.directory, self._engine) as transaction:
            transaction.announce()
            entry = trail.entry_now(
                trail.WRITE_RECOVERED, interrupted, "complete", trail.system_identity()
            )
            self._enter(transaction.connection, entry, key)

    def _version(self) -> int:
        """Return the schema's version, or 0 if there are no tables yet."""
        if not (self.directory / DATABASE).exists():  # Connecting would create an empty file.
            return 0
        with self._reading() as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version not in (0, SCHEMA_VERSION):
            raise LedgerDamaged(
                f"expected schema version {SCHEMA_VERSION} in {self.directory}, got {version}"
            )
        return version

    @contextmanager
    def _writing(self) -> Iterator[write_transaction.Transaction]:
        """Open a transaction as the only writer, after recovering an unfinished one."""
        with write_transaction.locked(self.directory, self._lock_seconds):
            self._recover()
            with write_transaction.transaction(self.directory, self._engine) as transaction:
                yield transaction
