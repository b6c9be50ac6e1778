"""Reading a ledger: its records, its evidence, its trail and its log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lottery.errors import LedgerDamaged, RunNotFound
from lottery.ledger import evidence, log, trail, write_transaction
from lottery.ledger.database import RUNS, SUPERSEDINGS, TRAIL, connect, translated
from lottery.ledger.draft import RecordedRun, RunKey
from lottery.ledger.queries import recorded_run, standing_runs, superseding_run
from lottery.ledger.run_record import RunRecord, Superseding, read_record


class LedgerReader:
    """A ledger in a directory, for reading.

    Args:
        directory: Its directory.
        lock_seconds: Seconds to wait for a writer.
    """

    def __init__(self, directory: Path, *, lock_seconds: float) -> None:
        self.directory = directory
        self._lock_seconds = lock_seconds
        self._engine = connect(directory / write_transaction.DATABASE, lock_seconds)

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    def known(self, key: RunKey) -> RecordedRun | None:
        """Return the run that a request, or another one with the same content, has recorded.

        Raises:
            Conflict: The request id has recorded another content.
        """
        with self._reading() as connection:
            return recorded_run(connection, key)

    def trail_entries(self) -> Iterator[trail.TrailEntry]:
        """Yield the trail's entries in their order."""
        query = sa.select(TRAIL.c.entry).order_by(TRAIL.c.trail_index)
        with self._reading() as connection:
            rows = connection.execute(query).scalars().all()
        return (trail.read_entry(row) for row in rows)

    def iterate(
        self,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        after: str | None = None,
    ) -> Iterator[RunRecord]:
        """Yield the records between two dates, both inclusive, after a run if one is given.

        They are in the order of their dates, and within a date as they were recorded.
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
        """Return the record of a run; `latest` is the run that was recorded last.

        Raises:
            RunNotFound: There is no such run.
        """
        return read_record(self.leaf(run)[1])

    def leaf(self, run: str) -> tuple[int, bytes]:
        """Return a run's index in the log, and its canonical bytes as they are stored.

        Raises:
            RunNotFound: There is no such run.
        """
        query = sa.select(RUNS.c.log_index, RUNS.c.record)
        if run == "latest":
            query = query.order_by(RUNS.c.log_index.desc()).limit(1)
        else:
            query = query.where(RUNS.c.run == run)
        with self._reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise RunNotFound(run)
        return int(row.log_index), bytes(row.record)

    def superseded_by(self, run: str) -> str | None:
        """Return the run that supersedes a run, or None if it is standing."""
        with self._reading() as connection:
            return superseding_run(connection, run)

    def supersedings(self) -> dict[str, str]:
        """Return every superseded run with the run that supersedes it."""
        query = sa.select(SUPERSEDINGS.c.superseded, SUPERSEDINGS.c.run)
        with self._reading() as connection:
            return {row.superseded: row.run for row in connection.execute(query)}

    def standing(self, business_date: str, superseding: Superseding) -> list[RunRecord]:
        """Return the standing runs of a date, without those that are about to be superseded."""
        with self._reading() as connection:
            return standing_runs(connection, business_date, superseding)

    def read(self, record: RunRecord, name: str, where: pc.Expression | None = None) -> pa.Table:
        """Read a table of a run's evidence, or the rows that a filter selects.

        Raises:
            LedgerDamaged: A file is not what was recorded.
        """
        return self.reader(record)(name, where)

    def reader(self, record: RunRecord) -> Callable[[str, pc.Expression | None], pa.Table]:
        """Return a function that reads tables of a run's evidence.

        Each file is compared with its recorded digest once, when it is read first.

        Raises:
            LedgerDamaged: When called for a table whose files are not what was recorded.
        """
        verified: set[str] = set()

        def read(name: str, where: pc.Expression | None) -> pa.Table:
            files = record.files_of(name)
            if not files:
                raise LedgerDamaged(f"the record of run {record.run} has no {name}")
            folder = self.evidence_of(record)
            if name not in verified:
                for file in files:
                    evidence.refuse_changed(folder, record.run, file)
                verified.add(name)
            return evidence.read_table(folder, name, where, files=[file.name for file in files])

        return read

    def evidence_of(self, record: RunRecord) -> Path:
        """Return the folder of a run's evidence."""
        return write_transaction.evidence_folder(self.directory, record.run)

    def log(self) -> log.Log:
        """Return the identity of the log.

        Raises:
            LedgerDamaged: The database does not have it.
        """
        with self._reading() as connection:
            return log.read_log(connection)

    @contextmanager
    def reading_log(self) -> Iterator[sa.Connection]:
        """Open a connection for the functions of `ledger.log`; it sees one state throughout."""
        with self._reading() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translated(self.directory), self._engine.connect() as connection:
            yield connection
