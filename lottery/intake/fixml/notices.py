"""OCC's assignment reports as notices (FIX 5.0 SP2, AssignmentReport, `AsgnRpt`).

`RptID` is the notice's id, and `Qty Typ="AS"` its quantity: the one of `Long` and `Short` that is
not zero. `TotNumAsgnRpts` and `LastRptReqed`, where given, must be true of the file. There is no
message that cancels or corrects: an `RptID` stands once in a file.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import OCC_REPORT_COLUMNS
from lottery.errors import PROBLEM_LIMIT, Problems
from lottery.intake.columns import LABEL_COLUMNS, shorten, to_notices
from lottery.intake.fixml import parser
from lottery.intake.fixml.parser import Blocks
from lottery.intake.fixml.reports import Columns, ReportReader, name_rows
from lottery.intake.fixml.target import Report, is_count
from lottery.intake.occ_reports import to_occ_reports
from lottery.intake.sources import Place

ASSIGNMENT: Final = "AsgnRpt"

_COLUMNS: Final = ("notice_id", "series", "quantity", "occ_account", *OCC_REPORT_COLUMNS)


def read_notices(
    blocks: Blocks, business_date: dt.date, place: Place
) -> tuple[pa.Table, pa.Table | None] | None:
    """The notices of a file.

    Args:
        blocks: The file.
        business_date: The run's date, which each report must have.
        place: Where problems go; it learns what reports are called, and on which lines they are.

    Returns:
        `tables.NOTICES` and `tables.OCC_REPORTS`, row by row; None where the file is refused whole.
    """
    place.find_lines = lambda: parser.lines_of_reports(blocks, ASSIGNMENT)
    reader = _Assignments(place, business_date)
    if not parser.read_reports(blocks, ASSIGNMENT, reader.take, place):
        return None
    reader.check_counts()
    raw = reader.columns.table()
    if not raw.num_rows:
        place.refuse(f"there is no {ASSIGNMENT} in the file")
        return None
    name_rows(place, raw.column("notice_id"))
    notices = to_notices(raw, place)
    reports = to_occ_reports(raw, notices, place)
    _refuse_repeated(notices, place)
    return notices, reports


def parse_notices(content: bytes, business_date: dt.date, *, source: str = "notices") -> pa.Table:
    """`tables.NOTICES` of a file's bytes, whoever they come from.

    Raises:
        Refused: Something is wrong with them; every problem is listed.
    """
    problems = Problems()
    place = Place(source=source, problems=problems)
    read = read_notices(lambda: iter((content,)), business_date, place)
    problems.refuse_if_any()
    assert read is not None, "a file that is refused whole has problems"  # noqa: S101
    return read[0]


class _Assignments(ReportReader):
    """The notices of a file, as their reports come."""

    def __init__(self, place: Place, business_date: dt.date) -> None:
        super().__init__(place, business_date)
        self.columns = Columns(_COLUMNS, (*LABEL_COLUMNS, *OCC_REPORT_COLUMNS))
        self._announced = _Announced()

    def take(self, report: Report) -> None:
        account, firm = self.parties_of(report)
        get = report.attributes.get
        self.columns.add(
            (
                self.id_of(report),
                self.series_of(report),
                self._quantity_of(report),
                account,
                firm,
                get("OpenInt"),
                get("ExrMethod"),
                get("AsgnMeth"),
                get("Unit"),
                get("SetSesID"),
            )
        )
        self._announced.count += 1
        total, last = get("TotNumAsgnRpts"), get("LastRptReqed")
        if total is not None or last is not None:
            self._announced.see(report, total, last)

    def check_counts(self) -> None:
        """Refuses reports that announce another number of them than came, or another last one."""
        announced = self._announced
        for text, row, name in announced.totals:
            if not is_count(text, announced.count):
                self.place.refuse_numbered_row(
                    row,
                    f"{name}: {shorten(text)!r} reports are announced and {announced.count} came",
                    column="TotNumAsgnRpts",
                )
        for text, row, name in announced.lasts:
            expected = "Y" if row == announced.count else "N"
            if text != expected:
                told = "the last" if expected == "Y" else f"not the last of {announced.count}"
                self.place.refuse_numbered_row(
                    row,
                    f"{name}: {shorten(text)!r}, and it is {told} report",
                    column="LastRptReqed",
                )

    def _quantity_of(self, report: Report) -> str:
        """The text of what is assigned; whether it is a quantity is looked at with all others."""
        assigned = [one for one in report.quantities if one.get("Typ") == "AS"]
        if len(assigned) != 1:
            self.wrong(report, f'there are {len(assigned)} Qty Typ="AS" instead of one', "Qty")
            return "1"
        long, short = assigned[0].get("Long"), assigned[0].get("Short")
        if not _is_none(long) and not _is_none(short):
            told = f"Long {shorten(str(long))!r} and Short {shorten(str(short))!r}"
            self.wrong(report, f"both are assigned, {told}: one of them must be zero", "Qty")
            return "1"
        if _is_none(long) and _is_none(short):
            self.wrong(report, "neither Long nor Short is assigned", "Qty")
            return "1"
        return str(short if _is_none(long) else long)


@dataclass(slots=True)
class _Announced:
    """What reports say of how many there are; a few of what they say suffice.

    Attributes:
        count: Reports that came.
        totals: `TotNumAsgnRpts` as the first report has it that says so, with its row and name.
        following: The last one that says that another follows.
    """

    count: int = 0
    totals: list[tuple[str, int, str]] = field(default_factory=list)
    following: tuple[str, int, str] | None = None
    _lasts: list[tuple[str, int, str]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    @property
    def lasts(self) -> list[tuple[str, int, str]]:
        """All that may be wrong."""
        return self._lasts if self.following is None else [*self._lasts, self.following]

    def see(self, report: Report, total: str | None, last: str | None) -> None:
        """Takes in what a report says."""
        if total is not None and total not in self._seen and len(self._seen) < PROBLEM_LIMIT:
            self._seen.add(total)
            self.totals.append((total, report.row, str(report)))
        if last == "N":
            self.following = (last, report.row, str(report))
        elif last is not None and len(self._lasts) < PROBLEM_LIMIT:
            self._lasts.append((last, report.row, str(report)))


def _is_none(quantity: str | None) -> bool:
    """Whether a quantity is absent or zero."""
    return quantity is None or (quantity != "" and not quantity.strip("0"))


def _refuse_repeated(notices: pa.Table, place: Place) -> None:
    """Refuses an id that stands for several OCC accounts.

    Within one OCC account an id is refused whatever file it comes from
    (`operations.checks.refuse_doubled_notices`).
    """
    ids = notices.column("notice_id")
    if pc.count_distinct(ids).as_py() == notices.num_rows:
        return
    counts = pc.value_counts(ids)
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = np.flatnonzero(pc.is_in(ids, value_set=several).to_numpy())
    first_of: dict[str, tuple[int, str]] = {}
    for index in map(int, rows):
        account = notices.column("occ_account")[index].as_py()
        first, other = first_of.setdefault(ids[index].as_py(), (index, account))
        if account != other:
            place.refuse_row(
                index,
                f"the id is that of row {place.row(first)} already, for OCC account {other!r}; "
                f"here it is for {account!r}",
                column="RptID",
            )
