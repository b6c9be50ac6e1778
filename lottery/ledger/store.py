"""The ledger: an append-only table of run records beside the folders of their evidence.

    DIR/ledger.db                    SQLite
    DIR/evidence/DATE/RUN/           a recorded run's files, read-only
    DIR/staging/                     runs being written; what a killed process left is cleared
    DIR/aside/                       evidence that no record names, moved out of the way

Invariants (the contract's ledger rules):
- A run is there whole or not at all: its evidence is synced and in place before its row is
  committed, and readers start from the row.
- No notice is allocated twice, no pool is allocated a second time unsaid, one date has one seed,
  one `request_id` has one content. All are checked under the write lock that the insert needs.
- The tables refuse UPDATE and DELETE.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lottery.day.allocate import Day
from lottery.errors import (
    REQUEST_ID_REUSED,
    Conflict,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
    RunNotFound,
)
from lottery.intake.received import SourceFile
from lottery.ledger import evidence
from lottery.ledger.conflicts import refuse_conflicts
from lottery.ledger.run import EvidenceFile, RunRecord, SeedRecord, read_record
from lottery.ledger.staging import staging_folder
from lottery.ledger.tables import (
    APPLICATION_ID,
    RUNS,
    SCHEMA_VERSION,
    connect,
    metadata,
    translated,
)

DATABASE: Final = "ledger.db"
LOCK_SECONDS: Final = 30.0
"""How long a writer waits for another one before it is told to try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that is computed and not yet recorded.

    Attributes:
        business_date: Its date, ISO.
        request_id: Its once-only id.
        content_sha256: The digest of its content.
        seed: Its seed.
        notices: `tables.NOTICES`.
        day: The day allocated.
        sources: What was received.
        record_of: The record, given its run id and its evidence; called under the write lock.
    """

    business_date: str
    request_id: str
    content_sha256: str
    seed: SeedRecord
    notices: pa.Table
    day: Day
    sources: tuple[SourceFile, ...]
    record_of: Callable[[str, tuple[EvidenceFile, ...]], RunRecord]


class Ledger:
    """A ledger in a directory."""

    def __init__(self, directory: Path, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self.directory = directory
        self._engine = connect(directory / DATABASE, lock_seconds)

    @classmethod
    def open(cls, directory: Path, *, lock_seconds: float = LOCK_SECONDS) -> Ledger:
        """Opens a ledger to read it.

        Raises:
            LedgerNotFound: There is none.
        """
        if not (directory / DATABASE).is_file():
            raise LedgerNotFound(f"there is no ledger at {directory}")
        ledger = cls(directory, lock_seconds=lock_seconds)
        if ledger._version() == 0:  # A process was killed while it made the ledger.
            raise LedgerNotFound(f"there is no ledger at {directory}")
        return ledger

    @classmethod
    def create(cls, directory: Path, *, lock_seconds: float = LOCK_SECONDS) -> Ledger:
        """Opens a ledger to write to it, making it where there is none.

        Raises:
            LedgerUnwritable: The directory cannot be made or written.
            LedgerBusy: Another process holds the write lock.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name in ("evidence", "staging", "aside"):
                (directory / name).mkdir(exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise LedgerNotFound(f"{error.filename} is no directory") from error
        except OSError as error:
            raise LedgerUnwritable(f"{directory}: {error.strerror}") from error
        ledger = cls(directory, lock_seconds=lock_seconds)
        if ledger._version() == SCHEMA_VERSION:
            return ledger
        with ledger._writing() as connection:
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return ledger

    def close(self) -> None:
        """Closes the database's connections."""
        self._engine.dispose()

    def record(self, prepared: Prepared, *, proceed: Callable[[], None]) -> tuple[RunRecord, bool]:
        """Records a run once.

        Args:
            prepared: The run.
            proceed: Called right before the commit; raises to record nothing.

        Returns:
            The record, and whether it was there already.

        Raises:
            Conflict: It contradicts what stands recorded.
            LedgerBusy: Another process holds the write lock.
            LedgerUnwritable: The evidence cannot be written.
        """
        with self._reading() as connection:
            known = self._known(connection, prepared)
        if known is not None:
            return known, True
        try:
            with staging_folder(self.directory / "staging") as staged:
                files = evidence.write_evidence(
                    staged, prepared.notices, prepared.day, prepared.sources
                )
                return self._record_staged(prepared, staged, files, proceed)
        except OSError as error:
            raise LedgerUnwritable(f"{self.directory}: {error.strerror or error}") from error

    def iterate(
        self,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        after: str | None = None,
    ) -> Iterator[RunRecord]:
        """The records between two dates, both inclusive, behind the run `after` if one is given.

        Dates ascend; within a date they come as they were recorded.
        """
        query = sa.select(RUNS.c.record).order_by(RUNS.c.business_date, RUNS.c.sequence)
        if first is not None:
            query = query.where(RUNS.c.business_date >= first.isoformat())
        if last is not None:
            query = query.where(RUNS.c.business_date <= last.isoformat())
        if after is not None:
            date, _, sequence = after.rpartition("-")
            query = query.where(
                sa.tuple_(RUNS.c.business_date, RUNS.c.sequence) > (date, int(sequence))
            )
        with self._reading() as connection:
            rows = connection.execute(query).scalars().all()
        return (read_record(row) for row in rows)

    def get(self, run: str) -> RunRecord:
        """The record of a run, or of the latest recorded one for `latest`.

        Raises:
            RunNotFound: There is none.
        """
        query = sa.select(RUNS.c.record)
        if run == "latest":
            query = query.order_by(RUNS.c.log_index.desc()).limit(1)
        else:
            query = query.where(RUNS.c.run == run)
        with self._reading() as connection:
            canonical = connection.execute(query).scalar()
        if canonical is None:
            raise RunNotFound(run)
        return read_record(canonical)

    def read(self, record: RunRecord, name: str, where: pc.Expression | None = None) -> pa.Table:
        """A table of a run's evidence, or the rows of it that are asked for.

        Raises:
            LedgerDamaged: The file is not the one that was recorded.
        """
        return self.reader(record)(name, where)

    def reader(self, record: RunRecord) -> Callable[[str, pc.Expression | None], pa.Table]:
        """Reads tables of one run's evidence; each file's digest is taken once, at its first use.

        Raises:
            LedgerDamaged: When it is called for a file that is not the one that was recorded.
        """
        sound: set[str] = set()

        def read(name: str, where: pc.Expression | None) -> pa.Table:
            if name not in sound:
                self._check(record, name)
                sound.add(name)
            return evidence.read_table(self.evidence_of(record), name, where)

        return read

    def _check(self, record: RunRecord, name: str) -> None:
        """Refuses an evidence file that is not the one that was recorded."""
        file = record.digest_of(name)
        if file is None:
            raise LedgerDamaged(f"the record of run {record.run} names no {name}")
        wrong = evidence.what_is_wrong(self.evidence_of(record), file)
        if wrong is not None:
            raise LedgerDamaged(
                f"{record.run}/{name} is not what was recorded: {wrong}; recorded is sha256 "
                f"{file.sha256}"
            )

    def evidence_of(self, record: RunRecord) -> Path:
        """The folder of a run's evidence."""
        return self.directory / "evidence" / record.business_date.isoformat() / record.run

    def _record_staged(
        self,
        prepared: Prepared,
        staged: Path,
        files: tuple[EvidenceFile, ...],
        proceed: Callable[[], None],
    ) -> tuple[RunRecord, bool]:
        with self._writing() as connection:
            known = self._known(connection, prepared)
            if known is not None:
                return known, True
            standing = [
                read_record(row)
                for row in connection.execute(
                    sa.select(RUNS.c.record)
                    .where(RUNS.c.business_date == prepared.business_date)
                    .order_by(RUNS.c.sequence)
                ).scalars()
            ]
            refuse_conflicts(
                standing,
                self.read,
                seed=prepared.seed,
                notices=prepared.notices,
                pools=prepared.day.pools,
            )
            sequence = len(standing) + 1
            run = f"{prepared.business_date}-{sequence:03d}"
            record = prepared.record_of(run, files)
            canonical = evidence.write_record(staged, record)
            proceed()
            self._put_in_place(staged, record)
            recorded = connection.execute(sa.select(sa.func.count()).select_from(RUNS)).scalar_one()
            connection.execute(
                sa.insert(RUNS).values(
                    log_index=recorded,
                    run=run,
                    business_date=prepared.business_date,
                    sequence=sequence,
                    request_id=prepared.request_id,
                    content_sha256=prepared.content_sha256,
                    record=canonical,
                )
            )
        return record, False

    def _known(self, connection: sa.Connection, prepared: Prepared) -> RunRecord | None:
        """The run that this request or this very content has recorded already."""
        canonical = connection.execute(
            sa.select(RUNS.c.record).where(RUNS.c.request_id == prepared.request_id)
        ).scalar()
        if canonical is None:
            canonical = connection.execute(
                sa.select(RUNS.c.record)
                .where(RUNS.c.content_sha256 == prepared.content_sha256)
                .limit(1)
            ).scalar()
        if canonical is None:
            return None
        record = read_record(canonical)
        if record.content_sha256 != prepared.content_sha256:
            raise Conflict(
                REQUEST_ID_REUSED,
                f"the request id {prepared.request_id!r} has recorded run {record.run} "
                "with another content",
                run=record.run,
            )
        return record

    def _put_in_place(self, staged: Path, record: RunRecord) -> None:
        """Moves a run's folder to where readers look for it; only the write lock's holder may."""
        target = self.evidence_of(record)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            # A process was killed between this step and its commit: no record names the folder.
            target.rename(self.directory / "aside" / f"{record.run}-{uuid.uuid4().hex[:8]}")
        staged.rename(target)
        evidence.sync_directory(target.parent)
        evidence.sync_directory(target.parent.parent)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translated(self.directory), self._engine.connect() as connection:
            yield connection

    def _version(self) -> int:
        """The schema's version; 0 where nothing is made yet."""
        with self._reading() as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version not in (0, SCHEMA_VERSION):
            raise LedgerDamaged(
                f"{self.directory} has the schema version {version}; known is {SCHEMA_VERSION}"
            )
        return version

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its start."""
        with (
            translated(self.directory),
            self._engine.connect().execution_options(lottery_writes=True) as connection,
            connection.begin(),
        ):
            yield connection
