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

SQLite keeps its rollback journal with full syncs: write-ahead logging could corrupt a database
with two connections in the versions that most Pythons ship (3.7.0 to 3.51.2).
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from lottery.day.allocate import Day
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POOL_ALREADY_ALLOCATED,
    REQUEST_ID_REUSED,
    SEED_CONFLICT,
    Conflict,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
    RunNotFound,
)
from lottery.intake.received import SourceFile
from lottery.ledger import evidence
from lottery.ledger.run import EvidenceFile, RunRecord, SeedRecord, read_record

DATABASE: Final = "ledger.db"
LOCK_SECONDS: Final = 30.0
"""How long a writer waits for another one before it is told to try again later."""

_APPLICATION_ID: Final = 0x4C4F5454  # "LOTT", in the file's header for file(1).
_SCHEMA_VERSION: Final = 1
_ABANDONED_AFTER: Final = 60.0

_metadata = sa.MetaData()
_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("log_index", sa.Integer, primary_key=True),
    sa.Column("run", sa.Text, nullable=False, unique=True),
    sa.Column("business_date", sa.Text, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("content_sha256", sa.Text, nullable=False, index=True),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("business_date", "sequence"),
    sqlite_strict=True,
)
# REPLACE deletes without asking the trigger of DELETE, so that an insert looks for itself.
sa.event.listen(
    _runs,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]
        "CREATE TRIGGER runs_refuse_replace BEFORE INSERT ON runs BEGIN "
        "SELECT RAISE(ABORT, 'the ledger is append-only') WHERE EXISTS (SELECT 1 FROM runs "
        "WHERE log_index = NEW.log_index OR run = NEW.run OR request_id = NEW.request_id "
        "OR (business_date = NEW.business_date AND sequence = NEW.sequence)); END"
    ).execute_if(dialect="sqlite"),
)
for _action in ("UPDATE", "DELETE"):
    sa.event.listen(
        _runs,
        "after_create",
        sa.DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER runs_refuse_{_action.lower()} BEFORE {_action} ON runs "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )


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
        self._engine = _engine(directory / DATABASE, lock_seconds)

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
            raise LedgerNotFound(f"{directory} is no directory") from error
        except OSError as error:
            raise LedgerUnwritable(f"{directory}: {error.strerror}") from error
        ledger = cls(directory, lock_seconds=lock_seconds)
        if ledger._version() == _SCHEMA_VERSION:
            return ledger
        with ledger._writing() as connection:
            _metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {_SCHEMA_VERSION}")
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
            with self._staging() as staged:
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
        query = sa.select(_runs.c.record).order_by(_runs.c.business_date, _runs.c.sequence)
        if first is not None:
            query = query.where(_runs.c.business_date >= first.isoformat())
        if last is not None:
            query = query.where(_runs.c.business_date <= last.isoformat())
        if after is not None:
            date, _, sequence = after.rpartition("-")
            query = query.where(
                sa.tuple_(_runs.c.business_date, _runs.c.sequence) > (date, int(sequence))
            )
        with self._reading() as connection:
            rows = connection.execute(query).scalars().all()
        return (read_record(row) for row in rows)

    def get(self, run: str) -> RunRecord:
        """The record of a run, or of the latest recorded one for `latest`.

        Raises:
            RunNotFound: There is none.
        """
        query = sa.select(_runs.c.record)
        if run == "latest":
            query = query.order_by(_runs.c.log_index.desc()).limit(1)
        else:
            query = query.where(_runs.c.run == run)
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
        directory = self.evidence_of(record)
        file = record.digest_of(name)
        if file is None:
            raise LedgerDamaged(f"the record of run {record.run} names no {name}")
        wrong = evidence.what_is_wrong(directory, file)
        if wrong is not None:
            raise LedgerDamaged(
                f"{record.run}/{name} is not what was recorded: {wrong}; recorded is sha256 "
                f"{file.sha256}"
            )
        return evidence.read_table(directory, name, where)

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
                    sa.select(_runs.c.record)
                    .where(_runs.c.business_date == prepared.business_date)
                    .order_by(_runs.c.sequence)
                ).scalars()
            ]
            self._refuse_conflicts(prepared, standing)
            sequence = len(standing) + 1
            run = f"{prepared.business_date}-{sequence:03d}"
            record = prepared.record_of(run, files)
            evidence.write_record(staged, record)
            proceed()
            self._put_in_place(staged, record)
            recorded = connection.execute(
                sa.select(sa.func.count()).select_from(_runs)
            ).scalar_one()
            connection.execute(
                sa.insert(_runs).values(
                    log_index=recorded,
                    run=run,
                    business_date=prepared.business_date,
                    sequence=sequence,
                    request_id=prepared.request_id,
                    content_sha256=prepared.content_sha256,
                    record=record.canonical(),
                )
            )
        return record, False

    def _known(self, connection: sa.Connection, prepared: Prepared) -> RunRecord | None:
        """The run that this request or this very content has recorded already."""
        canonical = connection.execute(
            sa.select(_runs.c.record).where(_runs.c.request_id == prepared.request_id)
        ).scalar()
        if canonical is None:
            canonical = connection.execute(
                sa.select(_runs.c.record)
                .where(_runs.c.content_sha256 == prepared.content_sha256)
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

    def _refuse_conflicts(self, prepared: Prepared, standing: list[RunRecord]) -> None:
        for record in standing:
            if record.seed.volume_of() != prepared.seed.volume_of():
                raise Conflict(
                    SEED_CONFLICT,
                    f"{prepared.business_date} has its seed by run {record.run}, and these volumes "
                    f"differ: {_differing_asks(record.seed, prepared.seed)} [S8]",
                    run=record.run,
                )
        pools = _allocated_pools(prepared.day.pools)
        notices = _allocated_notices(prepared.notices, pools)
        for record in standing:
            self._refuse_overlap(record, notices, pools)

    def _refuse_overlap(
        self, record: RunRecord, notices: set[tuple[str, str]], pools: set[tuple[str, str]]
    ) -> None:
        their_pools = _allocated_pools(self.read(record, evidence.POOLS_FILE))
        their_notices = _allocated_notices(self.read(record, evidence.NOTICES_FILE), their_pools)
        again = sorted(notices & their_notices)
        if again:
            raise Conflict(
                NOTICE_ALREADY_ALLOCATED,
                f"run {record.run} has allocated "
                f"{_some([_named(*notice, 'notice') for notice in again])} already",
                run=record.run,
            )
        again = sorted(pools & their_pools)
        if again:
            raise Conflict(
                POOL_ALREADY_ALLOCATED,
                f"run {record.run} has allocated "
                f"{_some([_named(*pool, 'series') for pool in again])}; "
                "whether these positions have that taken off is not said",
                run=record.run,
            )

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
    def _staging(self) -> Iterator[Path]:
        """A folder for a run being written, locked while its process lives, gone afterwards."""
        self._clear_abandoned()
        staged = self.directory / "staging" / uuid.uuid4().hex
        staged.mkdir()
        descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield staged
        finally:
            os.close(descriptor)
            shutil.rmtree(staged, ignore_errors=True)

    def _clear_abandoned(self) -> None:
        """Removes what killed processes left: their folders are old enough and unlocked."""
        for left in (self.directory / "staging").iterdir():
            try:
                descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:  # Another process has just removed it.
                continue
            try:
                if time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_AFTER:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _translated(self.directory), self._engine.connect() as connection:
            yield connection

    def _version(self) -> int:
        """The schema's version; 0 where nothing is made yet."""
        with self._reading() as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version not in (0, _SCHEMA_VERSION):
            raise LedgerDamaged(
                f"{self.directory} has the schema version {version}; known is {_SCHEMA_VERSION}"
            )
        return version

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its start."""
        with (
            _translated(self.directory),
            self._engine.connect().execution_options(lottery_writes=True) as connection,
            connection.begin(),
        ):
            yield connection


def _engine(path: Path, lock_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": lock_seconds},
        poolclass=sa.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        # SQLAlchemy begins transactions itself (below), so that writers lock from the start.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("lottery_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    """Says what a database error means for the ledger."""
    try:
        yield
    except OperationalError as error:
        message = str(error.orig)
        if "locked" in message:
            raise LedgerBusy(f"another process is writing to {directory}") from error
        raise LedgerUnwritable(f"{directory}: {message}") from error
    except DatabaseError as error:
        raise LedgerDamaged(f"{directory}: {error.orig}") from error


def _allocated_pools(pools: pa.Table) -> set[tuple[str, str]]:
    """(occ_account, series) of the pools without a break."""
    allocated = pools.filter(pc.is_null(pools.column("break_reason")))
    return set(
        zip(
            allocated.column("occ_account").to_pylist(),
            allocated.column("series").to_pylist(),
            strict=True,
        )
    )


def _allocated_notices(notices: pa.Table, pools: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """(occ_account, notice id) of the notices of allocated pools; a broken one may come again."""
    columns = (notices.column(name).to_pylist() for name in ("occ_account", "series", "notice_id"))
    return {
        (occ_account, notice_id)
        for occ_account, series, notice_id in zip(*columns, strict=True)
        if (occ_account, series) in pools
    }


def _named(occ_account: str, name: str, noun: str) -> str:
    return f"{noun} {name} of OCC account {occ_account}" if occ_account else f"{noun} {name}"


def _differing_asks(recorded: SeedRecord, given: SeedRecord) -> str:
    asks = {volume.security_number: volume.ask_price for volume in given.volumes}
    volumes = given.volume_of()
    return ", ".join(
        f"{volume.security_number} has {volume.ask_price}, given is {asks[volume.security_number]}"
        for volume in recorded.volumes
        if volumes.get(volume.security_number) != volume.volume
    )


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
