"""What OCC's reports have in common: their account, their series, and their rows as Arrow.

FIX 5.0 SP2, as OCC sends it:

- `RptID` is the report's id, and `BizDt` its business date;
- `Pty R="38"` with its `Sub` is the OCC account: `C`, or `C/ZZZ`;
- `Instrmt` is the series (`fixml.instrument`).

Other elements and attributes are ignored: OCC adds some without notice.

Invariants:
- Every problem names its report; nothing of a file with a problem is used.
- Reports become Arrow as they come, some thousands at a time, and are counted against the memory of
  the day: of a compressed file nothing else says how many there are.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import LABEL
from lottery.errors import PROBLEM_LIMIT, Problem, ProblemCollector, Problems, quote
from lottery.intake.columns import LABEL_COLUMNS
from lottery.intake.fixml import parser
from lottery.intake.fixml.instrument import PLACEHOLDER, series_of
from lottery.intake.fixml.parser import Blocks
from lottery.intake.fixml.target import AMPERSAND, Attributes, FixmlReport, StopParsing
from lottery.intake.memory import DECODED_FACTOR, KEPT_ROW_BYTES, ROW_BYTES, MemoryLimit
from lottery.intake.sources import NOT_READ_ON, Reading, RowLocator

_ROWS_AT_A_TIME: Final = 1 << 14
_POSITION_ACCOUNT, _CLEARING_FIRM = "38", "4"
"""Values of PartyRole (452)."""
_SUB_ACCOUNT: Final = "2"
"""The PartySubIDType (803) of the sub-account if there are several `Sub`."""


class ReportReader:
    """Reads the reports of one kind into a raw table; each kind has a subclass.

    Args:
        blocks: The file.
        business_date: The date that each report must have.
        source: What problems name as their source.
        columns: The raw table's columns.
        memory: What the day may take.
        labels: Columns whose texts repeat, in addition to `LABEL_COLUMNS`.
    """

    kind: str
    may_be_none: bool = False
    """Whether a batch may say that there are none."""

    def __init__(
        self,
        blocks: Blocks,
        business_date: dt.date,
        source: str,
        columns: Sequence[str],
        memory: MemoryLimit,
        labels: Sequence[str] = (),
    ) -> None:
        find_lines = functools.cache(lambda: parser.lines_of_reports(blocks, self.kind))
        self.locator = RowLocator(source=source, find_lines=find_lines)
        check = functools.partial(memory.check, source)
        self.rows = _RawRows(columns, (*LABEL_COLUMNS, *labels), check)
        self._blocks = blocks
        self._date = business_date.isoformat()
        self._found = ProblemCollector()

    def read(self) -> Reading:
        """Read all reports; the first column of the table is their id.

        Raises:
            LimitExceeded: They need more memory.
        """
        parsed = parser.read_reports(self._blocks, self.kind, self.take, self.locator)
        problems = parsed.problems
        if not parsed.is_complete:
            return self._reading(None, problems)
        self._found.add(*self.final_problems())
        table = self.rows.table()
        # A file of other messages is not one that says that there are none.
        if not table.num_rows and not (self.may_be_none and parsed.announces_none):
            or_none = ', or a Batch of TotMsg="0"' if self.may_be_none else ""
            missing = Problems.of(
                self.locator.problem(f"expected at least one {self.kind}{or_none}, got none")
            )
            return self._reading(None, problems + missing)
        return self._reading(table, problems)

    def take(self, report: FixmlReport) -> None:
        """Add a report's row."""
        raise NotImplementedError

    def final_problems(self) -> Sequence[Problem]:
        """Return what only the whole file shows to be wrong."""
        return ()

    def refuse(self, report: FixmlReport, message: str, column: str) -> None:
        """Add a problem of a report.

        Raises:
            StopParsing: There are as many as are listed.
        """
        message = f"{report}: {message}"
        self._found.add(self.locator.numbered_row_problem(report.row, message, column=column))
        if self._found.is_full:
            raise StopParsing(
                f"expected no problems, got {PROBLEM_LIMIT}; {NOT_READ_ON} report {report.row:,}"
            )

    def id_of(self, report: FixmlReport) -> str:
        """Return the report's id; one without an id gets its number."""
        report_id, date = report.attributes.get("RptID"), report.attributes.get("BizDt")
        if not report_id:
            self.refuse(report, "RptID is missing", "RptID")
        if date != self._date:
            got = "none" if date is None else quote(date)
            self.refuse(report, f"BizDt must be the run's date {self._date}, got {got}", "BizDt")
        return report_id or f"#{report.row}"

    def series_of(self, report: FixmlReport) -> str:
        """Return the series of the report's one instrument."""
        if report.has_legs:
            self.refuse(report, "instrument must be an option of one leg, got legs", "Leg")
        if len(report.instruments) != 1:
            message = f"report must have one Instrmt, got {len(report.instruments)}"
            self.refuse(report, message, "Instrmt")
            return PLACEHOLDER
        series, faults = series_of(report.instruments[0])
        for attribute, message in faults:
            self.refuse(report, message, attribute)
        return series

    def parties_of(self, report: FixmlReport) -> tuple[str, str | None]:
        """Return the OCC account of the one position account, and the clearing firms."""
        accounts, firms = [], []
        for party in report.parties:
            role = party[0].get("R")
            if role == _POSITION_ACCOUNT:
                accounts.append(party)
            elif role == _CLEARING_FIRM:
                firms.append(party[0].get("ID", ""))
        if len(accounts) != 1:
            expected = f'one Pty R="{_POSITION_ACCOUNT}", the position account'
            self.refuse(report, f"report must have {expected}, got {len(accounts)}", "Pty")
            return "", None
        account_party, subs = accounts[0]
        if len(subs) > 1:
            subs = [one for one in subs if one.get("Typ") == _SUB_ACCOUNT]
            if len(subs) != 1:
                expected = f'one Sub Typ="{_SUB_ACCOUNT}" among several'
                self.refuse(report, f"Pty must have {expected}, got {len(subs)}", "Sub")
        account = self._party_id(report, account_party, "Pty")
        for sub in subs[:1]:
            account = f"{account}/{self._party_id(report, sub, 'Sub')}"
        return account, ",".join(firms) or None

    def _party_id(self, report: FixmlReport, party: Attributes, column: str) -> str:
        """Return the id of an account or a sub-account."""
        party_id = party.get("ID")
        if not party_id:
            self.refuse(report, f"ID of {column} is missing", column)
            return "C"
        if "/" in party_id:
            expected = "not contain '/', which separates account and sub-account"
            self.refuse(report, f"ID of {column} must {expected}, got {quote(party_id)}", column)
        return party_id

    def _reading(self, table: pa.Table | None, problems: Problems) -> Reading:
        ids = None if table is None else table.column(0)
        return Reading(
            locator=replace(self.locator, report_ids=ids),
            table=table,
            # What ended the reading comes first, because it may be one too many to be listed.
            problems=problems + self._found.problems(),
        )


class _RawRows:
    """Rows of texts, kept as Arrow.

    Args:
        names: The columns.
        labels: Those whose texts repeat.
        check: Called with the memory that the rows need, again and again; raises if it is too much.
    """

    def __init__(
        self, names: Sequence[str], labels: Sequence[str], check: Callable[[int], None]
    ) -> None:
        self._names = names
        self._labels = labels
        self._check = check
        self._needed_bytes = 0
        self._rows: list[tuple[str | None, ...]] = []
        self._parts: list[pa.Table] = []

    def add(self, *row: str | None) -> None:
        """Add a row; what is left of a text that is much too long is refused as too long."""
        if sum(map(len, filter(None, row))) > ROW_BYTES:
            row = tuple(text and text[:ROW_BYTES] for text in row)
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_A_TIME:
            self._flush()

    def table(self) -> pa.Table:
        """Return all rows; labels are dictionaries."""
        self._flush()
        return pa.concat_tables(self._parts).unify_dictionaries()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._names)
        # As `target.unescaped`, for a whole column.
        arrays = [
            pc.replace_substring(pa.array(column, pa.string()), AMPERSAND, "&")
            for column in columns
        ]
        part = pa.table(
            {
                name: array.dictionary_encode().cast(LABEL) if name in self._labels else array
                for name, array in zip(self._names, arrays, strict=True)
            }
        )
        self._rows.clear()
        self._parts.append(part)
        self._needed_bytes += max(part.num_rows * KEPT_ROW_BYTES, part.nbytes * DECODED_FACTOR)
        self._check(self._needed_bytes)
