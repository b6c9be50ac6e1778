"""Reading a ledger: its entries, its evidence and its log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lottery.day.allocate import Break
from lottery.day.population import breaks_in
from lottery.errors import LedgerDamaged, LedgerNotFound
from lottery.ledger import evidence, log, queries
from lottery.ledger.allocated import Allocated, allocated_by
from lottery.ledger.date_runs import DateRuns, described
from lottery.ledger.draft import RecordedRun, RunKey
from lottery.ledger.entry import Charter, Entry, read_entry, read_run
from lottery.ledger.four_eyes import RUN_TYPES, Proposal
from lottery.ledger.log import Log
from lottery.ledger.ports import Ports, rfc3339
from lottery.ledger.rules import standing_after
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.ledger.schema import ENTRIES, RUNS

PAGE_RUNS: Final = 200
"""Maximum number of records that are read at once."""


class LedgerReader:
    """A ledger, for reading.

    Args:
        ports: Where it is.

    Attributes:
        origin: The origin of its log.

    Raises:
        LedgerNotFound: There is no ledger.
        LedgerDamaged: Its tables are of another version.
    """

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        if not ports.database.exists():
            raise LedgerNotFound(
                f"no ledger at {ports.database.place}; check --ledger, or make one with "
                "lottery init"
            )
        with ports.database.reading() as connection:
            self.origin = log.read_log(connection).origin

    def close(self) -> None:
        """Close the database's connections."""
        self.ports.database.close()

    def now(self) -> str:
        """Return the present time of the ledger's clock, UTC (RFC 3339)."""
        return rfc3339(self.ports.clock)

    def known(self, key: RunKey) -> RecordedRun | None:
        """Return the run that a request, or another one with the same content, has recorded.

        Raises:
            Conflict: The request id has recorded another content.
        """
        with self.reading() as connection:
            return queries.recorded_run(connection, key, self.now())

    def charters(self) -> tuple[Charter, ...]:
        """Return every charter in the order of recording."""
        with self.reading() as connection:
            return tuple(charter for _, charter in queries.charters(connection))

    def charter_for(self, business_date: dt.date) -> Charter:
        """Return the charter that holds for a date (C1)."""
        with self.reading() as connection:
            return queries.charter_in_force(queries.charters(connection), business_date)[1]

    def trail(self) -> Iterator[Entry]:
        """Yield the entries that are not of a run, in order: who did what with the ledger."""
        query = sa.select(ENTRIES.c.entry).where(ENTRIES.c.type.not_in(RUN_TYPES))
        with self.reading() as connection:
            rows = connection.execute(query.order_by(ENTRIES.c.log_index)).scalars().all()
        return (read_entry(bytes(row)) for row in rows)

    def iterate(
        self,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        after: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[RunRecord]:
        """Yield the records between two dates, both inclusive, after a run if one is given.

        They are in the order of their dates, and within a date as they were recorded; or in the
        reverse order. They are read `PAGE_RUNS` at a time, as they are asked for.
        """
        place = (RUNS.c.business_date, RUNS.c.sequence)
        query = (
            sa.select(ENTRIES.c.entry)
            .join(RUNS, RUNS.c.log_index == ENTRIES.c.log_index)
            .order_by(*(column.desc() if newest_first else column for column in place))
            .limit(PAGE_RUNS)
        )
        if first is not None:
            query = query.where(RUNS.c.business_date >= first.isoformat())
        if last is not None:
            query = query.where(RUNS.c.business_date <= last.isoformat())
        rest = query
        if after is not None:
            rest = query.where(_is_after(after, newest_first=newest_first))
        while page := self._runs(rest):
            yield from page
            rest = query.where(_is_after(page[-1].run, newest_first=newest_first))

    def _runs(self, query: sa.Select[Any]) -> list[RunRecord]:
        with self.reading() as connection:
            return [read_run(bytes(row)) for row in connection.execute(query).scalars()]

    def get(self, run: str) -> RunRecord:
        """Return the record of a run; `latest` is the last one that counts.

        Raises:
            RunNotFound: There is no such run.
        """
        with self.reading() as connection:
            return read_run(queries.stored_leaf(connection, run)[1])

    def described(self, record: RunRecord) -> RecordedRun:
        """Return a recorded run with what became of it, without its breaks."""
        return described(self.runs_of(record.business_date), record, self.now())

    def proposals(self) -> list[Proposal]:
        """Return the proposals that can be approved, in the order of their dates."""
        with self.reading() as connection:
            return queries.waiting_proposals(connection, self.now())

    def runs_of(self, business_date: dt.date) -> DateRuns:
        """Return the runs of a date, walked along their chain.

        Raises:
            LedgerDamaged: The chain is broken.
        """
        with self.reading() as connection:
            return queries.runs_of_date(connection, business_date.isoformat())

    def left_standing(self, business_date: str, superseding: Superseding) -> list[RunRecord]:
        """Return the standing runs of a date that a superseding run leaves standing.

        Raises:
            RunNotFound: One of them is not recorded.
            Refused: One is of another date.
            Conflict: One is already superseded, or a run that is to be left standing rests on it.
        """
        with self.reading() as connection:
            return standing_after(
                queries.runs_of_date(connection, business_date), superseding, business_date
            )

    def breaks_of(self, record: RunRecord) -> tuple[Break, ...]:
        """Return the breaks of a run, from its evidence.

        Raises:
            LedgerDamaged: A file is not what was recorded.
        """
        if not record.break_count:
            return ()
        return breaks_in(self.read(record, evidence.POOLS_FILE))

    def read(self, record: RunRecord, name: str, where: pc.Expression | None = None) -> pa.Table:
        """Read a table of a run's evidence, or the rows that a filter selects.

        Raises:
            LedgerDamaged: A file is not what was recorded.
        """
        return self.reader(record)(name, where)

    def allocated(self, record: RunRecord) -> Allocated:
        """Return what a run has allocated, by which later runs are judged.

        Raises:
            LedgerDamaged: A file is not what was recorded.
        """
        return allocated_by(record, self.read)

    def reader(self, record: RunRecord) -> Callable[[str, pc.Expression | None], pa.Table]:
        """Return a function that reads tables of a run's evidence.

        Raises:
            LedgerDamaged: When called for a table whose files are not what was recorded.
        """
        return lambda name, where: evidence.read_recorded(self.ports.objects, record, name, where)

    def evidence_of(self, record: RunRecord) -> AbstractContextManager[Path]:
        """Open the folder of a run's evidence, of which nothing may be written."""
        return self.ports.objects.local(record.folder)

    def log(self) -> Log:
        """Return the identity of the log.

        Raises:
            LedgerDamaged: The database does not have it.
        """
        with self.reading() as connection:
            return log.read_log(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection that sees one state of this very ledger throughout.

        Raises:
            LedgerDamaged: Another ledger is in its place.
        """
        with self.ports.database.reading() as connection:
            self.own_log(connection)
            yield connection

    def own_log(self, connection: sa.Connection) -> Log:
        """Return the identity of the log, which is that of the ledger that was opened.

        Raises:
            LedgerDamaged: Another ledger was put in its place.
        """
        found = log.read_log(connection)
        if found.origin != self.origin:
            raise LedgerDamaged(
                f"expected the log {self.origin} at {self.ports.database.place}, got "
                f"{found.origin}: another ledger is in its place; start again"
            )
        return found


def _is_after(run: str, *, newest_first: bool) -> sa.ColumnElement[bool]:
    """Return the condition that a run comes after another in the order of `iterate`."""
    places = sa.tuple_(RUNS.c.business_date, RUNS.c.sequence)
    given = (run.rpartition("-")[0], log.sequence_of(run))
    return places < given if newest_first else places > given
